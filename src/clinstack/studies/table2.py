"""Table 2 of Gema et al. 2023, done again: each PEFT method searched, then trained, on each base.

Beside the published columns (trainable weights, train and test perplexity, time) stands what makes bases and methods
comparable: bits per byte with intervals over patients, what is forgotten of general text, memory, energy as an estimate, and
the cost of the search. The released code's perplexity has a column of its own. A finished cell is never done again. Last
trainings have a process each, so that the memory of one is not counted as another's.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from clinstack.config import AdaptOptions, SearchAdaptOptions, Table2Options
from clinstack.errors import BadInput, Interrupted
from clinstack.models.backbone import base_name
from clinstack.models.method import make_method, methods
from clinstack.runs.layout import StudyLayout
from clinstack.studies.search import search
from clinstack.studies.table2_report import write_table2
from clinstack.studies.workers import Voice, run_apart
from clinstack.training.language import adapt
from clinstack.training.loop import Diverged
from clinstack.training.machine import assumed_joules
from clinstack.training.running import Silent, Witness

_FINALS = ("run", "run-2", "run-3", "run-4", "run-5")
"""Folders of the last training, and of those that take its place if it breaks down."""


def table2(options: Table2Options, witness: Witness | None = None) -> dict[str, Any]:
    """Fills the table's cells that are not yet there, and writes it; returns its rows.

    A cell whose search finds nothing that trains is shown with its reason and does not stop the others. Raises BadInput,
    CannotWrite or Interrupted, each with the sentence to show.
    """
    witness = witness or Silent()
    chosen = [name.strip() for name in options.methods.split(",") if name.strip()]
    if not chosen:
        raise BadInput(f"--methods names none. Known: {', '.join(methods())}.")
    for name in chosen:
        make_method(name, {})
    names = [base_name(base) for base in options.bases]
    if len(set(names)) < len(names):
        raise BadInput(f"Two bases have the same name: {', '.join(names)}. Give their folders different names.")
    rows = []
    for base, name in zip(options.bases, names, strict=True):
        for method in chosen:
            witness.says(f"{name}, {method}")
            rows.append(_cell(options, base, name, method, witness))
            write_table2(options.out, rows)
    return {"rows": rows, "report": str(StudyLayout(options.out).report)}


def _cell(options: Table2Options, base: str, name: str, method: str, witness: Witness) -> dict[str, Any]:
    """A row of the table: the search, then the training with what it chose."""
    folder = options.out / name / method
    shared: dict[str, Any] = {
        key: getattr(options, key)
        for key in (
            "corpus",
            "general",
            "epochs",
            "batch_size",
            "max_tokens",
            "validation_tokens",
            "seed",
            "device",
            "precision",
        )
    }
    row: dict[str, Any] = {"base": name, "method": method}
    searched: dict[str, Any] | None = None
    try:
        if methods()[method].space(0) or options.learning_rates:
            searched = search(
                SearchAdaptOptions(
                    base=base,
                    method=method,
                    out=folder / "search",
                    trials=options.trials,
                    train_tokens=options.search_tokens,
                    prune_after=options.prune_after,
                    learning_rates=options.learning_rates,
                    workers=options.workers,
                    **shared,
                ),
                witness,
                only_select=options.search_tokens is not None,
            )
        spoiled: list[dict[str, Any]] = []
        if searched is None:
            chosen = {}
            result = run_apart(adapt, _final(options, base, method, folder / "run", {}, shared), Voice(1))
        elif options.search_tokens is None:
            chosen, result = searched["best"]["options"], searched["best"]["result"]
        else:
            finals = [
                (trial, _final(options, base, method, folder / name, trial["options"], shared))
                for trial, name in zip(_by_score(searched), _FINALS, strict=False)
            ]
            chosen, result, spoiled = run_apart(_train_on_all, finals, Voice(1))
    except Interrupted:
        raise
    except Diverged as error:
        return {**row, "reason": str(error)}
    return {**row, **_figures(result), **_of_search(searched), "options": chosen, "spoiled": spoiled, "reason": None}


def _final(
    options: Table2Options, base: str, method: str, out: Path, chosen: dict[str, Any], shared: dict[str, Any]
) -> AdaptOptions:
    """The options of a cell's last training: what the search chose, on the whole corpus."""
    best = dict(chosen)
    rate = {"learning_rate": best.pop("learning_rate")} if "learning_rate" in best else {}
    return AdaptOptions(base=base, method=method, out=out, method_options=best, **rate, **shared)


def _by_score(searched: dict[str, Any]) -> list[dict[str, Any]]:
    """The trials that came to their end, the best first."""
    complete = [trial for trial in searched["trials"] if trial["state"] == "complete"]
    return sorted(complete, key=lambda trial: float(trial["score"]))


def _train_on_all(
    finals: Iterable[tuple[dict[str, Any], AdaptOptions]], witness: Witness
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Trains the best trials on the whole corpus until one does not end worse, on validation, than its trial did.

    A rate that is best for few tokens may be too high for many: then the long training breaks down, and the next best point is
    taken. Returns the point, its result, and the points that broke down. If all do, the one that is left best.
    """
    ended: list[tuple[float, dict[str, Any], AdaptOptions]] = []
    spoiled: list[dict[str, Any]] = []
    for trial, final in finals:
        score = float("inf")
        with suppress(Diverged):
            score = adapt(final, witness, only_train=True)["validation"]["value"]
            ended.append((score, trial["options"], final))
            if score <= trial["score"]:
                break
        spoiled.append(trial["options"])
        witness.says(f"On the whole corpus {trial['options']} ended worse than its trial; the next best point is taken")
    if not ended:
        raise Diverged("None of the best points of the search could be trained on the whole corpus.")
    _, chosen, final = min(ended, key=lambda one: one[0])
    return chosen, adapt(final, witness), [one for one in spoiled if one != chosen]


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    """A run's figures under flat names."""
    cost = result["cost"]["train"]
    found = {
        "parameters_total": result["parameters"]["total"],
        "parameters_trainable": result["parameters"]["trainable"],
        "seconds": cost["seconds"],
        "tokens": cost["tokens"],
        "peak_bytes": cost["peak_bytes"],
        "energy_joules_assumed": assumed_joules(cost["cpu_seconds"]),
        "precision": result["precision"],
    }
    for split in ("train", "valid", "test"):
        for phase in ("before", "after"):
            found[f"perplexity_{split}_{phase}"] = result["perplexity"][split][phase]
            found[f"bits_per_byte_{split}_{phase}"] = result["bits_per_byte"][split][phase]
    for name in ("before", "after", "change"):
        limits = result["intervals"]["test"][name]
        found |= {f"bits_per_byte_test_{name}_low": limits["low"], f"bits_per_byte_test_{name}_high": limits["high"]}
    found["bits_per_byte_test_change"] = result["intervals"]["test"]["change"]["value"]
    for phase in ("before", "after"):
        found[f"perplexity_test_{phase}_as_released"] = result["as_released"]["perplexity"]["test"][phase]
    forgetting = result["forgetting"]
    change = forgetting["intervals"]["change"] if forgetting else {"value": None, "low": None, "high": None}
    found |= {f"general_bits_per_byte_change{'' if k == 'value' else f'_{k}'}": v for k, v in change.items()}
    return found


def _of_search(searched: dict[str, Any] | None) -> dict[str, Any]:
    if searched is None:
        return {"search_tried": 0, "search_repeats": 0, "search_pruned": 0, "search_seconds": 0.0}
    return {
        "search_tried": searched["tried"],
        "search_repeats": searched["repeats"],
        "search_pruned": searched["pruned"],
        "search_failed": searched["failed"],
        "search_seconds": searched["cost"]["seconds"],
        "search_tokens": searched["cost"]["tokens"],
    }
