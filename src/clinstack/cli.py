"""The command line: one function per command: options in, one library call, one printed result.

Flags, help and the keys of `--config FILE` (TOML) are generated from the options classes and the PEFT methods' own fields; a
flag beats the file, the file beats the default. Errors are one sentence on stderr with the exit code of their kind; `--debug`
adds the traceback, `--json` prints the result as one JSON object and nothing else on stdout.
"""

import importlib.util
import inspect
import json
import signal
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import cyclopts
from cyclopts import App, Group, Parameter
from pydantic import BaseModel

from clinstack import config
from clinstack.errors import BadInput, ClinstackError, did_you_mean
from clinstack.models.method import gather_method_options, method_fields, methods
from clinstack.training.processes import launched

_GLOBAL_HELP = (
    "Every command also takes --config FILE (TOML: option names and values), --json (one JSON object on stdout) and "
    "--debug (tracebacks)."
)

app = App(
    name="clinstack",
    help="Adapts a language model to clinical notes in two parameter-efficient steps, and proves that both are at work.",
    help_epilogue=_GLOBAL_HELP,
    help_format="plaintext",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)
data = App(name="data", help="Makes and describes task and corpus folders.", help_epilogue=_GLOBAL_HELP)
app.command(data)
searching = App(name="search", help="Searches the options of a step, Bayesian, resumable.", help_epilogue=_GLOBAL_HELP)
app.command(searching)
study = App(name="study", help="Makes the tables of published comparisons, resumable.", help_epilogue=_GLOBAL_HELP)
app.command(study)

shelf = App(name="library", help="Keeps the runs in use: versions, checks, what answers.", help_epilogue=_GLOBAL_HELP)
app.command(shelf)

keyring = App(name="keys", help="Keeps the keys of those who may ask a server.", help_epilogue=_GLOBAL_HELP)
app.command(keyring)
trail = App(name="audit-log", help="Checks and searches a server's audit log.", help_epilogue=_GLOBAL_HELP)
app.command(trail)

_OPTIONS = Group("Options", sort_key=0)
_METHOD = Group("Options of the PEFT method", sort_key=2)
_MACHINE = Group("Training and machine", sort_key=1)


class _Output:
    """How results are to be shown, as the global flags said."""

    json = False
    plan = False
    measure = False


def _command(
    where: App,
    name: str | None,
    options: type[config.Chosen],
    positional: tuple[str, ...] = (),
    *,
    method: bool = False,
) -> Callable[[Callable[[config.Chosen], Any]], Callable[[config.Chosen], Any]]:
    """Registers a function of one options class as a command whose flags are the class's fields.

    name: None for what the group does with what is none of its commands.
    """

    def register(run: Callable[[config.Chosen], Any]) -> Callable[[config.Chosen], Any]:
        def command(*args: Any, **given: Any) -> Any:
            given |= dict(zip(positional, args, strict=False))
            chosen = config.make_options(options, gather_method_options(given) if method else given)
            if launched().count > 1 and options not in (config.AdaptOptions, config.TrainOptions):
                several = f"{launched().count} processes were launched, which adapt and train alone share"
                raise BadInput(f"{several}. Start it by itself.")
            return _show_plan(chosen) if _Output.plan else run(chosen)

        command.__doc__ = options.__doc__
        parameters = [_parameter(key, options, positional) for key in positional]
        parameters += [_parameter(key, options, positional) for key in options.model_fields if key not in positional]
        parameters = [one for one in parameters if one.name != "method_options"]
        if method:
            parameters += _method_parameters()
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        if name is None:
            where.default(command)
        else:
            where.command(command, name=name)
        return run

    return register


def _parameter(key: str, options: type[BaseModel], positional: tuple[str, ...]) -> inspect.Parameter:
    field = options.model_fields[key]
    default = inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
    shared = key in config.TrainingOptions.model_fields and issubclass(options, config.TrainingOptions)
    about = Parameter(
        help=field.description,
        negative=(),
        group=_MACHINE if shared else _OPTIONS,
        show_default=default not in (None, []),
    )
    return inspect.Parameter(
        key,
        inspect.Parameter.POSITIONAL_ONLY if key in positional else inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[field.annotation, about],
    )


def _method_parameters() -> list[inspect.Parameter]:
    table, made = methods(), []
    for key, owners in method_fields().items():
        field = table[owners[0]].model_fields[key]
        defaults: dict[str, list[str]] = {}
        for owner in owners:
            defaults.setdefault(str(table[owner].model_fields[key].default), []).append(owner)
        shown = "; ".join(f"{', '.join(some)}: {value}" for value, some in defaults.items())
        help_text = f"{field.description} [{shown}]"
        about = Parameter(help=help_text, group=_METHOD, show_default=False)
        annotation: Any = Annotated[Optional[field.annotation], about]  # noqa: UP045
        made.append(inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    return made


@_command(data, "lines", config.LinesOptions, ("out",))
def _lines(options: config.LinesOptions) -> None:
    from clinstack.data.sources.french_lines import write_lines

    written = write_lines(**options.model_dump())
    whole = f"{options.out}: {written:,} lines of at most {options.patients:,} children"
    _print({"file": str(options.out), "lines": written}, whole)


@_command(data, "synthetic", config.SyntheticOptions, ("out",))
def _synthetic(options: config.SyntheticOptions) -> None:
    from clinstack.data.sources.hospital import write_hospital
    from clinstack.terminal import Terminal

    with Terminal() as terminal:
        terminal.says(f"Writing {options.patients:,} patients to {options.out}")
        counts = write_hospital(
            options.out,
            patients=options.patients,
            seed=options.seed,
            compress=not options.plain,
            identifiers=options.identifiers,
        )
    written = f"{options.out}: mimic3/ and mimic4/ of {options.patients:,} patients"
    _print({"folder": str(options.out), **counts}, written)


@_command(data, "mimic3", config.Mimic3Options, ("source", "out"))
def _mimic3(options: config.Mimic3Options) -> None:
    from clinstack.data.sources.mimic3 import build_mimic3
    from clinstack.terminal import Terminal, show_build

    with Terminal() as terminal:
        built = build_mimic3(
            options.source,
            options.out,
            tasks=[name.strip() for name in options.tasks.split(",") if name.strip()],
            mode=options.mode,
            switches=options.strict,
            split_lists=options.split_lists,
            given=options.model_dump(include={"ventilation_labels", "ventilation_durations"}),
            seed=options.seed,
            terms=options.terms,
            says=terminal.says,
        )
        for warning in built["warnings"]:
            terminal.says(f"Note: {warning}")
    _print(built, lambda: show_build(built))


@_command(data, "mimic4", config.Mimic4Options, ("source", "out"))
def _mimic4(options: config.Mimic4Options) -> None:
    from clinstack.data.sources.mimic4 import build_mimic4
    from clinstack.terminal import Terminal, show_corpus

    with Terminal() as terminal:
        built = build_mimic4(
            options.source,
            options.out,
            kinds=[kind.strip() for kind in options.notes.split(",") if kind.strip()],
            guard=_guard(options.identifiers, options.identifier_limit),
            says=terminal.says,
            **options.model_dump(exclude={"source", "out", "notes", "identifiers", "identifier_limit"}),
        )
        for warning in built["warnings"]:
            terminal.says(f"Note: {warning}")
    _print(built, lambda: show_corpus(built))


def _guard(action: str, limit: float) -> Any:
    """The guard that the options ask for, or None."""
    if action == "off":
        return None
    from clinstack.data.identifiers import Guard

    return Guard(action, limit)


@_command(data, "table", config.TableOptions, ("files",))
def _table(options: config.TableOptions) -> None:
    from clinstack.data.sources.table import build_table
    from clinstack.terminal import identifier_line

    if len(options.files) < 2:
        raise BadInput("FILE... OUT: give at least one file of notes and, last, the folder to write.")
    named = options.model_dump(exclude={"files", "id", "identifiers", "identifier_limit"})
    guard = _guard(options.identifiers, options.identifier_limit)
    summary = build_table(options.files[:-1], options.files[-1], note_id=options.id, guard=guard, **named)
    for warning in summary["warnings"]:
        print(warning, file=sys.stderr)
    lines = [f"{summary['folder']}"]
    lines += [
        f"  {split}: {n['notes']:,} notes of {n['patients']:,} patients" for split, n in summary["counts"].items()
    ]
    how = {key.replace("_", " "): value for key, value in summary["build"]["split"].items()}
    if summary["build"]["identifiers"]:
        lines.append(f"  {identifier_line(summary['build']['identifiers'])}")
    lines.append(
        "  split " + ", ".join(f"{k} {' '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in how.items())
    )
    _print(summary, "\n".join(lines))


@_command(data, "describe", config.DescribeOptions, ("folder",))
def _describe(options: config.DescribeOptions) -> None:
    from clinstack.data.describe import describe, describe_text
    from clinstack.terminal import show_build, show_funnel

    tokenizer = None
    if options.base:
        from clinstack.models.backbone import find_base

        tokenizer = find_base(options.base)
    summary = describe(options.folder, tokenizer)

    def show() -> None:
        if summary["what"] == "tasks":
            show_build(summary)
            return
        print(describe_text(summary))
        if summary["funnel"]:
            show_funnel(summary["funnel"])

    _print(summary, show)


@_command(app, "adapt", config.AdaptOptions, method=True)
def _adapt(options: config.AdaptOptions) -> None:
    from clinstack.terminal import Terminal, show_language, show_proof
    from clinstack.training.language import adapt

    with Terminal() as terminal:
        result = adapt(options, terminal)

    def show() -> None:
        show_language(result)
        show_proof(result)
        print(f"run    {options.out}")

    _print(result, show)


@_command(app, "train", config.TrainOptions, method=True)
def _train(options: config.TrainOptions) -> None:
    from clinstack.terminal import Terminal, show_metrics, show_proof
    from clinstack.training.classification import train

    with Terminal() as terminal:
        result = train(options, terminal)

    def show() -> None:
        show_metrics(result, result["metrics"]["test"], f"{result['variant']}, test")
        show_proof(result)
        print(f"run    {options.out}")

    _print(result, show)


@_command(searching, "adapt", config.SearchAdaptOptions, method=True)
def _search_adapt(options: config.SearchAdaptOptions) -> None:
    _search(options)


@_command(searching, "train", config.SearchTrainOptions, method=True)
def _search_train(options: config.SearchTrainOptions) -> None:
    _search(options)


def _search(options: config.SearchAdaptOptions | config.SearchTrainOptions) -> None:
    from clinstack.studies.search import search
    from clinstack.terminal import Terminal, show_search

    with Terminal() as terminal:
        found = search(options, terminal)
    _print(found, lambda: show_search(found, options.out))


@_command(study, None, config.StudyOptions, ("grid",))
def _study(options: config.StudyOptions) -> None:
    _run_study(options)


@_command(study, "table1", config.Table1Options)
def _table1(options: config.Table1Options) -> None:
    from clinstack.studies.table1 import table1
    from clinstack.terminal import Terminal, show_build

    with Terminal() as terminal:
        found = table1(options, terminal)

    def show() -> None:
        show_build(found["build"])
        print(f"\n{found['report']}")

    _print(found, show)


@_command(study, "table2", config.Table2Options)
def _table2(options: config.Table2Options) -> None:
    from clinstack.studies.table2 import table2
    from clinstack.terminal import Terminal, show_table2

    with Terminal() as terminal:
        found = table2(options, terminal)
    _print(found, lambda: show_table2(found))


@_command(study, "table3", config.Table3Options)
def _table3(options: config.Table3Options) -> None:
    _run_study(options)


@_command(study, "table4", config.Table4Options)
def _table4(options: config.Table4Options) -> None:
    _run_study(options)


@_command(study, "limited-data", config.LimitedDataOptions)
def _limited_data(options: config.LimitedDataOptions) -> None:
    from clinstack.studies.limited_data import limited_data
    from clinstack.terminal import Terminal, show_limited_data

    with Terminal() as terminal:
        found = limited_data(options, terminal)
    _print(found, lambda: show_limited_data(found))


def _run_study(options: config.EngineOptions) -> None:
    from clinstack.studies.study import study as run
    from clinstack.terminal import Terminal, show_study

    with Terminal() as terminal:
        found = run(options, terminal)
    _print(found, lambda: show_study(found))


@app.command(name="plan")
def _plan(*command: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> None:
    """Says what a command would cost and trains nothing: plan adapt ..., plan train ..., plan search ..., plan study ...

    Put the whole command with its options behind the word plan. With --measure a few real steps on this machine replace its
    assumed rate. `plan check RUN...` sets plans beside what finished runs took.
    """
    words = list(command)
    _Output.measure = _take_flag(words, "--measure")
    if words[:1] == ["check"]:
        _check_plan(config.make_options(config.PlanCheckOptions, {"runs": [Path(word) for word in words[1:]]}))
        return
    if not words or words[0].startswith("-"):
        raise BadInput("plan needs a command to plan, such as: plan adapt --base tiny-base --corpus CORPUS --out RUN.")
    _Output.plan = True
    try:
        app(words, exit_on_error=False, print_error=False)
    finally:
        _Output.plan = False


def _show_plan(options: config.Options) -> None:
    from clinstack.studies.plan import plan
    from clinstack.terminal import show_plan

    found = plan(options, measure=_Output.measure)
    _print(found, lambda: show_plan(found))


def _check_plan(options: config.PlanCheckOptions) -> None:
    from clinstack.studies.plan import check
    from clinstack.terminal import show_plan_check

    if not options.runs:
        raise BadInput("plan check needs at least one run folder.")
    found = check(options.runs)
    _print(found, lambda: show_plan_check(found))


@_command(app, "evaluate", config.EvaluateOptions, ("run",))
def _evaluate(options: config.EvaluateOptions) -> None:
    from clinstack.evaluation.scoring import evaluate
    from clinstack.terminal import show_metrics, show_subgroups

    found = evaluate(options)

    def show() -> None:
        show_metrics(found, found["metrics"], options.split)
        counts = f"{found['notes']:,} notes of {found['patients']:,} patients"
        print(f"{counts}; {found['labels_scored']} of {found['classes']} classes scored")
        if found["subgroups"]:
            show_subgroups(found["subgroups"])

    _print(found, show)


@_command(app, "predict", config.PredictOptions, ("run",))
def _predict(options: config.PredictOptions) -> None:
    from clinstack.evaluation.prediction import predict

    if (options.run is None) == (options.server is None) or (options.task and not options.server):
        raise BadInput("Give either a run folder, or --server ADDRESS and, where it has several, --task NAME.")
    if options.key_file and not options.server:
        raise BadInput("--key-file is for a server: give its address with --server.")
    if options.server is None:
        done = predict(options)
    else:
        from clinstack.serving.client import Client, RemoteClassifier, given_key

        with Client(options.server, key=given_key(options.key_file)) as client:
            done = predict(options, lambda: RemoteClassifier(client, options.task))
    _print(done, f"{done['output']}: {done['notes']:,} notes, task {done['task']}")


@_command(shelf, "add", config.LibraryAddOptions, ("run",))
def _library_add(options: config.LibraryAddOptions) -> None:
    from clinstack.serving.library import Library

    groups = []
    if options.by:
        from clinstack.evaluation.scoring import evaluate

        asked = {key: getattr(options, key) for key in ("run", "by", "attributes", "base", "device")}
        groups = evaluate(config.EvaluateOptions(**asked))["subgroups"]
    added = Library(options.library).add(options.run, options.name, options.base, groups)
    unsealed = "" if added.about["sealed"] else ". The run has no seal, so nobody can tell whether it was edited"
    _print({"version": added.name, **added.about}, f"added {added.name}; it answers once it is promoted{unsealed}")


@_command(shelf, "list", config.LibraryListOptions)
def _library_list(options: config.LibraryListOptions) -> None:
    from clinstack.serving.library import Library
    from clinstack.terminal import show_library

    entries = Library(options.library).entries()
    rows = [{"version": one.name, "promoted": one.promoted, **one.about} for one in entries if not one.broken]
    broken = [one.broken for one in entries if one.broken]
    _print({"versions": rows, "broken": broken}, lambda: show_library(rows, broken))


@_command(shelf, "show", config.LibraryShowOptions, ("version",))
def _library_show(options: config.LibraryShowOptions) -> None:
    from clinstack.runs.layout import RunLayout
    from clinstack.serving.entry_names import parse_entry
    from clinstack.serving.library import Library

    library = Library(options.library)
    entry = library.entry(*parse_entry(options.version))
    card = RunLayout(library.run(entry)).card.read_text(encoding="utf-8")
    _print({"version": entry.name, "promoted": entry.promoted, **entry.about}, card)


@_command(shelf, "verify", config.LibraryVerifyOptions)
def _library_verify(options: config.LibraryVerifyOptions) -> None:
    from clinstack.serving.entry_names import parse_entry
    from clinstack.serving.library import Library

    library = Library(options.library)
    chosen = [library.entry(*parse_entry(options.version))] if options.version else library.entries()
    for entry in chosen:
        library.verify(entry, options.base)
    said = f"{len(chosen)} versions are what was added" if len(chosen) != 1 else f"{chosen[0].name} is what was added"
    _print({"verified": [one.name for one in chosen]}, said)


@_command(shelf, "promote", config.LibraryPromoteOptions, ("version",))
def _library_promote(options: config.LibraryPromoteOptions) -> None:
    from clinstack.serving.entry_names import parse_entry
    from clinstack.serving.library import Library

    task, version = parse_entry(options.version)
    if version is None:
        raise BadInput(f"Say which version of {task} is to answer: {task}@VERSION.")
    library = Library(options.library)
    library.promote(library.entry(task, version))
    _print({"promoted": f"{task}@{version}"}, f"{task}@{version} answers now")


@_command(shelf, "rollback", config.LibraryRollbackOptions, ("task",))
def _library_rollback(options: config.LibraryRollbackOptions) -> None:
    from clinstack.serving.library import Library

    back = Library(options.library).rollback(options.task)
    _print({"promoted": back.name}, f"{back.name} answers again")


@_command(shelf, "export", config.LibraryExportOptions, ("version",))
def _library_export(options: config.LibraryExportOptions) -> None:
    from clinstack.models.export import export_run
    from clinstack.serving.entry_names import parse_entry
    from clinstack.serving.library import Library

    library = Library(options.library)
    entry = library.entry(*parse_entry(options.version))
    library.verify(entry, options.base)
    if (terms := library.terms(entry)) and not options.accept_terms:
        raise BadInput(
            f"{entry.name} was trained on data under these terms: {'; '.join(terms)}. If they allow its weights to be "
            "passed on, say so with --accept-terms."
        )
    about = export_run(library.run(entry), options.out, options.form, options.base)
    _print(about, f"{options.out}: {entry.name}, {options.form}; README.md says how to use it")


@_command(keyring, "add", config.KeysAddOptions, ("name",))
def _keys_add(options: config.KeysAddOptions) -> None:
    from clinstack.serving.keys import add_key

    tasks = None if options.tasks is None else [one.strip() for one in options.tasks.split(",") if one.strip()]
    key = add_key(options.keys, options.name, tasks, options.notes_per_minute)
    _print(
        {"name": options.name, "key": key}, f"{key}\nThis is the key of {options.name}. It is not kept: note it now."
    )


@_command(keyring, "list", config.KeysListOptions)
def _keys_list(options: config.KeysListOptions) -> None:
    from clinstack.serving.keys import read_keys

    lines, found = [], []
    for one in read_keys(options.keys):
        tasks = None if one.tasks is None else sorted(one.tasks)
        found.append({"name": one.name, "tasks": tasks, "notes_per_minute": one.notes_per_minute})
        said = "every task" if tasks is None else ", ".join(tasks)
        lines.append(f"{one.name}: {said}, {one.notes_per_minute} notes a minute")
    _print({"keys": found}, "\n".join(lines) or "no keys")


@_command(keyring, "remove", config.KeysRemoveOptions, ("name",))
def _keys_remove(options: config.KeysRemoveOptions) -> None:
    from clinstack.serving.keys import remove_key

    remove_key(options.keys, options.name)
    _print({"removed": options.name}, f"{options.name} has no key any more")


@_command(trail, "check", config.AuditCheckOptions, ("log",))
def _audit_check(options: config.AuditCheckOptions) -> None:
    from clinstack.serving.audit import verify

    lines = verify(options.log)
    _print({"lines": lines}, f"{options.log}: {lines:,} lines, each as it was written")


@_command(trail, "find", config.AuditFindOptions, ("log",))
def _audit_find(options: config.AuditFindOptions) -> None:
    from clinstack.serving.audit import find

    try:
        text = options.note.read_bytes().decode("utf-8")  # as it is: line breaks are part of what was asked
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--note {options.note} cannot be read as UTF-8 text.") from error
    found = [
        {key: line[key] for key in ("time", "request", "caller", "versions")} for _, line in find(options.log, [text])
    ]
    lines = [f"{one['time']}  {one['caller'] or 'no key'}  {', '.join(one['versions'])}" for one in found]
    _print({"found": found}, "\n".join(lines) or "this text was never asked")


@_command(app, "serve", config.ServeOptions)
def _serve(options: config.ServeOptions) -> None:
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        raise BadInput("clinstack serve needs FastAPI and uvicorn, which are not installed. Install clinstack[serve].")
    from clinstack.serving.server import serve

    def started(address: str, tasks: list[str]) -> None:
        _print({"address": address, "tasks": tasks}, f"{address} answers for {', '.join(tasks)}; Ctrl-C ends it")
        sys.stdout.flush()

    serve(options, started)


@_command(app, "report", config.ReportOptions, ("folder",))
def _report(options: config.ReportOptions) -> None:
    from clinstack.studies.report import write_report

    written = write_report(options.folder, options.out, options.title)
    _print({"report": str(written)}, f"{written}")


@_command(app, "demo", config.DemoOptions)
def _demo(options: config.DemoOptions) -> None:
    from clinstack.demo.road import walk
    from clinstack.terminal import Terminal, show_comparison

    with Terminal() as terminal:
        done = walk(options, terminal)

    def show() -> None:
        show_comparison(done["runs"])
        print(f"\n{len(done['runs'])} runs, {done['seconds']:.0f} s. Open the report: {done['report']}")

    _print(done, show)


def _print(result: dict[str, Any], for_people: str | Callable[[], Any]) -> None:
    """Shows a result: one JSON object under --json, else what people read."""
    if not launched().first:
        return
    if _Output.json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))
    elif callable(for_people):
        for_people()
    else:
        print(for_people)


def _take_flag(arguments: list[str], flag: str) -> bool:
    found = flag in arguments
    while flag in arguments:
        arguments.remove(flag)
    return found


def _take_config(arguments: list[str]) -> list[cyclopts.config.Dict]:
    """The TOML file of `--config`, taken out of the arguments."""
    file = None
    for index, argument in enumerate(arguments):
        if argument == "--config" and index + 1 < len(arguments):
            file = Path(arguments[index + 1])
            del arguments[index : index + 2]
            break
        if argument.startswith("--config="):
            file = Path(argument.removeprefix("--config="))
            del arguments[index]
            break
    if file is None:
        return []
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise BadInput(f"--config {file} cannot be read. Give a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"--config {file} is not valid TOML: {error}.") from None
    _check_config(file, values, arguments)
    return [cyclopts.config.Dict(values, use_commands_as_keys=False, source=str(file))]


def _check_config(file: Path, values: dict[str, Any], arguments: list[str]) -> None:
    table: dict[str, type[config.Options]] = {"adapt": config.AdaptOptions, "train": config.TrainOptions}
    if "search" in arguments:
        table = {"adapt": config.SearchAdaptOptions, "train": config.SearchTrainOptions}
    options = next((table[word] for word in arguments if word in table), None)
    if options is not None:
        known = {*options.model_fields, *method_fields()} - {"method_options"}
        if unknown := sorted(key for key in values if key.replace("-", "_") not in known):
            raise BadInput(f"{file}: unknown option {unknown[0]!r}. {did_you_mean(unknown[0], known)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process with its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped command tidies up, as after Ctrl-C
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = _take_flag(words, "--debug")
    _Output.json = _take_flag(words, "--json")
    try:
        app.config = _take_config(words)
        app(words, exit_on_error=False, print_error=False)
        code = 0
    except (ClinstackError, cyclopts.CycloptsError) as error:
        if debug:
            raise
        if launched().speaks_of_failure(isinstance(error, ClinstackError) and error.of_one_process):
            print(f"clinstack: {error}", file=sys.stderr)
        code = error.exit_code if isinstance(error, ClinstackError) else 2
    except KeyboardInterrupt:
        print("clinstack: interrupted.", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        code = 1
    except Exception as error:
        if debug:
            raise
        print(
            f"clinstack: an unexpected {type(error).__name__}; this is a fault of clinstack. --debug shows where.",
            file=sys.stderr,
        )
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
