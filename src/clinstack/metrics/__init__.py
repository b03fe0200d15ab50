"""Figures of merit as pure functions: arrays in, numbers out; no files, no device, no torch.

A leaf, because training selects by the very AUROC that evaluation reports. Notes may carry *weights*, an array (B, N)
of how often each note counts in each of B resamples, so that a bootstrap sorts the scores once and not once per
resample.
"""
