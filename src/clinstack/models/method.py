"""What a PEFT method must be: options that validate themselves, and a way into a backbone and out to a file.

One file per method lies in `models/methods`; it is found by its folder, and flags, TOML and saved configurations are made from
its fields. Options import no torch; `attach` does the work.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from clinstack import discovery
from clinstack.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from clinstack.models.backbone import Backbone

_PACKAGE = "clinstack.models.methods"


class Method(BaseModel, ABC):
    """The hyperparameters of one adapter, and how it is attached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    peft_type: ClassVar[str]
    """The name peft gives the method in `adapter_config.json`."""
    decoders_only: ClassVar[bool] = False
    """Whether the method has no meaning on an encoder."""
    mergeable: ClassVar[bool] = False
    """Whether the adapter is a change of the base's weights, and not of what its layers read."""
    additive: ClassVar[bool] = False
    """Whether all it does is to add B A x to what layers make of x, so that notes of one pass may each have their own."""
    trains_base: ClassVar[bool] = False
    """Whether the base's own weights are what trains."""
    every_token: ClassVar[bool] = True
    """Whether each weight is multiplied once for every token, as estimates of operations assume."""
    published_space: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Values of its options that the published study searched (Gema et al. 2023, Table 6)."""

    @classmethod
    def space(cls, layers: int) -> dict[str, tuple[Any, ...]]:
        """The options searched by default on a base of so many layers."""
        return cls.published_space

    def decisive(self) -> dict[str, Any]:
        """The options that make a difference; two methods equal in these are the same."""
        return self.model_dump()

    @abstractmethod
    def effect(self) -> dict[str, Any]:
        """What decides the adapter's effect besides its weights; part of its content hash."""

    @abstractmethod
    def attach(self, backbone: "Backbone", adapter: str, *, fresh: bool) -> None:
        """Puts an adapter of that name into the backbone's model.

        fresh: whether it is to be trained from its beginning; otherwise the weights of a file follow, in the file's form.
        """

    @abstractmethod
    def parameters(self, backbone: "Backbone", adapter: str) -> "dict[str, Parameter]":
        """What trains, by name. Of an adapter that is not fresh: the names of peft's file format."""

    def export(self, backbone: "Backbone", adapter: str) -> "dict[str, Tensor]":
        """The adapter's weights as peft's file format names and shapes them."""
        return {name: weight.detach() for name, weight in self.parameters(backbone, adapter).items()}

    @abstractmethod
    def activate(self, backbone: "Backbone", adapters: list[str]) -> None:
        """Makes exactly these attached adapters of the method take part in the forward pass."""

    def merge(self, backbone: "Backbone", adapters: list[str]) -> "dict[str, Tensor]":
        """Folds attached adapters of one peft type into the base's weights and takes them out; the last lies uppermost.

        Together they do what they did side by side. Returns what the weights were before, by name.
        """
        raise AssertionError(f"{method_name(self)} is not mergeable")

    @abstractmethod
    def train(self, backbone: "Backbone", adapter: str, training: bool) -> None:
        """Switches the adapter's dropout on or off."""

    @abstractmethod
    def peft_config(self, backbone: "Backbone", adapter: str) -> dict[str, Any]:
        """The content of peft's `adapter_config.json` for the attached adapter."""

    @classmethod
    @abstractmethod
    def from_peft(cls, config: dict[str, Any]) -> Self | None:
        """The options that peft's `adapter_config.json` of this peft type describes; None if it is another method's."""


def methods() -> dict[str, type[Method]]:
    """Every PEFT method by name."""
    return discovery.members(_PACKAGE, Method)  # type: ignore[type-abstract]


def make_method(name: str, options: dict[str, Any]) -> Method:
    """The method of that name with these options; what is not given has the method's default.

    Raises BadInput naming the option that is unknown or out of range.
    """
    chosen = discovery.member(_PACKAGE, Method, name, "method")  # type: ignore[type-abstract]
    unknown = sorted(set(options) - set(chosen.model_fields))
    if unknown:
        has = f"It has: {', '.join(chosen.model_fields)}" if chosen.model_fields else "It has none"
        raise BadInput(f"Method {name} has no option {unknown[0]!r}. {has}.")
    try:
        return chosen(**options)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"Method {name}, option {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def method_fields() -> dict[str, list[str]]:
    """Every option of every PEFT method, with the names of the methods that have it."""
    found: dict[str, list[str]] = {}
    for name, kind in methods().items():
        for key in kind.model_fields:
            found.setdefault(key, []).append(name)
    return found


def gather_method_options(given: dict[str, Any]) -> dict[str, Any]:
    """Options as flags and keywords give them, flat -> those of the command, with the method's own under `method_options`."""
    fields = method_fields()
    own = {key: value for key, value in given.items() if key in fields and value is not None}
    return {**{key: value for key, value in given.items() if key not in fields}, "method_options": own}


def method_name(method: Method) -> str:
    """The name under which the table has this method."""
    return next(name for name, kind in methods().items() if type(method) is kind)


def method_of_peft(config: dict[str, Any]) -> Method:
    """The method and options of an `adapter_config.json`."""
    for kind in methods().values():
        if kind.peft_type == config.get("peft_type") and (found := kind.from_peft(config)):
            return found
    raise BadInput(
        f"An adapter of peft type {config.get('peft_type')!r} with these settings is not known here. Known: "
        f"{', '.join(methods())}."
    )
