"""What a person at a terminal sees: what is happening, how far, how long still.

Progress goes to stderr; stdout is for results.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from clinstack.data.notes import SPLITS
from clinstack.metrics.scorecard import headline, interval_text
from clinstack.runs.layout import StudyLayout
from clinstack.training.processes import launched


class Terminal:
    """A witness that prints each piece of work as a line and the loop's steps as a bar with the time left.

    Without a terminal (a log file, a pipe) there is no bar, and a line about every quarter of the steps instead.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=not launched().first)
        self._progress: Progress | None = None
        self._bar: TaskID | None = None
        self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_bar()

    def says(self, what: str) -> None:
        """Prints a line; a bar that is running ends above it."""
        self._end_bar()
        self.console.print(what, markup=False)

    def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
        """Moves the bar."""
        if not self.console.is_terminal:
            quarter = 4 * done // of
            if quarter > self._told:
                self._told = quarter if done < of else 0
                self.console.print(f"  step {done:,} of {of:,}, loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s")
            return
        if self._progress is None:
            self._progress = Progress(
                TextColumn("  training"),
                BarColumn(bar_width=30),
                TextColumn("{task.percentage:>3.0f} %  step {task.completed:,.0f} of {task.total:,.0f}"),
                TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:,.0f} tokens/s"),
                TextColumn("left"),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
            )
            self._progress.start()
            self._bar = self._progress.add_task(
                "training", total=of, completed=done, loss=loss, speed=tokens_per_second
            )
        assert self._bar is not None
        self._progress.update(self._bar, completed=done, total=of, loss=loss, speed=tokens_per_second)
        if done == of:
            self._end_bar()

    def validated(self, score: float, tokens: int) -> bool:
        """Goes on: who stops a run after a validation is a search."""
        return True

    def _end_bar(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def show_metrics(result: dict[str, Any], metrics: dict[str, dict[str, float | None]], split: str) -> None:
    """Prints a scorecard as a table on stdout."""
    table = Table(title=f"{result['task']}, {split}", title_justify="left", box=None, pad_edge=False)
    for name in ("metric", "value", "95 % interval (patient bootstrap)"):
        table.add_column(name)
    for name, found in metrics.items():
        low, high = figure(found["low"]), figure(found["high"])
        table.add_row(name, figure(found["value"]), f"{low} to {high}")
    Console(highlight=False).print(table)


def show_subgroups(rows: list[dict[str, Any]]) -> None:
    """Prints the figures of groups on stdout, and their gaps to all others."""
    table = Table(title=f"\n{rows[0]['metric']} by group", title_justify="left", box=None, pad_edge=False)
    for name in ("group", "notes", "value [95 % interval]", "gap to all others"):
        table.add_column(name, justify="right" if name == "notes" else "left", no_wrap=True)
    for row in rows:
        gap = {"value": row["gap"], "low": row["gap_low"], "high": row["gap_high"]}
        table.add_row(f"{row['column']} {row['group']}", f"{row['notes']:,}", interval_text(row), interval_text(gap))
    Console(highlight=False).print(table)


def show_language(result: dict[str, Any]) -> None:
    """Prints a step-1 run's perplexity and bits per byte on stdout."""
    table = Table(title=f"{result['method']} on {result['corpus']}", title_justify="left", box=None, pad_edge=False)
    for name in ("split", "tokens", "perplexity before", "after", "bits per byte before", "after"):
        table.add_column(name, justify="left" if name == "split" else "right")
    for split, tokens in result["tokens"].items():
        perplexity, bits = result["perplexity"][split], result["bits_per_byte"][split]
        table.add_row(
            split,
            f"{tokens:,}",
            *(figure(perplexity[when]) for when in ("before", "after")),
            *(figure(bits[when]) for when in ("before", "after")),
        )
    console = Console(highlight=False)
    console.print(table)
    told = {"test notes": result["intervals"]["test"]["change"]}
    if result["forgetting"]:
        told["general text"] = result["forgetting"]["intervals"]["change"]
    for what, change in told.items():
        limits = "" if change["low"] is None else f" ({change['low']:+.4f} to {change['high']:+.4f})"
        console.print(f"change of bits per byte on {what}: {change['value']:+.4f}{limits}")


def show_search(found: dict[str, Any], folder: Path) -> None:
    """Prints a search's best trials on stdout."""
    metric = found["best"]["result"]["validation"]["name"]
    trained = [row for row in found["trials"] if row["score"] is not None and row["state"] != "repeat"]
    trained.sort(key=lambda row: row["score"], reverse=not found["metric"]["minimise"])
    table = Table(title=f"search for {found['method']}, best first", title_justify="left", box=None, pad_edge=False)
    for name in ("trial", f"valid {metric}", "options"):
        table.add_column(name, justify="left" if name == "options" else "right")
    for row in trained[:5]:
        options = ", ".join(f"{key} {value}" for key, value in row["options"].items())
        table.add_row(str(row["trial"] + 1), figure(row["score"]), options)
    console = Console(highlight=False)
    console.print(table)
    cost = found["cost"]
    console.print(
        f"{found['tried']} tried, {found['repeats']} repeats answered from the record, {found['pruned']} stopped early, "
        f"{found['failed']} failed; {cost['seconds']:,.0f} s of training"
    )
    console.print(f"best   {found['best']['run']}\nreport {StudyLayout(folder).report}", soft_wrap=True)


def show_table2(found: dict[str, Any]) -> None:
    """Prints table 2 on stdout."""
    table = Table(title="PEFT methods of step 1", title_justify="left", box=None, pad_edge=False)
    for name in ("base", "method", "trainable", "test perplexity", "test bits per byte", "before"):
        table.add_column(name, justify="left" if name in ("base", "method") else "right")
    for row in found["rows"]:
        if row["reason"]:
            table.add_row(row["base"], row["method"], "failed")
            continue
        numbers = [figure(row[f"{key}_after"]) for key in ("perplexity_test", "bits_per_byte_test")]
        before = figure(row["bits_per_byte_test_before"])
        table.add_row(row["base"], row["method"], f"{row['parameters_trainable']:,}", *numbers, before)
    console = Console(highlight=False)
    console.print(table)
    for row in found["rows"]:
        if row["reason"]:
            console.print(f"{row['base']}, {row['method']}: {row['reason']}")
    console.print(f"report {found['report']}", soft_wrap=True)


def show_plan(found: dict[str, Any]) -> None:
    """Prints a plan on stdout."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for justify in ("left", "right", "left"):
        table.add_column(justify=justify)
    runs = f"in {found['runs']:,} runs" if found["runs"] > 1 else ""
    table.add_row("parameters", f"{found['parameters']:,}", "of the largest run" if runs else "")
    table.add_row("trainable", f"{found['trainable']:,}", f"{found['trainable_share']:.3%}")
    table.add_row("tokens trained on", f"{found['tokens']['trained']:,}", runs)
    table.add_row("tokens read besides", f"{found['tokens']['read']:,}", "validation, before and after")
    table.add_row("operations", f"{sum(found['flops'].values()):.3g}", "floating-point")
    table.add_row("peak memory", _size(found["peak_bytes"]), found["precision"])
    for name, size in sorted(found["memory_bytes"].items(), key=lambda one: -one[1]):
        if size >= found["peak_bytes"] / 100:
            table.add_row(f"  {name}", _size(size), "")
    table.add_row("disk", _size(found["disk_bytes"]), "")
    for name, hours in found["hours"].items():
        table.add_row(f"time, {name}", _hours(hours), "")
    console = Console(highlight=False)
    console.print(table)
    for sentence in found["assumptions"]:
        console.print(f"[dim]{sentence}[/dim]")


def show_plan_check(found: dict[str, Any]) -> None:
    """Prints planned and taken time and memory on stdout."""
    table = Table(box=None, pad_edge=False)
    for name in ("run", "seconds planned", "taken", "error", "peak planned", "taken", "error"):
        table.add_column(name, justify="left" if name == "run" else "right")
    for row in found["runs"]:
        table.add_row(
            Path(row["run"]).name,
            f"{row['seconds_planned']:,.0f}",
            f"{row['seconds_taken']:,.0f}",
            f"{row['seconds_error']:+.0%}",
            _size(row["peak_bytes_planned"]),
            _size(row["peak_bytes_taken"]),
            f"{row['peak_bytes_error']:+.0%}",
        )
    Console(highlight=False).print(table)


def show_study(found: dict[str, Any]) -> None:
    """Prints what became of a study's cells on stdout."""
    console = Console(highlight=False)
    console.print(f"{found['finished']} of {found['cells']} cells finished")
    for name, reason in found["failed"].items():
        console.print(f"failed: {name}: {reason}", markup=False, soft_wrap=True)
    if found["report"]:
        console.print(f"report {found['report']}", soft_wrap=True)


def show_limited_data(found: dict[str, Any]) -> None:
    """Prints the advice of a limited-data study on stdout, and what became of its hypotheses and cells."""
    console = Console(highlight=False)
    for advice in found["recommendation"]:
        console.print(advice, markup=False)
    for task, verdicts in found["hypotheses"].items():
        told = ", ".join(f"{name} {verdict}" for name, verdict in verdicts.items())
        console.print(f"{task}: {told}", markup=False)
    show_study(found)


def show_library(rows: list[dict[str, Any]], broken: list[str]) -> None:
    """Prints the versions of a library on stdout, a line each, and what is wrong with those that are broken."""
    table = Table(box=None, pad_edge=False)
    for name in ("version", "answers", "variant", "test"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        metric = headline(row["kind"])
        test = row["metrics"].get("test", {}).get(metric)
        figure = f"{metric} {interval_text(test)}" if test else "not tested"
        answers = "yes" if row["promoted"] else ""
        table.add_row(row["version"], answers, row["variant"], figure)
    console = Console(highlight=False)
    console.print(table if rows or broken else "The library is empty.")
    for sentence in broken:
        console.print(sentence, markup=False, soft_wrap=True)


def _size(number: float) -> str:
    return f"{number / 2**30:,.2f} GiB" if number >= 2**28 else f"{number / 2**20:,.1f} MiB"


def _hours(hours: float) -> str:
    seconds = hours * 3600
    return f"{seconds:,.0f} s" if seconds < 200 else f"{seconds / 60:,.0f} min" if hours < 3 else f"{hours:,.1f} h"


def show_proof(result: dict[str, Any]) -> None:
    """Prints the stack proof on stdout."""
    console = Console(highlight=False)
    for name, proof in result["stack_proof"].items():
        state = "frozen" if proof["frozen"] else "trainable"
        console.print(
            f"proof  {name} ({state}): moves a logit by up to {proof['logit_change']:.3g}, gradient "
            f"{proof['gradient_norm']:.3g}, weights changed by {proof['weight_change']:.3g}"
        )


def show_comparison(runs: list[dict[str, Any]]) -> None:
    """Prints each run's test AUROC on stdout, a line per task and variant; narrow enough for any terminal."""
    table = Table(title="Test AUROC [95 % interval, patient bootstrap]", title_justify="left", box=None, pad_edge=False)
    for column in ("task", "variant", "AUROC"):
        table.add_column(column, no_wrap=True)
    for run in runs:
        table.add_row(run["task"], run["variant"], interval_text(run["test"][headline(run["kind"])]))
    Console(highlight=False).print(table)


def show_funnel(rows: list[dict[str, Any]]) -> None:
    """Prints on stdout how many rows each rule left and dropped."""
    funnel = Table(title="What each rule left", title_justify="left", box=None, pad_edge=False)
    for column, right in (("rule", False), ("left", True), ("dropped", True), ("", False)):
        funnel.add_column(column, justify="right" if right else "left")
    for row in rows:
        dropped = "" if row["dropped"] is None else f"{row['dropped']:,}"
        funnel.add_row(row["rule"], f"{row['left']:,}", dropped, f"{row['unit']} {row['what']}")
    Console(highlight=False).print(funnel)


def show_build(build: dict[str, Any]) -> None:
    """Prints what was made of a hospital's tables on stdout: the funnel, and the tasks as Table 1 of Gema et al. has them."""
    show_funnel(build["funnel"])
    tasks = Table(title=f"\nTasks, {build['mode']} rules", title_justify="left", box=None, pad_edge=False)
    tasks.add_column("task")
    tasks.add_column("kind")
    for column in ("classes", *SPLITS, "patients"):
        tasks.add_column(column, justify="right")
    for name, task in build["tasks"].items():
        counts = task["counts"]
        patients = sum(counts[split]["patients"] for split in SPLITS)
        sizes = [f"{counts[split]['notes']:,}" for split in SPLITS]
        tasks.add_row(name, task["kind"], f"{len(counts['train']['classes']):,}", *sizes, f"{patients:,}")
    Console(highlight=False).print(tasks)


def show_corpus(corpus: dict[str, Any]) -> None:
    """Prints what became of the notes of a corpus on stdout: funnel, splits, contamination, identifiers."""
    console, build = Console(highlight=False), corpus["build"]
    show_funnel(build["funnel"])
    for split, counts in corpus["counts"].items():
        console.print(
            f"{split}: {counts['notes']:,} notes of {counts['patients']:,} patients, {counts['bytes'] / 1e6:,.1f} MB"
        )
    if build["contamination"]:
        found = build["contamination"]
        for split, counts in found["splits"].items():
            hits = counts[f"containment_{found['threshold']}"]
            console.print(
                f"{split} notes of the tasks: {hits:,} of {counts['notes']:,} stand in "
                f"the corpus ({counts['too_short']:,} are too short to tell)"
            )
    if build["identifiers"]:
        console.print(identifier_line(build["identifiers"]))


def identifier_line(report: dict[str, Any]) -> str:
    """What the guard found, as one line."""
    said = ", ".join(f"{kind} {rate:,.1f}" for kind, rate in report["per_thousand"].items())
    return f"likely identifiers per 1,000 notes: {said}{'; masked' if report['masked'] else ''}"


def figure(value: float | None) -> str:
    """A metric with four decimals."""
    return "not defined" if value is None else f"{value:.4f}"
