"""Table 2 as a page, as Markdown and as rows."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from clinstack.runs.atomic import write_json, write_text
from clinstack.runs.layout import StudyLayout
from clinstack.studies.report import figures, words
from clinstack.studies.report.figures import Axis, Bar, Figure
from clinstack.studies.report.plain_page import Section, as_markdown, render_sections
from clinstack.studies.report.tables import Table
from clinstack.training.machine import WATTS_PER_CORE

_COLUMNS = (
    "base",
    "method",
    "trainable weights",
    "perplexity, train",
    "perplexity, test",
    "test bits per byte",
    "change, 95 % interval",
    "general text, change",
    "as released, test",
    "time",
    "peak memory",
    "energy (assumed)",
)

_NOTE = (
    "A change is after minus before adaptation on the same notes, resampled by patient; general text is resampled by passage. "
    "Perplexity is weighted by tokens and compares runs with one tokenizer only; bits per byte compare any. “As released” is "
    "exp of a mean of batch means over notes cut to 128 tokens. Time, memory and energy are those of the last training; energy "
    f"assumes {WATTS_PER_CORE:g} watts a busy core and is no measurement."
)
_SEARCH_NOTE = Markup(
    "“Broke down”: better points of the search that ended worse, on validation, when they were trained on the whole corpus. "
    "Searches select by validation alone and read no test note. The numbers behind this page are in <code>table.json</code>, "
    "the table as Markdown in <code>table.md</code>."
)


def write_table2(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Writes `table.json`, `table.md` and `report.html` into a study's folder."""
    layout = StudyLayout(folder)
    write_json(layout.table, [{**row, **{f"option_{k}": v for k, v in row.get("options", {}).items()}} for row in rows])
    results = Table(
        "Each method with the options its search chose.", _COLUMNS, [_cells(row) for row in rows], headings=2
    )
    chosen = Table(
        "What each search chose, and what it cost.",
        ("base", "method", "chosen", "broke down", "tried", "repeats", "stopped early", "search"),
        [_search_cells(row) for row in rows],
        headings=2,
    )
    write_text(layout.markdown, as_markdown(results) + "\n" + as_markdown(chosen))
    bases = list(dict.fromkeys(row["base"] for row in rows))
    ended = {base: [row for row in rows if row["base"] == base and not row["reason"]] for base in bases}
    page = render_sections(
        "Table 2: PEFT methods of step 1",
        [_reading(base, some) for base, some in ended.items()],
        [
            Section("Results", [results], note=_NOTE),
            Section("In pictures", figures=[_picture(base, some) for base, some in ended.items()]),
            Section("The searches", [chosen], note=_SEARCH_NOTE),
        ],
    )
    write_text(layout.report, page)


def _cells(row: dict[str, Any]) -> list[str]:
    if row["reason"]:
        return [row["base"], row["method"], f"failed: {row['reason']}", *[words.NONE] * (len(_COLUMNS) - 3)]
    low, high = row["bits_per_byte_test_change_low"], row["bits_per_byte_test_change_high"]
    return [
        row["base"],
        row["method"],
        f"{row['parameters_trainable']:,}",
        words.figure(row["perplexity_train_after"]),
        words.figure(row["perplexity_test_after"]),
        words.figure(row["bits_per_byte_test_after"], 4),
        _change(row["bits_per_byte_test_change"], low, high),
        _change(
            row["general_bits_per_byte_change"],
            row["general_bits_per_byte_change_low"],
            row["general_bits_per_byte_change_high"],
        ),
        words.figure(row["perplexity_test_after_as_released"]),
        _clock(row["seconds"]),
        f"{row['peak_bytes'] / 2**30:.2f} GiB",
        f"{row['energy_joules_assumed'] / 3600:.2f} Wh",
    ]


def _change(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return words.NONE
    limits = f" ({words.signed(low, 4)} to {words.signed(high, 4)})" if low is not None and high is not None else ""
    return f"{words.signed(value, 4)}{limits}"


def _search_cells(row: dict[str, Any]) -> list[str]:
    options = _shown(row.get("options", {})) or "defaults"
    broken = "; ".join(map(_shown, row.get("spoiled", []))) or words.NONE
    counts = [str(row.get(f"search_{key}", words.NONE)) for key in ("tried", "repeats", "pruned")]
    return [row["base"], row["method"], options, broken, *counts, _clock(row.get("search_seconds", 0.0))]


def _shown(options: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in options.items())


def _picture(base: str, rows: list[dict[str, Any]]) -> Figure:
    bars = [
        Bar(
            row["method"],
            row["bits_per_byte_test_after"],
            row["bits_per_byte_test_after_low"] or float("nan"),
            row["bits_per_byte_test_after_high"] or float("nan"),
            (),
            figures.style(number),
        )
        for number, row in enumerate(rows)
    ]
    before = rows[0]["bits_per_byte_test_before"] if rows else None
    told = "; ".join(f"{bar.label} {bar.value:.3f}" for bar in bars)
    drawing = figures.interval_panel(
        f"{base}: test bits per byte", told, bars, Axis("test bits per byte"), chance=before
    )
    without = f" Grey line: without an adapter, {before:.3f}." if before is not None else ""
    return Figure(drawing, f"{base}. Line: 95 % interval over patients.{without}")


def _reading(base: str, rows: list[dict[str, Any]]) -> str:
    """What the intervals allow to be said of one base."""
    if not rows:
        return f"{base}: no method came to its end."
    better = [row["method"] for row in rows if (row["bits_per_byte_test_change_high"] or 0) < 0]
    forgot = [row["method"] for row in rows if (row["general_bits_per_byte_change_low"] or 0) > 0]
    best = min(rows, key=lambda row: row["bits_per_byte_test_after"])
    said = (
        f"{base}: the lowest test bits per byte are those of {best['method']}, {best['bits_per_byte_test_after']:.4f}. "
    )
    said += f"Better than the base alone: {', '.join(better) or 'none'}."
    if any(row["general_bits_per_byte_change"] is not None for row in rows):
        said += f" Worse on general text than the base alone: {', '.join(forgot) or 'none'}."
    return said


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds, as in the paper."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
