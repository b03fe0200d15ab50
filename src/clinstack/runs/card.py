"""The README of a run: what it is, from what, how good, within what limits, under which terms. Made from its result alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinstack.runs.atomic import write_text
from clinstack.runs.lineage import short


def write_card(file: Path, result: dict[str, Any], lineage: dict[str, Any]) -> None:
    """Writes the card of a finished run."""
    head, figures = _step1(result) if result["step"] == 1 else _step2(result)
    lines = [
        head,
        "",
        "## From what",
        "",
        f"- Base: {lineage['base']['name']} (`{short(lineage['base']['hash'])}`)",
        *(
            f"- Adapter {a['name']}: {a['method']} (`{short(a['hash'])}`), {'frozen' if a['frozen'] else 'trained here'}"
            for a in lineage["adapters"]
        ),
        f"- Data: {lineage['data']['name']} (`{short(lineage['data']['hash'])}`)",
        f"- Seed {lineage['seed']}; " + ", ".join(f"{name} {number}" for name, number in lineage["versions"].items()),
        "",
        "## Figures",
        "",
        *figures,
        "",
        "## Limits",
        "",
        "Measured on the patients of one data set. It supports a clinician's judgement and does not replace it; measure it on",
        "your own patients before any use. Validation patients selected the weights; test patients were read once, at the end.",
        "",
        "## Data-use terms",
        "",
        *([f"- {term}" for term in lineage["terms"]] or ["None were given with the data."]),
    ]
    write_text(file, "\n".join(lines) + "\n")


def add_groups(file: Path, groups: Sequence[dict[str, Any]]) -> None:
    """Adds figures by group of patients to a card, or that there are none."""
    lines = ["", "## By group of patients", ""]
    if groups:
        lines += [
            f"Test {groups[0]['metric']} of each group, and its gap to all other notes, with 95 % intervals.",
            "",
            "| column | group | notes | patients | value | gap |",
            "|---|---|---|---|---|---|",
            *(
                f"| {one['column']} | {one['group']} | {one['notes']} | {one['patients']} | "
                f"{_limits(one['value'], one['low'], one['high'])} | {_limits(one['gap'], one['gap_low'], one['gap_high'])} |"
                for one in groups
            ),
        ]
    else:
        lines.append("None were measured. `clinstack library add --by COLUMN` does.")
    write_text(file, file.read_text(encoding="utf-8") + "\n".join(lines) + "\n")


def _limits(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "none: one answer only"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _step1(result: dict[str, Any]) -> tuple[str, list[str]]:
    rows = [
        f"| {split} | {result['tokens'][split]:,} | {_number(perplexity['before'])} | {_number(perplexity['after'])} "
        f"| {result['bits_per_byte'][split]['before']:.4f} | {result['bits_per_byte'][split]['after']:.4f} |"
        for split, perplexity in result["perplexity"].items()
    ]
    return f"# Clinical adapter ({result['method']}) for {result['base']['name']}, from {result['corpus']}", [
        "| split | tokens | perplexity before | after | bits per byte before | after |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        *_doubts(result),
    ]


def _doubts(result: dict[str, Any]) -> list[str]:
    """How sure the gain is, what was forgotten, and what the figures are not."""
    change = result["intervals"]["test"]["change"]
    lines = [f"Test bits per byte changed by {_signed(change)} (95 % interval over patients)."]
    if result["forgetting"]:
        lines.append(f"On general text they changed by {_signed(result['forgetting']['intervals']['change'])}.")
    if result["objective"] == "masked":
        lines.append(
            "An encoder's figures are of masked tokens, one in seven at a time; they compare with no decoder's."
        )
    return lines


def _signed(found: dict[str, float | None]) -> str:
    low, high = found["low"], found["high"]
    limits = "no interval" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
    return f"{found['value']:+.4f} ({limits})"


def _step2(result: dict[str, Any]) -> tuple[str, list[str]]:
    split = list(result["metrics"])[-1]
    rows = [
        f"| {part} | {name} | {_number(found['value'])} | {_number(found['low'])} to {_number(found['high'])} |"
        for part, metrics in result["metrics"].items()
        for name, found in metrics.items()
    ]
    return f"# {result['task']} ({result['kind']}), {result['variant']}, on {result['base']['name']}", [
        f"Labels scored in {split}: {result['labels_scored'][split]} of {len(result['classes'])}.",
        "",
        "| split | metric | value | 95 % interval (patient bootstrap) |",
        "|---|---|---|---|",
        *rows,
    ]


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
