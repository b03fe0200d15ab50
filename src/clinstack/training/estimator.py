"""Step 2 as a scikit-learn estimator: texts and labels in, probabilities out.

It writes the notes to a task folder, trains as `clinstack train` does, and loads the run; so whatever holds for a run (the
stack proof, hashes, lineage) holds for it. Its parameters are the command's options under the same names.
"""

import inspect
from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from clinstack.config import TrainOptions, make_options
from clinstack.data.notes import shown
from clinstack.data.splits import by_hash, cut
from clinstack.data.task import TaskWriter
from clinstack.errors import BadInput
from clinstack.models.method import gather_method_options, method_fields
from clinstack.models.note_classifier import load
from clinstack.models.text_classifier import TextClassifier
from clinstack.training.classification import train
from clinstack.training.machine import choose_device

_NOT_PARAMETERS = ("task", "method_options")
_OWN: dict[str, Any] = {"base": "tiny-base", "out": None, "valid_share": 0.1}


def _signature() -> inspect.Signature:
    """The estimator's parameters: the options of `clinstack train`, those of the PEFT methods, and its own."""
    options = {
        name: field.get_default()
        for name, field in TrainOptions.model_fields.items()
        if name not in (*_NOT_PARAMETERS, *_OWN)
    }
    defaults = _OWN | options | dict.fromkeys(method_fields())
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    return inspect.Signature(own + [inspect.Parameter(name, kind, default=value) for name, value in defaults.items()])


class StackClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A stack and a head on a base, trained on texts; works in `cross_val_score`, `GridSearchCV` and pipelines.

    Takes the options of `clinstack train` as keywords (`base`, `clinical`, `epochs`, `rank`, ...), and
    out:         folder to keep: `run` is the trained run and `task` the notes; without it both lie in a temporary folder, which
        is removed at the end of `fit`.
    valid_share: of the patients, held out of training to select the best epoch.

    A parameter that has its default counts as not given, so that `profile` and a base of our own kinds decide it, as they do
    where the command lacks an option.

    After `fit`: `classes_` (for lists of labels the columns' numbers), `result_` as `result.json` holds it, without test
    figures, and `model_`, the loaded run.
    """

    def __init__(self, **options: Any) -> None:
        known = list(inspect.signature(type(self)).parameters.values())
        if unknown := sorted(set(options) - {one.name for one in known}):
            raise TypeError(f"StackClassifier has no parameter {unknown[0]!r}")
        for one in known:
            setattr(self, one.name, options.get(one.name, one.default))

    __init__.__signature__ = _signature()  # type: ignore[attr-defined]

    def _given(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        known = inspect.signature(type(self)).parameters.items()
        return {
            name: value for name, one in known if name not in _OWN and (value := getattr(self, name)) != one.default
        }

    def fit(self, texts: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Trains.

        texts:  (N,) notes.
        y:      (N,) a class each, of two or more; or (N, C) of 0 and 1, for C labels.
        groups: (N,) whose note it is, so that no patient is both trained on and selected by; without it each note's own.
            `cross_val_score` passes it on after `set_fit_request(groups=True)`, with scikit-learn's metadata routing.
        Raises BadInput, naming the note by its position, for what cannot be trained on.
        """
        notes = _texts(texts)
        kind, classes, labels = _labels(np.asarray(y), len(notes))
        patients = [str(one) for one in (np.arange(len(notes)) if groups is None else np.asarray(groups))]
        if len(patients) != len(notes):
            raise BadInput(f"There are {len(notes)} texts and {len(patients)} groups. Give one for each text.")
        names = [str(one) for one in classes]
        values = self._given() | {"base": self.base}
        with ExitStack() as place:
            out = Path(self.out or place.enter_context(TemporaryDirectory(prefix="clinstack-")))
            values |= {"task": out / "task", "out": out / "run"}
            options = make_options(TrainOptions, gather_method_options(values))
            split_of = _split(patients, options.seed, self.valid_share)
            with TaskWriter(out / "task", name="texts", kind=kind, classes=names, source="StackClassifier") as task:
                for split in ("train", "valid"):
                    rows = [at for at, patient in enumerate(patients) if split_of[patient] == split]
                    task.write(
                        split,
                        [str(at) for at in rows],
                        [patients[at] for at in rows],
                        [notes[at] for at in rows],
                        [[names[column] for column in np.flatnonzero(labels[at])] for at in rows],
                    )
            self.result_ = train(options)
            self.model_: TextClassifier = load(out / "run", device=choose_device(options.device))
        self.classes_ = classes
        self._kind = kind
        return self

    def predict_proba(self, texts: ArrayLike) -> NDArray[np.float64]:
        """(N, C) in the order of `classes_`: rows sum to 1, or, for lists of labels, each column is one label's."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict_proba(_texts(texts)), dtype=np.float64)

    def predict(self, texts: ArrayLike) -> NDArray[Any]:
        """(N,) the most probable class; for lists of labels (N, C) of 0 and 1, from one half on."""
        probabilities = self.predict_proba(texts)
        if self._kind == "multilabel":
            return (probabilities >= 0.5).astype(int)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])


def _texts(texts: ArrayLike) -> list[str]:
    given = list(np.asarray(texts, dtype=object).ravel())
    for at, text in enumerate(given):
        if not isinstance(text, str):
            raise BadInput(f"Text {at} is of type {type(text).__name__}. Give a list of texts.")
    return given


def _labels(y: NDArray[Any], notes: int) -> tuple[str, NDArray[Any], NDArray[np.bool_]]:
    """The kind of task, its classes, and (N, C) True where a note has a class."""
    if len(y) != notes:
        raise BadInput(f"There are {notes} texts and {len(y)} labels. Give one for each text.")
    if type_of_target(y) == "multilabel-indicator":
        return "multilabel", np.arange(y.shape[1]), y.astype(bool)
    if y.ndim != 1:
        raise BadInput(f"Labels of shape {y.shape} are neither a class for each text nor columns of 0 and 1.")
    classes, column = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise BadInput(f"All labels are {shown(str(classes[0]))}. A task needs two classes or more.")
    return "binary" if len(classes) == 2 else "multiclass", classes, np.eye(len(classes), dtype=bool)[column]


def _split(patients: Sequence[str], seed: int, valid_share: float) -> dict[str, str]:
    share = Fraction(str(valid_share))
    if not 0 < share < 1:
        raise BadInput(f"valid_share is {valid_share}. Give a share of the patients between 0 and 1.")
    split_of = cut(by_hash(patients, seed), [1 - share, share])
    if len(set(split_of.values())) < 2:
        raise BadInput(f"{len(split_of)} patients are too few to hold some out for validation. Give more.")
    return split_of
