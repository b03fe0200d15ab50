"""A base whose matrices lie in memory in four bits, for adapters on it to be trained (QLoRA, Dettmers et al. 2023).

Each matrix of a layer is rounded to NormalFloat4 in blocks of 64, the blocks' scales once more (bitsandbytes); embeddings,
norms and output stay as they are. What is computed with is the rounded matrix, in float32 where figures are made, so the
rounded base is a base of its own: its hash is another, and adapters of the one are refused on the other.
"""

import hashlib
import importlib.util
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clinstack.errors import BadInput

Quantize = Literal["4bit"]
BYTES_PER_WEIGHT = (4 + 8 / 64 + 32 / (64 * 256)) / 8
"""Of a rounded matrix: its numbers, a scale of 8 bits a block, and one of 32 bits for 256 scales."""


def loading(quantize: Quantize | None, device: str) -> dict[str, Any]:
    """What transformers is told to load a base so. Raises BadInput if bitsandbytes is not installed."""
    if quantize is None:
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BadInput("--quantize 4bit needs bitsandbytes, which is not installed. Install clinstack[quantize].")
    from transformers import BitsAndBytesConfig

    how = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return {"quantization_config": how, "device_map": {"": device}}


def hash_of_rounded(content: str, quantize: Quantize | None) -> str:
    """The hash of a base that is loaded so, made of the hash of its files."""
    if quantize is None:
        return content
    return "sha256:" + hashlib.sha256(f"{content}+{quantize}: nf4, double".encode()).hexdigest()


def count(weight: Tensor) -> int:
    """How many numbers a weight stands for, also where two lie in a byte."""
    state = getattr(weight, "quant_state", None)
    return int(torch.Size(state.shape).numel()) if state is not None else weight.numel()


def multiply_exactly(model: nn.Module) -> None:
    """Has every rounded layer multiply with its matrix as it is, the same in training and in use.

    bitsandbytes (0.50) takes other ways where no gradient is asked for; on a processor that has bfloat16 it computes in that,
    whatever it was told, and torch warns that gradients through it may be wrong.
    """
    from bitsandbytes.nn import Linear4bit

    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.forward = MethodType(_multiply, layer)


def _multiply(layer: Any, states: Tensor) -> Tensor:
    """What a rounded layer makes of states (..., K): (..., N)."""
    product: Tensor = _Product.apply(states, layer.weight)  # type: ignore[no-untyped-call]
    return product if layer.bias is None else product + layer.bias.to(product.dtype)


class _Product(torch.autograd.Function):
    """A product with a rounded matrix, which is unrolled again for the way back instead of being kept."""

    @staticmethod
    def forward(context: Any, states: Tensor, weight: Any) -> Tensor:
        """(..., K) times (N, K) transposed."""
        context.weight, context.dtype = weight, states.dtype
        return functional.linear(states, _matrix(weight, states.dtype))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of the states."""
        return (gradient @ _matrix(context.weight, gradient.dtype)).to(context.dtype), None


def _matrix(weight: Any, dtype: torch.dtype) -> Tensor:
    """A rounded matrix (N, K) as numbers."""
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, weight.quant_state).to(dtype)  # type: ignore[no-any-return]
