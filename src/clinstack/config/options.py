"""What every command's options share, and how they are made from flags or keywords."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from clinstack.errors import BadInput, did_you_mean


class Options(BaseModel):
    """What every command's options share: complete, frozen, and no unknown name."""

    # Built when first used: a command needs one class of twenty, and `--help` none.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True, allow_inf_nan=False
    )


Chosen = TypeVar("Chosen", bound=Options)


def make_options(kind: type[Chosen], given: dict[str, Any]) -> Chosen:
    """A command's options from flags or keywords. Raises BadInput: every mistake, and the nearest name of an unknown one."""
    known = [key for key in kind.model_fields if key != "method_options"]
    if unknown := sorted(set(given) - set(kind.model_fields)):
        raise BadInput(f"Unknown option {unknown[0]!r}. {did_you_mean(unknown[0], known)}")
    try:
        return kind(**given)
    except ValidationError as error:
        raise BadInput(" ".join(f"--{_flag(one['loc'])}: {one['msg']}." for one in error.errors())) from error


def _flag(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location).replace("_", "-")
