"""What stands between two linear layers, by name."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn.functional import gelu, relu

Activation = Literal["gelu", "relu"]
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": gelu, "relu": relu}
