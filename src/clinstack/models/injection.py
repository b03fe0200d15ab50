"""Adapters that sit in a model's own layers: put in by peft, found again, switched, and named as in peft's files.

peft wraps a layer once per kind of adapter, so a LoRA over an (IA)^3 lies in two wrappers; the names in files are those of one
adapter alone on the bare base, whatever lies below or above it in a stack.
"""

import warnings
from typing import TYPE_CHECKING, Any

from clinstack.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from clinstack.models.backbone import Backbone

_WRAPPER = ".base_layer"


def inject(backbone: "Backbone", adapter: str, config: Any, what: str) -> None:
    """Lets peft wrap the layers that a configuration targets. Raises BadInput if the base has none of them."""
    from peft import inject_adapter_in_model

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several adapters are the point
        # peft tells of a Conv1D layer that it turns its own option round, and does the right thing.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
        try:
            inject_adapter_in_model(config, backbone.model, adapter_name=adapter)
        except ValueError as error:
            raise BadInput(f"{what} in base {backbone.name}. Use --targets all, or names of its layers.") from error


def injected(backbone: "Backbone", adapter: str, marker: str) -> "dict[str, Parameter]":
    """An adapter's weights by the names of peft's files. marker: what peft puts into their names, such as `.lora_`."""
    infix = f".{adapter}"
    return {
        "base_model.model." + name.replace(_WRAPPER, "").replace(f"{infix}.", ".").removesuffix(infix): parameter
        for name, parameter in backbone.model.named_parameters()
        if marker in name and (f"{infix}." in name or name.endswith(infix))
    }


def activate(backbone: "Backbone", kind: type, adapters: list[str], attribute: str) -> None:
    """Lets exactly these adapters take part in the layers of one kind; their order is of no effect."""
    for layer in layers(backbone, kind):
        layer.set_adapter([name for name in adapters if name in getattr(layer, attribute)])


def layers(backbone: "Backbone", kind: type) -> list[Any]:
    """Every layer of one of peft's kinds in the model."""
    return [layer for _, layer in named_layers(backbone, kind)]


def named_layers(backbone: "Backbone", kind: type) -> list[tuple[str, Any]]:
    """The same, with the names that the base gives what they lie on."""
    return [
        (name.replace(_WRAPPER, ""), layer) for name, layer in backbone.model.named_modules() if isinstance(layer, kind)
    ]


def fold(backbone: "Backbone", adapters: list[str], kind: type) -> "dict[str, Tensor]":
    """Folds injected adapters, the last uppermost, into the layers of one kind that they lie in, and takes them out again.

    Returns the weights that it changed as they were before, by the base's names.
    Each layer is unwrapped: peft 0.21.2 would else drop every other adapter of a layer that is merged.
    """
    own = {id(weight): (name, weight) for name, weight in backbone.own.items()}
    before: dict[str, Any] = {}
    for path, layer in list(backbone.model.named_modules()):
        if isinstance(layer, kind):
            wrapped: Any = layer
            base = wrapped.get_base_layer()
            held = [(*own[id(weight)], weight.detach().clone()) for weight in base.parameters()]
            wrapped.merge(adapter_names=adapters)
            before |= {name: old for name, new, old in held if new.is_meta or not new.equal(old)}
            above, _, name = path.rpartition(".")
            setattr(backbone.model.get_submodule(above), name, base)
    for adapter in adapters:
        del backbone.model.peft_config[adapter]
    return before


def peft_dict(backbone: "Backbone", adapter: str) -> dict[str, Any]:
    """peft's configuration of an injected adapter; sets are sorted, so that equal adapters give equal files."""
    return plain_config(dict(backbone.model.peft_config[adapter].to_dict()) | {"inference_mode": True})


def plain_config(config: dict[str, Any]) -> dict[str, Any]:
    """peft's configuration as JSON has it; sets are sorted, so that equal ones give equal files."""
    return {
        key: sorted(value) if isinstance(value, (set, frozenset)) else getattr(value, "value", value)
        for key, value in config.items()
    }


def names_present(backbone: "Backbone", choices: tuple[tuple[str, ...], ...]) -> list[str]:
    """The first of several groups of layer names that the base has all of, or []."""
    names = [f".{name}".replace(_WRAPPER, "") for name, _ in backbone.model.named_modules()]
    for group in choices:
        if all(any(name.endswith(f".{wanted}") for name in names) for wanted in group):
            return list(group)
    return []
