"""The report's numbers as flat rows, one per run, for a spreadsheet or a script.

Names are what the run's own files call a thing, nested ones joined by underscores: `test_auroc`, `test_auroc_low`,
`train_seconds`, `base_hash`, and every setting under its own name. If a setting and a result share a name and differ (a
task's folder and its name), the setting is called `config_...`.
"""

import math
from collections.abc import Mapping
from typing import Any

from clinstack.studies.report.gather import Gathered, Run, Unfinished, flatten

_OWN_NAMES = ("metrics", "cost", "classes")


def flat_rows(found: Gathered) -> list[dict[str, Any]]:
    """A row per finished run, step 1 first, then one per unfinished run with its reason and, if it is known, its cell."""
    return [*(_row(run) for run in found.finished), *(_unfinished_row(one) for one in found.unfinished)]


def _unfinished_row(one: Unfinished) -> dict[str, Any]:
    row = {"run": one.name, "status": "unfinished", "reason": one.reason}
    if one.cell is None:
        return row
    return {
        **row,
        "variant": one.cell.variant,
        "base_name": one.cell.base,
        "task": one.cell.task,
        "seed": one.cell.seed,
    }


def _row(run: Run) -> dict[str, Any]:
    plain = {key: value for key, value in run.result.items() if key not in _OWN_NAMES}
    row = {"run": run.name, "status": "finished", **flatten(plain)}
    if "classes" in run.result:
        row["class_count"] = len(run.result["classes"])
    for split, metrics in run.result.get("metrics", {}).items():
        row |= _metric_columns(split, metrics)
    row |= flatten(run.result.get("cost", {}))
    for adapter in run.lineage.get("adapters", []):
        row[f"{adapter.get('name')}_method"] = adapter.get("method")
        row[f"{adapter.get('name')}_hash"] = adapter.get("hash")
    row |= {f"data_{key}": value for key, value in run.lineage.get("data", {}).items()}
    for key, value in run.settings.items():
        row[key if row.get(key, value) == value else f"config_{key}"] = value
    return {key: value for key, value in row.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    """Whether a cell can hold it: no list, and no number that JSON has no name for."""
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _metric_columns(split: str, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    columns = {}
    for name, figure in metrics.items():
        columns[f"{split}_{name}"] = figure.get("value")
        columns |= {f"{split}_{name}_{limit}": figure.get(limit) for limit in ("low", "high")}
    return columns
