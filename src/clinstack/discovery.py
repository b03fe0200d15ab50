"""Found by the folder: a package's modules are its table, each providing one public class.

Adding a PEFT method (later a task, a head adapter, a data source) means adding one file; no list is edited anywhere.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

from clinstack.errors import BadInput, did_you_mean

Member = TypeVar("Member")


def members(package: str, interface: type[Member]) -> dict[str, type[Member]]:
    """Every module of `package` with the one class of `interface` it provides, by name (`p_tuning.py` is `p-tuning`).

    Raises BadInput naming the file in which the class is missing, or doubled.
    """
    folder = importlib.import_module(package)
    found = {}
    for info in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{package}.{info.name}")
        classes = [value for value in vars(module).values() if _provides(value, interface, module)]
        if len(classes) != 1:
            raise BadInput(
                f"{module.__file__} must hold exactly one public {interface.__name__} class, and holds {len(classes)}."
            )
        found[info.name.replace("_", "-")] = classes[0]
    return found


def names(package: str) -> list[str]:
    """The names of a package's members; none of their modules is imported."""
    folder = importlib.import_module(package)
    return [info.name.replace("_", "-") for info in pkgutil.iter_modules(folder.__path__)]


def member(package: str, interface: type[Member], name: str, what: str) -> type[Member]:
    """The member of that name. Raises BadInput with the nearest name if there is none."""
    table = members(package, interface)
    if name not in table:
        raise BadInput(f"Unknown {what} {name!r}. {did_you_mean(name, table)}")
    return table[name]


def _provides(value: object, interface: type, module: ModuleType) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, interface)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    )
