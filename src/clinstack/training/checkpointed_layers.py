"""Gradient checkpointing: each layer is computed again on the way back, instead of keeping what is inside it.

transformers' own (5.23) works only in training mode, in which dropout is on, and drops a prefix without a word; peft 0.21.2
refuses the two together. Here the layers themselves are wrapped, in whatever mode they are, and a prefix is a cache that can be
read twice (`models.virtual_tokens`), so the results are the same bits with and without.
"""

from functools import partial

from torch.utils.checkpoint import checkpoint

from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone


def checkpoint_layers(backbone: Backbone) -> None:
    """Makes every layer of a backbone compute twice where gradients are taken. Raises BadInput if its layers are unknown."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in backbone.model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise BadInput(f"Base {backbone.name} has no layers to checkpoint. Leave out --gradient-checkpointing.")
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
