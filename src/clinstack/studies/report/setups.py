"""Setups: what is compared, and by which name it is shown.

A *setup* is everything of a step-2 run but its task and seed: base, profile, variant, clinical adapter, PEFT methods, and
whatever settings differ between runs that are otherwise alike (a search's ranks, a study's heads).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinstack.runs.lineage import short
from clinstack.studies.published import VARIANTS
from clinstack.studies.report.gather import Run

_PLACES = frozenset({"out", "task", "base", "clinical", "corpus", "seed", "device", "config", "checkpoint_seconds"})
"""Settings that say where or on what and not how: what lies there is told by its hash."""


@dataclass(frozen=True)
class Setup:
    """What is compared: a step-2 run without its task and seed. clinical: which clinical adapter it has; empty without one."""

    base: str
    base_hash: str
    profile: str
    variant: str
    clinical: str
    methods: tuple[tuple[str, str], ...]
    extras: tuple[tuple[str, str], ...]


def setups_of(runs: Sequence[Run], adapting: Sequence[Run]) -> dict[str, Setup]:
    """The setup of each run of step 2, by the run's name. adapting: runs of step 1, where clinical adapters are from.

    A setting is part of it if two runs of one task, alike in all that every setup has, differ in it.
    """
    clinical = _clinical_names(runs, adapting)
    alike: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in runs:
        alike[(task_key(run), *_identity(run, clinical))].append(run)
    differing: set[str] = set()
    for group in alike.values():
        keys = {key for run in group for key in run.settings} - _PLACES
        differing |= {key for key in keys if len({str(run.settings.get(key)) for run in group}) > 1}
    setups = {}
    for run in runs:
        extras = tuple((key, str(run.settings[key])) for key in sorted(differing) if key in run.settings)
        setups[run.name] = Setup(*_identity(run, clinical), extras)
    return setups


def task_key(run: Run) -> tuple[str, str, tuple[str, ...], str]:
    """What makes two runs be of one task: name, kind, classes, and the hash of the notes."""
    result = run.result
    return str(result["task"]), str(result["kind"]), tuple(result["classes"]), data_hash(run)


def data_hash(run: Run) -> str:
    """The hash of the notes that a run was trained on; empty if it does not say."""
    return str(run.lineage.get("data", {}).get("hash", ""))


def _identity(run: Run, clinical: Mapping[str, str]) -> tuple[str, str, str, str, str, tuple[tuple[str, str], ...]]:
    base = run.result["base"]
    # Where a run makes its own base, or tunes it, the lineage says of what; the result's is another one for each seed.
    source = run.lineage.get("base", base).get("hash")
    methods = tuple((str(one.get("name")), str(one.get("method"))) for one in run.lineage.get("adapters", []))
    profile, variant = str(run.result.get("profile", "correct")), str(run.result["variant"])
    return str(base.get("name")), str(source), profile, variant, clinical.get(_clinical_of(run), ""), methods


def _clinical_of(run: Run) -> str:
    """The hash of the clinical adapter that a run was given; empty without one."""
    return str(run.lineage.get("clinical") or "")


def _clinical_names(runs: Sequence[Run], adapting: Sequence[Run]) -> dict[str, str]:
    """Each clinical adapter's hash -> how it is told from others: by its hash, shared by those that differ in the seed alone.

    That they do is known where their runs of step 1 are there: base, notes and every setting but the seed are the same.
    """
    made: dict[str, str] = {}
    for run in (run for run in adapting if run.settings and data_hash(run)):
        how = sorted((key, str(value)) for key, value in run.settings.items() if key not in _PLACES)
        for adapter in run.lineage.get("adapters", []):
            made[str(adapter.get("hash"))] = str((run.result["base"].get("hash"), data_hash(run), how))
    alike: dict[str, list[str]] = defaultdict(list)
    for one in sorted({_clinical_of(run) for run in runs} - {""}):
        alike[made.get(one, one)].append(one)
    return {
        one: short(group[0]) + (f" and {len(group) - 1} of other seeds" if len(group) > 1 else "")
        for group in alike.values()
        for one in group
    }


def setup_labels(setups: Sequence[Setup]) -> dict[Setup, str]:
    """A name for each setup: its variant, and in brackets whatever else tells it from the others."""
    distinct = list(dict.fromkeys(setups))
    parts: list[Callable[[Setup], str]] = []
    if len({setup.base_hash for setup in distinct}) > 1:
        parts.append(lambda setup: setup.base)
    if len({setup.profile for setup in distinct}) > 1:
        parts.append(lambda setup: setup.profile)
    adapters: dict[str, set[str]] = defaultdict(set)
    for setup in distinct:
        adapters[setup.base_hash] |= {setup.clinical} - {""}
    if any(len(of_base) > 1 for of_base in adapters.values()):
        parts.append(lambda setup: f"clinical adapter {setup.clinical}" if setup.clinical else "")
    methods: dict[str, set[str]] = defaultdict(set)
    for setup in distinct:
        for adapter, method in setup.methods:
            methods[adapter].add(method)
    several = {adapter for adapter, used in methods.items() if len(used) > 1}
    parts.append(lambda setup: ", ".join(f"{a} {m}" for a, m in setup.methods if a in several))
    parts.append(lambda setup: ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in setup.extras))
    labels = {}
    for setup in distinct:
        told = ", ".join(text for text in (part(setup) for part in parts) if text)
        labels[setup] = f"{setup.variant} ({told})" if told else setup.variant
    return labels


def table_order(setup: Setup) -> tuple[Any, ...]:
    """Sorts setups as tables have them: those of the published comparison first, in its order."""
    known = VARIANTS.index(setup.variant) if setup.variant in VARIANTS else len(VARIANTS)
    extras = tuple((key, *_numbers_first(value)) for key, value in setup.extras)
    return setup.base, setup.profile, known, setup.variant, setup.clinical, setup.methods, extras


def _numbers_first(value: str) -> tuple[bool, float, str]:
    """Sorts rank 4 before rank 16."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value
