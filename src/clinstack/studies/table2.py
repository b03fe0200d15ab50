"""Table 2 of Gema et al. 2023, done again: each PEFT method searched, then trained, on each base.

Beside the published columns (trainable weights, train and test perplexity, time) stands what makes bases and methods
comparable: bits per byte with intervals over patients, what is forgotten of general text, memory, energy as an estimate, and
the cost of the search. The released code's perplexity has a column of its own. A finished cell is never done again. Last
trainings have a process each, so that the memory of one is not counted as another's.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinstack.config import AdaptOptions, SearchAdaptOptions, Table2Options
from clinstack.errors import BadInput
from clinstack.models.base_files import base_name
from clinstack.models.method import make_method, methods
from clinstack.runs.layout import StudyLayout
from clinstack.studies.search import check_search, search
from clinstack.studies.table2_report import write_table2
from clinstack.studies.workers import Voice, run_apart
from clinstack.training.beforehand import check_runs
from clinstack.training.contract import Diverged
from clinstack.training.language import adapt
from clinstack.training.machine import assumed_joules
from clinstack.training.running import Silent, Witness

_FINALS = ("run", "run-2", "run-3", "run-4", "run-5")
"""Folders of the last training, and of those that take its place if it breaks down."""

_SHARED = (
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
"""Options of the command that are those of every search and training."""


def table2(options: Table2Options, witness: Witness | None = None) -> dict[str, Any]:
    """Fills the table's cells that are not yet there, and writes it; returns its rows.

    A cell that cannot be done, or whose search finds nothing that trains, is shown with its reason and stops no other. Raises
    BadInput if no cell can be done, or two bases have one name; CannotWrite or Interrupted, each with the sentence to show.
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
    cells = [
        _Cell(options, base, name, method) for base, name in zip(options.bases, names, strict=True) for method in chosen
    ]
    if all(cell.refusal() for cell in cells):
        raise BadInput(cells[0].refusal())
    rows = []
    for cell in cells:
        witness.says(f"{cell.name}, {cell.method}")
        rows.append(cell.row(witness))
        write_table2(options.out, rows)
    return {"rows": rows, "report": str(StudyLayout(options.out).report)}


@dataclass(frozen=True)
class _Cell:
    """A row of the table: the search, then the training with what it chose."""

    table: Table2Options
    base: str
    name: str
    method: str

    def refusal(self) -> str | None:
        """Why it cannot be done, as far as that is known before anything is trained."""
        searching = self._searching()
        try:
            if searching is not None:
                check_search(searching)
            else:
                check_runs([self._final("run", {})])
        except BadInput as error:
            return str(error)
        return None

    def row(self, witness: Witness) -> dict[str, Any]:
        """Its figures, or why there are none."""
        row: dict[str, Any] = {"base": self.name, "method": self.method}
        searching, searched = self._searching(), None
        spoiled: list[dict[str, Any]] = []
        try:
            if searching is not None:
                searched = search(searching, witness, only_select=self.table.search_tokens is not None)
            if searched is None:
                chosen: dict[str, Any] = {}
                result = run_apart(adapt, self._final("run", chosen), Voice(1))
            elif self.table.search_tokens is None:
                chosen, result = searched["best"]["options"], searched["best"]["result"]
            else:
                trials = zip(_by_score(searched), _FINALS, strict=False)
                finals = [(trial, self._final(folder, trial["options"])) for trial, folder in trials]
                chosen, result, spoiled = run_apart(_train_on_all, finals, Voice(1))
        except (BadInput, Diverged) as error:
            return {**row, "reason": str(error)}
        return {
            **row,
            **_figures(result),
            **_of_search(searched),
            "options": chosen,
            "spoiled": spoiled,
            "reason": None,
        }

    def _searching(self) -> SearchAdaptOptions | None:
        """The options of its search; None where there is nothing to choose."""
        table = self.table
        if not (methods()[self.method].space(0) or table.learning_rates):
            return None
        return SearchAdaptOptions(
            base=self.base,
            method=self.method,
            out=self._place("search"),
            trials=table.trials,
            train_tokens=table.search_tokens,
            prune_after=table.prune_after,
            learning_rates=table.learning_rates,
            workers=table.workers,
            **self._shared,
        )

    def _final(self, folder: str, chosen: dict[str, Any]) -> AdaptOptions:
        """The options of its last training: what the search chose, on the whole corpus."""
        best = dict(chosen)
        rate = {"learning_rate": best.pop("learning_rate")} if "learning_rate" in best else {}
        return AdaptOptions(
            base=self.base, method=self.method, out=self._place(folder), method_options=best, **rate, **self._shared
        )

    def _place(self, folder: str) -> Path:
        return self.table.out / self.name / self.method / folder

    @property
    def _shared(self) -> dict[str, Any]:
        """What the table says of every run."""
        return {key: getattr(self.table, key) for key in _SHARED}


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
