"""Many runs: searches, tables, learning curves; and the page of whatever is in a folder."""

from typing import Any

from clinstack import config
from clinstack.commands.command import app, command, group, show

searching = group("search", "Searches the options of a step, Bayesian, resumable.")
study = group("study", "Makes the tables of published comparisons, resumable.")


@command(searching, "adapt", config.SearchAdaptOptions, method=True)
def _search_adapt(options: config.SearchAdaptOptions) -> None:
    _search(options)


@command(searching, "train", config.SearchTrainOptions, method=True)
def _search_train(options: config.SearchTrainOptions) -> None:
    _search(options)


def _search(options: config.SearchAdaptOptions | config.SearchTrainOptions) -> None:
    from clinstack.studies.search import search
    from clinstack.terminal import Terminal, show_search

    with Terminal() as terminal:
        found = search(options, terminal)
    show(found, lambda: show_search(found, options.out))


@command(study, None, config.StudyOptions, ("grid",))
def _study(options: config.StudyOptions) -> None:
    _run_study(options)


@command(study, "table1", config.Table1Options)
def _table1(options: config.Table1Options) -> None:
    from clinstack.studies.table1 import table1
    from clinstack.terminal import Terminal, show_build

    with Terminal() as terminal:
        found = table1(options, terminal)

    def shown() -> None:
        show_build(found["build"])
        print(f"\n{found['report']}")

    show(found, shown)


@command(study, "table2", config.Table2Options)
def _table2(options: config.Table2Options) -> None:
    from clinstack.studies.table2 import table2
    from clinstack.terminal import Terminal, show_table2

    with Terminal() as terminal:
        found = table2(options, terminal)
    show(found, lambda: show_table2(found))


@command(study, "table3", config.Table3Options)
def _table3(options: config.Table3Options) -> None:
    _run_study(options)


@command(study, "table4", config.Table4Options)
def _table4(options: config.Table4Options) -> None:
    _run_study(options)


@command(study, "limited-data", config.LimitedDataOptions)
def _limited_data(options: config.LimitedDataOptions) -> None:
    from clinstack.studies.limited_data import limited_data
    from clinstack.terminal import Terminal, show_limited_data

    with Terminal() as terminal:
        found = limited_data(options, terminal)
    show(found, lambda: show_limited_data(found))
    _end(found)


def _run_study(options: config.EngineOptions) -> None:
    from clinstack.studies.study import study as run
    from clinstack.terminal import Terminal, show_study

    with Terminal() as terminal:
        found = run(options, terminal)
    show(found, lambda: show_study(found))
    _end(found)


def _end(found: dict[str, Any]) -> None:
    """Ends with exit code 1 where cells failed or were not trained, so that a script need not read what is printed."""
    if found["failed"] or found["finished"] < found["cells"]:
        raise SystemExit(1)


@command(app, "report", config.ReportOptions, ("folder",))
def _report(options: config.ReportOptions) -> None:
    from clinstack.studies.report import write_report

    written = write_report(options.folder, options.out, options.title)
    show({"report": str(written)}, f"{written}")
