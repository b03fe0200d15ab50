"""How tasks of a library and their versions are called: mortality, mortality@2."""

from clinstack.errors import BadInput

_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def is_task_name(name: str) -> bool:
    """Whether a task of a library may be called so."""
    return bool(name) and set(name) <= _NAME and not name.startswith(".")


def parse_entry(word: str) -> tuple[str, int | None]:
    """TASK or TASK@VERSION. Raises BadInput for anything else."""
    task, at, version = word.partition("@")
    if at and not version.isdecimal():
        raise BadInput(f"{word!r} is neither a task nor TASK@VERSION, such as mortality@2.")
    return task, int(version) if at else None
