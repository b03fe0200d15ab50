"""Small models that nobody has trained before: their tokenizer and every weight come from the training part of one task.

One file per architecture lies in `models/scratch` and is found by its folder; its name is given where a base is, alone or with
a preset (`transformer:keras`). Once trained it is a model folder like any other, which its run keeps.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from clinstack import discovery
from clinstack.errors import BadInput, did_you_mean
from clinstack.models.activations import Activation
from clinstack.runs.atomic import atomic_folder

if TYPE_CHECKING:  # a baseline needs no transformers
    from transformers import PreTrainedModel

_PACKAGE = "clinstack.models.scratch"
_PREFIX = "clinstack-"
"""Begins the model type of every configuration of ours."""
_PLANNED_TOKENS = 512


class Architecture:
    """A kind of model: its configuration and model class of transformers, and published forms.

    presets: options of the configuration, and `pieces` of the tokenizer, by name; "" is the default form.
    """

    config: ClassVar[type[Any]]
    model: ClassVar[type[Any]]
    presets: ClassVar[dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Pieces:
    """What a form's tokenizer cuts text into, and how many different ones there are at most."""

    kind: Literal["subwords", "words"] = "subwords"
    most: int = 8000


def architectures() -> dict[str, type[Architecture]]:
    """Every architecture by name."""
    return discovery.members(_PACKAGE, Architecture)


def is_from_scratch(base: str) -> bool:
    """Whether a base's name is an architecture's, with a preset or without."""
    return base.partition(":")[0] in discovery.names(_PACKAGE)


def head_activation(base: str) -> Activation:
    """What stands behind a head's hidden layer: what stands in the blocks of a model from nothing, GELU on other bases."""
    if not is_from_scratch(base):
        return "gelu"
    kind, preset = _form(base)
    found: Activation = kind.presets[preset].get("activation", "gelu")
    return found


def make_model(base: str, vocabulary: int, max_tokens: int) -> "PreTrainedModel":
    """A fresh model for so many different tokens, with torch's random numbers as they are."""
    kind, preset = _form(base)
    sizes = {key: value for key, value in kind.presets[preset].items() if key != "pieces"}
    config = kind.config(vocab_size=vocabulary, max_position_embeddings=max_tokens, **sizes)
    return kind.model(config)  # type: ignore[no-any-return]


def make_base(base: str, texts: list[str], max_tokens: int, seed: int, folder: Path) -> None:
    """Writes the folder of a model with its first weights and a tokenizer learned from `texts`; equal calls write equal bytes.

    Raises BadInput with the nearest name if there is no such preset, or there is nothing to learn a tokenizer from.
    """
    from clinstack.models.scratch_tokenizer import train_tokenizer

    pieces = _pieces(base)
    with atomic_folder(folder) as partial:
        tokenizer = train_tokenizer(texts, pieces.kind, pieces.most, partial)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = make_model(base, len(tokenizer), max_tokens)
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)


def shape_from_scratch(base: str) -> "PreTrainedModel":
    """A model without its weights, on torch's meta device, with as many tokens as its form has at most."""
    with torch.device("meta"):
        model = make_model(base, _pieces(base).most, _PLANNED_TOKENS)
    torch.nn.Module.eval(model).requires_grad_(False)
    return model


def makes(config: Any) -> bool:
    """Whether a configuration is of a model of ours."""
    return str(config.model_type).startswith(_PREFIX)


def register_architectures() -> None:
    """Lets transformers load every architecture."""
    from transformers import AutoConfig, AutoModel

    for kind in architectures().values():
        AutoConfig.register(kind.config.model_type, kind.config, exist_ok=True)
        AutoModel.register(kind.config, kind.model, exist_ok=True)


def _form(base: str) -> tuple[type[Architecture], str]:
    name, _, preset = base.partition(":")
    kind = architectures()[name]
    if preset not in kind.presets:
        raise BadInput(f"{name} has no preset {preset!r}. {did_you_mean(preset, [one for one in kind.presets if one])}")
    return kind, preset


def _pieces(base: str) -> Pieces:
    kind, preset = _form(base)
    return Pieces(**kind.presets[preset].get("pieces", {}))
