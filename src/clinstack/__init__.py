"""clinstack: adapts a language model to clinical notes in two parameter-efficient steps, and proves that both are at work.

    import clinstack

    clinstack.adapt(base="tiny-base", corpus="corpus", out="runs/clinical", rank=8)
    clinstack.train(base="tiny-base", task="tasks/mor", out="runs/mor", clinical="runs/clinical")
    clinstack.load("runs/mor").predict_proba(["CHIEF COMPLAINT: chest pain"])
    clinstack.StackClassifier(clinical="runs/clinical").fit(texts, labels)  # a scikit-learn estimator

The names mirror the commands and take their options as keywords. Nothing heavy is imported before it is used.
"""

from typing import TYPE_CHECKING, Any

from clinstack.errors import BadInput, CannotWrite, ClinstackError, Interrupted, ProofFailed, WrongParents

if TYPE_CHECKING:
    from clinstack.models.text_classifier import TextClassifier
    from clinstack.training.estimator import StackClassifier

__all__ = [
    "BadInput",
    "CannotWrite",
    "ClinstackError",
    "Interrupted",
    "ProofFailed",
    "StackClassifier",
    "WrongParents",
    "adapt",
    "evaluate",
    "load",
    "train",
]


def adapt(**options: Any) -> dict[str, Any]:
    """Step 1: trains a clinical adapter; options as in `clinstack adapt --help`. Returns the content of `result.json`."""
    from clinstack.config import AdaptOptions, make_options
    from clinstack.models.method import gather_method_options
    from clinstack.training.language import adapt as run

    return run(make_options(AdaptOptions, gather_method_options(options)))


def train(**options: Any) -> dict[str, Any]:
    """Step 2: trains one variant on one task; options as in `clinstack train --help`. Returns the content of `result.json`."""
    from clinstack.config import TrainOptions, make_options
    from clinstack.models.method import gather_method_options
    from clinstack.training.classification import train as run

    return run(make_options(TrainOptions, gather_method_options(options)))


def evaluate(**options: Any) -> dict[str, Any]:
    """Metrics with intervals of a saved run on a split; options as in `clinstack evaluate --help`."""
    from clinstack.config import EvaluateOptions, make_options
    from clinstack.evaluation.scoring import evaluate as run

    return run(make_options(EvaluateOptions, options))


def load(run: str, base: str | None = None, device: str = "cpu") -> "TextClassifier":
    """A saved step-2 run, every hash checked, ready for `predict_proba(texts)`: (N, C) in the order of `.classes`."""
    from clinstack.models.note_classifier import load as read

    return read(run, base, device)


def __getattr__(name: str) -> Any:
    """`StackClassifier`, imported on first use."""
    if name == "StackClassifier":
        from clinstack.training.estimator import StackClassifier

        return StackClassifier
    raise AttributeError(f"module 'clinstack' has no attribute {name!r}")
