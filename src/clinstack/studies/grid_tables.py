"""What the tables of a grid's file may hold: keys and values are checked where they stand, so a mistake names its table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from clinstack.config import AdaptOptions, TrainOptions
from clinstack.errors import BadInput, did_you_mean
from clinstack.models.method import methods

_ELSEWHERE = {
    "out": "the study gives each run its own folder. Remove it",
    "base": "its place is [grid]",
    "task": "its place is [grid]",
    "seed": "its place is [grid]",
    "variant": "its place is [grid]",
}
"""Options of a run that the study or its axes decide, and where they belong."""


def as_table(given: Any, name: str) -> Mapping[str, Any]:
    """What is given, if it is a TOML table. Raises BadInput."""
    if not isinstance(given, Mapping):
        raise BadInput(f"[{name}] must be a table, not {given!r}. Write [{name}], and its keys below.")
    return given


def as_text(given: Any, key: str) -> str:
    """What is given, if it is text. Raises BadInput."""
    if not isinstance(given, str):
        raise BadInput(f"{key} must be text, not {given!r}.")
    return given


def as_names(given: Any, key: str) -> list[str]:
    """What is given, if it is a list of different texts. Raises BadInput."""
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise BadInput(f"{key} must be a list of names, not {given!r}.")
    if len(set(given)) < len(given):
        raise BadInput(f"{key} names a value twice.")
    return given


def spelled(key: str) -> str:
    """An option as TOML files and flags have it."""
    return key.replace("_", "-")


def by_option(given: Any, name: str) -> dict[str, Any]:
    """A table under Python's names. Raises BadInput if it is none, or says an option twice, once with an underscore."""
    found: dict[str, Any] = {}
    for key, value in as_table(given, name).items():
        option = key.replace("-", "_")
        if option in found:
            raise BadInput(f"[{name}] has {spelled(option)} twice, once with an underscore. Remove one of them.")
        found[option] = value
    return found


@dataclass(frozen=True)
class Reader:
    """Reads the tables of a file. where: what its paths are relative to."""

    where: Path

    def shared(self, given: Any) -> dict[str, Any]:
        """[all]: options of every run of step 2. Raises BadInput naming table and key, as all of these."""
        return self._options(given, "all", TrainOptions, tuple(_ELSEWHERE))

    def variant(self, given: Any, name: str) -> dict[str, Any]:
        """A table of [variants]: options of step 2."""
        return self._options(given, f"variants.{name}", TrainOptions, tuple(_ELSEWHERE))

    def clinical(self, given: Any) -> dict[str, Any]:
        """[clinical]: options of step 1 and `per_seed`, or `run`, as a list of folders."""
        found = by_option(given, "clinical")
        if "run" not in found:
            per_seed = found.pop("per_seed", False)
            if not isinstance(per_seed, bool):
                raise BadInput(f"[clinical] per-seed must be true or false, not {per_seed!r}.")
            if per_seed and "seed" in found:
                raise BadInput(
                    "[clinical] per-seed takes the seeds of [grid], so seed says nothing. Remove one of them."
                )
            return {"per_seed": per_seed, **self._options(found, "clinical", AdaptOptions, ("out", "base"))}
        if beside := [key for key in found if key != "run"]:
            raise BadInput(
                f"[clinical] run takes finished runs of step 1, so {spelled(beside[0])} says nothing. Remove one of them."
            )
        runs = [found["run"]] if isinstance(found["run"], str) else as_names(found["run"], "[clinical] run")
        if not runs:
            raise BadInput("[clinical] run is empty. Give a finished run of step 1 for each base.")
        return {"run": [self.where / run for run in runs]}

    def axes(self, given: Any) -> dict[str, list[Any]]:
        """[grid]: options of step 2 and `variant`, of each the values that are compared, as the file has them."""
        found = by_option(given, "grid")
        known = _fields(TrainOptions)
        for axis in ("base", "task", "variant"):
            if axis not in found:
                raise BadInput(f"[grid] lacks {axis}. Give a list of what is to be compared, also if it is one.")
        for axis, values in found.items():
            name = f"[grid] {spelled(axis)}"
            _require_known(axis, "grid", {**known, "variant": []}, ("out",))
            if not isinstance(values, list) or not values:
                raise BadInput(f"{name} must be a list with at least one value.")
            for value in values:
                as_text(value, name) if axis == "variant" else _require_fitting(value, name, known[axis])
            if len({str(value) for value in values}) < len(values):
                raise BadInput(f"{name} names a value twice.")
        return {"seed": [1], **found}

    def point(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Options as a run takes them: paths and bases found from the file."""
        return {key: self._found(key, value) for key, value in values.items()}

    def _options(
        self, given: Any, name: str, kind: type[AdaptOptions] | type[TrainOptions], without: tuple[str, ...]
    ) -> dict[str, Any]:
        known, found = _fields(kind), by_option(given, name)
        for key, value in found.items():
            _require_known(key, name, known, without)
            _require_fitting(value, f"[{name}] {spelled(key)}", known[key])
        return self.point(found)

    def _found(self, key: str, value: Any) -> Any:
        if key == "base":
            return str(self.where / value) if (self.where / value / "config.json").is_file() else value
        return self.where / value if key in ("task", "corpus", "clinical", "general", "feature_store") else value


def _fields(kind: type[AdaptOptions] | type[TrainOptions]) -> dict[str, list[FieldInfo]]:
    """Every option of a step and of the PEFT methods, with what it may be."""
    found = {key: [field] for key, field in kind.model_fields.items() if key != "method_options"}
    for method in methods().values():
        for key, field in method.model_fields.items():
            found.setdefault(key, []).append(field)
    return found


def _require_known(key: str, name: str, known: Mapping[str, Any], without: tuple[str, ...]) -> None:
    if key in without:
        raise BadInput(f"[{name}] may not hold {key}: {_ELSEWHERE[key]}.")
    if key not in known:
        could = [spelled(one) for one in known if one not in without]
        raise BadInput(f"Unknown option {spelled(key)!r} in [{name}]. {did_you_mean(spelled(key), could)}")


def _require_fitting(value: Any, name: str, fields: list[FieldInfo]) -> None:
    """Raises BadInput for a value that none of these options can take; a number is no text, and true no number."""
    mistakes = [_mistake(value, field) for field in fields]
    if all(mistakes):
        raise BadInput(f"{name}: {mistakes[0]}, not {value!r}.")


def _mistake(value: Any, field: FieldInfo) -> str | None:
    of = field.annotation
    if of is Path or Path in get_args(of):
        return None if isinstance(value, str) else "Input should be a valid string"
    allowed: Any = Annotated[of, *field.metadata] if field.metadata else of
    try:
        TypeAdapter(allowed).validate_python(value, strict=True)
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    return None
