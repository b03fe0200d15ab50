"""The library: the runs in use, every version of every task, and which of them answers.

A version is a copy of a finished run that is whole, verified and never changed again; adapters that several versions share lie
on the disk once. What is promoted is one small file, written whole or not at all. Processes take turns at changing a library;
readers need no turn. A copy holds no note and no id of a note or patient; it holds the scores that thresholds come from.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyarrow import parquet

from clinstack.errors import BadInput, ClinstackError, WrongParents, did_you_mean
from clinstack.runs.atomic import atomic_file, atomic_folder, read_json, wait_for_turn, write_json
from clinstack.runs.card import add_groups
from clinstack.runs.layout import AdapterLayout, LibraryLayout, RunLayout
from clinstack.runs.lineage import hash_files
from clinstack.runs.seal import check_seal, mend_version, seal
from clinstack.serving.entry_names import is_task_name


@dataclass(frozen=True)
class Entry:
    """A version of a task. promoted: whether it is the one that answers.   about: what it says of itself.

    since: when it was last promoted or rolled back to, as ISO 8601; None if never.
    broken: why it cannot be used and what to do, if it does not even say what it is.
    """

    task: str
    version: int
    promoted: bool
    about: dict[str, Any]
    since: str | None = None
    broken: str | None = None

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.task}@{self.version}"


class Library:
    """A library in a folder; an absent one is empty."""

    def __init__(self, root: Path):
        self.layout = LibraryLayout(root)

    def add(self, run: Path, task: str, base: str | None = None, groups: Sequence[dict[str, Any]] = ()) -> Entry:
        """Copies a finished step-2 run in as the next version of a task.

        base: where the base is now, if not where it was; it must be the run's, by content.
        groups: figures by group of patients, as `evaluation.subgroups` has them, for the version's card.
        Raises BadInput or WrongParents if the run is not whole, has been changed, lacks a parent, or is of another base.
        """
        if not is_task_name(task):
            raise BadInput(f"{task!r} is no name for a task. Use lower-case letters, digits, and - _ . between them.")
        from clinstack.serving.run_check import check_run  # torch: who lists versions does not wait for it

        check_run(run, base)
        if not (kept := RunLayout(run).predictions).is_file():
            raise BadInput(f"{kept} is missing: the run is half a copy. Copy it again, whole, or train again.")
        with self._turn():
            self._require_same_question(run, task)
            version = 1 + max(self._numbers(task), default=0)
            with atomic_folder(self.layout.version(task, version)) as partial:
                copy = RunLayout(partial)
                self._copy(RunLayout(run), copy)
                add_groups(copy.card, groups)
                seal(copy)
                check_run(partial, base)
            return self.entry(task, version)

    def _numbers(self, task: str) -> Iterator[int]:
        """Of versions that are or were there: promoted once, a number stands for it in the log."""
        yield from (one.version for one in self.entries(task))
        for one in self._state()["log"]:
            name, _, number = one["version"].rpartition("@")
            if name == task:
                yield int(number)

    def entries(self, task: str | None = None) -> list[Entry]:
        """Every version of every task, or of one, in order, broken ones among them."""
        state = self._state()
        promoted = state["promoted"]
        since = {one["version"]: one["time"] for one in state["log"]}
        there = sorted({*self.layout.versions(), *promoted.items()})
        return [
            self._read(name, number, promoted.get(name) == number, since.get(f"{name}@{number}"))
            for name, number in there
            if task in (None, name)
        ]

    def entry(self, task: str, version: int | None = None) -> Entry:
        """One version; the promoted one if None. Raises BadInput if there is none, WrongParents if it is broken."""
        found = self._find(task, version)
        if found.broken:
            raise WrongParents(found.broken)
        return found

    def _find(self, task: str, version: int | None = None) -> Entry:
        mine = self.entries(task)
        if not mine:
            known = sorted({one.task for one in self.entries()})
            offer = did_you_mean(task, known) if known else "It is empty."
            raise BadInput(f"Library {self.layout.root} has no task {task!r}. {offer}")
        wanted = [one for one in mine if (one.promoted if version is None else one.version == version)]
        if not wanted and version is None:
            raise BadInput(f"No version of {task} is promoted. Promote one of {', '.join(one.name for one in mine)}.")
        if not wanted:
            raise BadInput(f"Task {task} has no version {version}. It has {', '.join(one.name for one in mine)}.")
        return wanted[0]

    def run(self, entry: Entry) -> Path:
        """The run folder of a version."""
        return self.layout.version(entry.task, entry.version)

    def terms(self, entry: Entry) -> list[str]:
        """The terms of the data that a version was trained on."""
        return terms_of(RunLayout(self.run(entry)))

    def verify(self, entry: Entry, base: str | None = None) -> None:
        """Raises WrongParents or BadInput, naming the file, if anything of a version is not what was added."""
        if entry.broken:
            raise WrongParents(entry.broken)
        from clinstack.serving.run_check import check_run

        check_run(self.run(entry), base)

    def promote(self, entry: Entry) -> None:
        """Lets a version answer, once it is verified. The one that did so far is kept for `rollback`."""
        self.verify(entry)
        with self._turn():
            state = self._state()
            before = state["promoted"].get(entry.task)
            if before == entry.version:
                return
            if before is not None:
                state["history"].setdefault(entry.task, []).append(before)
            state["promoted"][entry.task] = entry.version
            self._write(state, "promote", entry.name)

    def rollback(self, task: str) -> Entry:
        """Lets the version answer that did before the promoted one. Raises BadInput if there was none."""
        self._find(task)
        with self._turn():
            state = self._state()
            earlier = state["history"].get(task, [])
            if not earlier:
                raise BadInput(
                    f"There is nothing to go back to: no other version of {task} was promoted before this one."
                )
            back = self.entry(task, earlier.pop())
            self.verify(back)
            state["promoted"][task] = back.version
            self._write(state, "rollback", back.name)
        return self.entry(task)

    def _read(self, task: str, version: int, promoted: bool, since: str | None) -> Entry:
        """What a version says of itself, or why it does not."""
        layout = RunLayout(self.layout.version(task, version))
        try:
            if not layout.root.is_dir():
                raise WrongParents(f"{layout.root} is missing. Restore it, or promote another version.")
            if not check_seal(layout, layout.entry):
                raise WrongParents(f"{layout.manifest} is missing. {mend_version(layout)}")
            return Entry(task, version, promoted, read_json(layout.entry), since)
        except ClinstackError as error:
            return Entry(task, version, promoted, {}, since, broken=f"{task}@{version} is broken: {error}")

    def _require_same_question(self, run: Path, task: str) -> None:
        """Raises BadInput if a run decides on other classes than the versions of a task: whoever asks would not be told."""
        kept = [RunLayout(self.run(one)) for one in self.entries(task) if not one.broken]
        for layout in kept[-1:]:
            there, new = (read_json(one.result) for one in (layout, RunLayout(run)))
            if (there["kind"], there["classes"]) != (new["kind"], new["classes"]):
                raise BadInput(
                    f"{task} is {there['task']} here ({there['kind']}, {len(there['classes'])} classes), and {run} was trained "
                    f"on {new['task']} ({new['kind']}, {len(new['classes'])} classes, not the same). Give it another --name."
                )

    def _copy(self, run: RunLayout, copy: RunLayout) -> None:
        """Contents alone: who may read a library is decided by the umask of whoever adds to it, not by a run's files."""
        result, lineage = read_json(run.result), read_json(run.lineage)
        for file in (
            run.config,
            run.result,
            run.lineage,
            run.card,
            run.labels,
            run.head,
            run.baseline,
            run.baseline_arrays,
        ):
            if file.is_file():
                shutil.copyfile(file, copy.root / file.name)
        if "own_base" in lineage:
            for file in (one for one in run.base.rglob("*") if one.is_file()):
                place = copy.base / file.relative_to(run.base)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
        for adapter in lineage["adapters"]:
            shared = self.layout.adapter(adapter["hash"])
            place = copy.adapter(adapter["name"])
            place.mkdir(parents=True)
            for file in AdapterLayout(run.adapter(adapter["name"])).files:
                _share(file, shared / file.name)
                os.link(shared / file.name, place / file.name)
        scores = parquet.read_table(run.predictions, columns=["split", "labels", "logits"])
        with atomic_file(copy.scores) as partial:
            parquet.write_table(scores, partial, compression="zstd")
        write_json(
            copy.entry,
            {
                "added": datetime.now(UTC).isoformat(timespec="seconds"),
                **{key: result[key] for key in ("task", "kind", "variant", "base", "seed", "metrics", "parameters")},
                "classes": len(result["classes"]),
                "terms": terms_of(run),
                "sealed": run.manifest.is_file(),
                "lineage": {
                    "base": lineage["base"]["hash"],
                    "adapters": {one["name"]: one["hash"] for one in lineage["adapters"]},
                    "head": lineage["head"],
                    "data": lineage["data"]["hash"],
                },
            },
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with wait_for_turn(self.layout.root):
            yield

    def _state(self) -> dict[str, Any]:
        if not self.layout.state.is_file():
            return {"promoted": {}, "history": {}, "log": []}
        return dict(read_json(self.layout.state))

    def _write(self, state: dict[str, Any], what: str, name: str) -> None:
        state["log"].append({"time": datetime.now(UTC).isoformat(timespec="seconds"), "what": what, "version": name})
        write_json(self.layout.state, state)


def terms_of(run: RunLayout) -> list[str]:
    """The terms of the data behind a run: its own, and those of every adapter in it."""
    lineage = read_json(run.lineage)
    adapters = [read_json(AdapterLayout(run.adapter(one["name"])).lineage) for one in lineage["adapters"]]
    return sorted({term for one in (lineage, *adapters) for term in one["terms"]})


def _share(file: Path, shared: Path) -> None:
    """Puts a file where versions share it, also in place of one that is not the same: it may have been damaged."""
    if not shared.is_file() or hash_files([shared]) != hash_files([file]):
        with atomic_file(shared) as partial:
            shutil.copyfile(file, partial)
