"""The findings of a search as one page and as rows: what was tried, what mattered, what was best, what it cost."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from clinstack.runs.atomic import write_json, write_text
from clinstack.runs.layout import StudyLayout
from clinstack.studies.report import figures, words
from clinstack.studies.report.figures import Axis, Bar, Figure, Series
from clinstack.studies.report.plain_page import Section, render_sections
from clinstack.studies.report.tables import Table

_STATES = {
    "complete": "trained",
    "pruned": "stopped early",
    "fail": "failed",
    "repeat": "repeat",
    "running": "not ended",
}


def write_search_report(folder: Path, found: dict[str, Any]) -> None:
    """Writes `report.html` and `table.json` into a search's folder."""
    layout = StudyLayout(folder)
    write_json(layout.table, [_flat(row) for row in found["trials"]])
    write_text(layout.report, render_search(found, folder.resolve().name))


def render_search(found: dict[str, Any], name: str) -> str:
    """The page as text."""
    drawn = [_progress(found), *([_importance(found)] if found["importance"] else [])]
    run = found["best"]["run"]
    again = Markup(
        "Its run folder is <code>{}</code>; <code>clinstack {} --config {}/config.toml --out NEW</code> repeats it."
    )
    rows = Markup("The numbers behind this page, one row per proposal, are in <code>table.json</code> beside it.")
    return render_sections(
        f"Search for {found['method']}: {name}",
        [" ".join(_summary(found))],
        [
            Section("The best", [_best_table(found)], note=again.format(run, found["command"], run)),
            Section("In pictures", figures=drawn),
            Section("What was tried", [_trial_table(found), _space_table(found)], note=rows),
        ],
    )


def score_name(found: dict[str, Any]) -> str:
    """What the search went by, in words."""
    return words.metric_name(found["best"]["result"]["validation"]["name"])


def _summary(found: dict[str, Any]) -> list[str]:
    best, cost = found["best"], found["cost"]
    score = best["result"]["validation"]["value"]
    sentences = [
        f"{words.count_of(found['tried'], 'point')} of the space were tried; the best reached {score:.4f} "
        f"{score_name(found)} on validation, with {_options(best['options'])}.",
        f"Training took {_duration(cost['seconds'])} and read {cost['tokens']:,} tokens.",
    ]
    if found["repeats"]:
        sentences.append(f"{words.count_of(found['repeats'], 'proposal')} repeated a point and cost nothing.")
    if found["pruned"]:
        sentences.append(
            f"{words.count_of(found['pruned'], 'trial')} stopped early; none of them was as good as the best at that place."
        )
    if found["failed"]:
        sentences.append(f"{words.count_of(found['failed'], 'trial')} failed; the reason stands in the table.")
    measured = "bits_per_byte" in best["result"] or "metrics" in best["result"]
    read = "the test part was read once, for the best alone." if measured else "the test part was not read."
    sentences.append(f"Only the validation part chose; {read}")
    return sentences


def _progress(found: dict[str, Any]) -> Figure:
    rows = [row for row in found["trials"] if row["score"] is not None and row["state"] != "repeat"]
    scores = [(row["trial"] + 1, row["score"]) for row in rows]
    better = min if found["metric"]["minimise"] else max
    so_far: list[tuple[float, float]] = []
    for place, score in scores:
        so_far.append((place, score if not so_far else better(so_far[-1][1], score)))
    series = [
        Series("each trial", tuple(scores), figures.style(1), tuple(0.2 for _ in scores)),
        Series("best so far", tuple(so_far), figures.style(0)),
    ]
    title = f"Validation {score_name(found)} by trial"
    told = "; ".join(f"trial {place} {score:.4f}" for place, score in scores)
    drawing = figures.line_panel(title, told, series, Axis("trial"), Axis(score_name(found)))
    return Figure(drawing, "Every trial that came to its end (markers), and the best until then (plain line).")


def _importance(found: dict[str, Any]) -> Figure:
    bars = [
        Bar(name.replace("_", " "), share, share, share, (), figures.style(0))
        for name, share in found["importance"].items()
    ]
    told = "; ".join(f"{bar.label} {bar.value:.2f}" for bar in bars)
    drawing = figures.interval_panel("What mattered", told, bars, Axis("share of the variance explained", 0, 1))
    return Figure(drawing, "Functional analysis of variance over the trained points; a guess, with so few of them.")


def _trial_table(found: dict[str, Any]) -> Table:
    options = list(found["space"])
    rows = [
        [
            str(row["trial"] + 1),
            *(_value(row["options"].get(name)) for name in options),
            _state(row),
            words.figure(row["score"], 4),
            words.figure(row["rung_score"], 4) if row["rung_score"] is not None else words.NONE,
            f"{row['trainable']:,}" if row["trainable"] is not None else words.NONE,
            _duration(row["seconds"]) if row["seconds"] is not None else words.NONE,
        ]
        for row in found["trials"]
    ]
    columns = [
        "trial",
        *(name.replace("_", " ") for name in options),
        "what became of it",
        f"validation {score_name(found)}",
        "at the rung",
        "trainable weights",
        "time",
    ]
    return Table("Every proposal in order.", columns, rows)


def _state(row: dict[str, Any]) -> str:
    if row["state"] == "repeat":
        return f"repeat of {row['repeat_of'] + 1}"
    if row["reason"]:
        return f"failed: {row['reason']}"
    return _STATES[row["state"]] + (", after a stop" if row["finished_after_all"] else "")


def _best_table(found: dict[str, Any]) -> Table:
    rows = [[name.replace("_", " "), _value(value)] for name, value in found["best"]["options"].items()]
    result = found["best"]["result"]
    rows.append([f"validation {score_name(found)}", f"{result['validation']['value']:.4f}"])
    if "bits_per_byte" in result:
        for split, bits in result["bits_per_byte"].items():
            rows.append([f"{split} bits per byte, before and after", f"{bits['before']:.4f}, {bits['after']:.4f}"])
            both = result["perplexity"][split]
            rows.append([f"{split} perplexity, before and after", f"{_short(both['before'])}, {_short(both['after'])}"])
    if "metrics" in result:
        for split, metrics in result["metrics"].items():
            for name, one in list(metrics.items())[:2]:
                rows.append(
                    [
                        f"{split} {words.metric_name(name)}",
                        f"{words.figure(one['value'], 4)} ({words.limits(one['low'], one['high'])})",
                    ]
                )
    return Table(f"The best, trial {found['best']['trial'] + 1}.", ["", "value"], rows)


def _space_table(found: dict[str, Any]) -> Table:
    rows = [
        [
            name.replace("_", " "),
            ", ".join(_value(value) for value in one)
            if isinstance(one, list)
            else f"{one['low']:g} to {one['high']:g}{', logarithmic' if one['log'] else ''}",
        ]
        for name, one in found["space"].items()
    ]
    return Table("What could be chosen.", ["option", "values"], rows, numbers=False)


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in options.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else words.NONE if value is None else str(value)


def _short(value: float | None) -> str:
    return words.NONE if value is None else f"{value:.3f}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {**{key: value for key, value in row.items() if key != "options"}, **row["options"]}
