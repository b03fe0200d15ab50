"""Whether a run is what its lineage says: every adapter, the head and the base are looked at, which takes torch and a while."""

from pathlib import Path
from typing import Any

from clinstack.errors import BadInput, WrongParents
from clinstack.models.adapter_files import load_adapter
from clinstack.models.base_files import find_base, hash_base
from clinstack.models.baseline import load_baseline
from clinstack.models.note_classifier import base_of_run, finished_step_2, hash_of_head
from clinstack.runs.layout import RunLayout
from clinstack.runs.lineage import short
from clinstack.runs.seal import check_seal


def check_run(run: Path, base: str | None = None) -> None:
    """Raises BadInput or WrongParents if a step-2 run is not finished, whole, unchanged, and of its base.

    base: where the base is now; where it was without it, and not looked at if it is no longer there.
    """
    layout, _, lineage = finished_step_2(run)
    check_seal(layout)
    parents: list[str] = []
    for recorded in lineage["adapters"]:
        folder = layout.adapter(recorded["name"])
        if not folder.is_dir():
            raise WrongParents(f"{run} lacks its adapter {recorded['name']!r} ({recorded['hash']}). Restore {folder}.")
        adapter = load_adapter(folder)
        if adapter.hash != recorded["hash"]:
            raise WrongParents(
                f"{folder} holds adapter {adapter.hash}, and the run was made with {recorded['hash']}. Restore that one."
            )
        if adapter.base != lineage["base"]["hash"]:
            raise WrongParents(f"{folder} was made for the base {adapter.base}, the run for {lineage['base']['hash']}.")
        if missing := [one for one in adapter.parents if one not in parents]:
            raise WrongParents(f"{folder} needs adapter {missing[0]} below it, which the run does not hold.")
        parents.append(str(adapter.hash))
    if lineage["stack"] is None:
        load_baseline(layout, lineage["head"])
        return
    if (found := hash_of_head(layout.head)) != lineage["head"]:
        raise WrongParents(
            f"{layout.head} has been changed: its content is {found}, the lineage says {lineage['head']}."
        )
    _check_base(layout, lineage, base)


def _check_base(run: RunLayout, lineage: dict[str, Any], base: str | None) -> None:
    where, wanted = base_of_run(run, lineage, base)
    try:
        path = find_base(where)
    except BadInput:
        if base is not None or "own_base" in lineage:
            raise
        return  # it may be on another machine; whoever loads the run meets it
    if (found := hash_base(path, lineage["base"].get("quantize"))) != wanted:
        mend = "Restore it." if "own_base" in lineage else "Give the base it was made on with --base."
        raise WrongParents(f"{run.root} was made on the base {short(wanted)} and {where} is {short(found)}. {mend}")
