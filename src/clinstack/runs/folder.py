"""A run's folder from its first second to its last: begun, gone on with, finished, never mixed with another.

The folder is claimed by writing `config.toml` and `lineage.json`; `result.json` is written last and says that the run is whole.
The same command on the same folder goes on (or answers at once when finished); any other command is refused.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from clinstack.errors import CannotWrite
from clinstack.runs.atomic import disk_errors, only_writer, read_json, write_json, write_text
from clinstack.runs.layout import RunLayout
from clinstack.runs.lineage import short, versions


@dataclass(frozen=True)
class RunFolder:
    """An open run folder, held by this process alone."""

    layout: RunLayout

    @property
    def result(self) -> dict[str, Any] | None:
        """The result, if the run is finished."""
        return read_json(self.layout.result) if self.layout.result.is_file() else None

    def record(self, event: Mapping[str, Any]) -> None:
        """Adds a line to `metrics.jsonl`."""
        with disk_errors(self.layout.events), self.layout.events.open("a", encoding="utf-8") as out:
            out.write(json.dumps(event) + "\n")

    def forget_after(self, step: int) -> None:
        """Removes events later than a step: the run goes on from there and will write them again."""
        write_text(
            self.layout.events, "".join(json.dumps(event) + "\n" for event in self.events() if event["step"] <= step)
        )

    def events(self) -> list[dict[str, Any]]:
        """Every event so far; a last line that a killed process left half-written is passed over."""
        return read_events(self.layout.events)


def read_events(file: Path) -> list[dict[str, Any]]:
    """The events of a `metrics.jsonl`, without a half-written last line."""
    found = []
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
    return found


@contextmanager
def open_run(
    root: Path, config: Mapping[str, Any], origin: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> Iterator[RunFolder]:
    """Claims a folder for a run, or goes on with the same run in it.

    config: every option that decides the outcome, flat.
    origin: hashes of base, adapters and data that it starts from; they must be the same when it goes on.
    defaults: what is taken for said where the config that is there does not say it.
    Raises CannotWrite if the folder holds something else, or is being written by another process.
    """
    layout = RunLayout(root)
    config = {key: value for key, value in config.items() if value is not None}
    _refuse_other(layout, root, config, origin, defaults or {})
    with only_writer(root):
        if not layout.config.is_file():
            write_json(layout.lineage, {**origin, "versions": versions()})
            write_text(layout.config, tomli_w.dumps(config))
        folder = RunFolder(layout)
        if not layout.events.is_file():
            write_text(layout.events, "")
        yield folder


def _refuse_other(
    layout: RunLayout, root: Path, config: Mapping[str, Any], origin: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    if root.is_file():
        raise CannotWrite(f"{root} is a file, and a run folder is to be written there. Choose another --out.")
    if not layout.config.is_file():
        started = {".lock", layout.lineage.name, layout.failure.name}
        if root.is_dir() and any(
            entry.name not in started and not entry.name.startswith(".") for entry in root.iterdir()
        ):
            raise CannotWrite(f"{root} exists, is not empty and is not a run. Choose another --out.")
        return
    there = complete(tomllib.loads(layout.config.read_text(encoding="utf-8")), config, defaults)
    if (key := first_difference(there, config)) is not None:
        raise CannotWrite(
            f"{root} holds another run: its {key} is {there.get(key)!r}, and {config.get(key)!r} is asked for "
            f"(configuration {hash_config(there)} and {hash_config(config)}). Choose another --out, or remove that folder."
        )
    begun = read_json(layout.lineage)
    if differing := [key for key in origin if begun.get(key) != origin[key]]:
        name = differing[0]
        raise CannotWrite(
            f"{root} was begun with another {name} than is there now: {_hash_of(begun.get(name))} then, "
            f"{_hash_of(origin[name])} now. Restore it, or choose another --out."
        )


def complete(there: Mapping[str, Any], asked: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a record; of those that are asked for, what it leaves unsaid is the default."""
    return {**{key: value for key, value in defaults.items() if key in asked and value is not None}, **there}


def first_difference(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """The first option in which two records differ, one that both have before one that is the other's alone; None if none."""
    differing = [key for key in {*there, *asked} if there.get(key) != asked.get(key)]
    return min(differing, key=lambda key: (key not in there or key not in asked, key), default=None)


def hash_config(config: Mapping[str, Any]) -> str:
    """The first digits of the hash of a run's options: two runs with the same are the same run."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _hash_of(origin: Any) -> str:
    return short(str(origin["hash"] if isinstance(origin, dict) else origin))
