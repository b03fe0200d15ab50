"""What makes and describes notes, tasks and corpora."""

import sys
from typing import Any

from clinstack import config
from clinstack.commands.command import command, group, show
from clinstack.errors import BadInput

data = group("data", "Makes and describes task and corpus folders.")


@command(data, "lines", config.LinesOptions, ("out",))
def _lines(options: config.LinesOptions) -> None:
    from clinstack.data.sources.french_lines import write_lines

    written = write_lines(**options.model_dump())
    whole = f"{options.out}: {written:,} lines of at most {options.patients:,} children"
    show({"file": str(options.out), "lines": written}, whole)


@command(data, "synthetic", config.SyntheticOptions, ("out",))
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
    show({"folder": str(options.out), **counts}, written)


@command(data, "mimic3", config.Mimic3Options, ("source", "out"))
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
    show(built, lambda: show_build(built))


@command(data, "mimic4", config.Mimic4Options, ("source", "out"))
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
    show(built, lambda: show_corpus(built))


def _guard(action: str, limit: float) -> Any:
    """The guard that the options ask for, or None."""
    if action == "off":
        return None
    from clinstack.data.identifiers import Guard

    return Guard(action, limit)


@command(data, "table", config.TableOptions, ("files",))
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
    show(summary, "\n".join(lines))


@command(data, "describe", config.DescribeOptions, ("folder",))
def _describe(options: config.DescribeOptions) -> None:
    from clinstack.data.describe import describe, describe_text
    from clinstack.terminal import show_build, show_funnel

    tokenizer = None
    if options.base:
        from clinstack.models.base_files import find_base

        tokenizer = find_base(options.base)
    summary = describe(options.folder, tokenizer)

    def shown() -> None:
        if summary["what"] == "tasks":
            show_build(summary)
            return
        print(describe_text(summary))
        if summary["funnel"]:
            show_funnel(summary["funnel"])

    show(summary, shown)
