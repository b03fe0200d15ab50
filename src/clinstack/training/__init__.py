"""A stack and batches -> a run."""
