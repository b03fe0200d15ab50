"""The library: runs in use, their versions and checks."""

from clinstack import config
from clinstack.commands.command import command, group, show
from clinstack.errors import BadInput, ClinstackError, WrongParents

shelf = group("library", "Keeps the runs in use: versions, checks, what answers.")


@command(shelf, "add", config.LibraryAddOptions, ("run",))
def _library_add(options: config.LibraryAddOptions) -> None:
    from clinstack.serving.library import Library

    groups = []
    if options.by:
        from clinstack.evaluation.scoring import evaluate

        asked = {key: getattr(options, key) for key in ("run", "by", "attributes", "base", "device")}
        groups = evaluate(config.EvaluateOptions(**asked))["subgroups"]
    added = Library(options.library).add(options.run, options.name, options.base, groups)
    unsealed = "" if added.about["sealed"] else ". The run has no seal, so nobody can tell whether it was edited"
    show({"version": added.name, **added.about}, f"added {added.name}; it answers once it is promoted{unsealed}")


@command(shelf, "list", config.LibraryListOptions)
def _library_list(options: config.LibraryListOptions) -> None:
    from clinstack.serving.library import Library
    from clinstack.terminal import show_library

    entries = Library(options.library).entries()
    rows = [{"version": one.name, "promoted": one.promoted, **one.about} for one in entries if not one.broken]
    broken = [one.broken for one in entries if one.broken]
    show({"versions": rows, "broken": broken}, lambda: show_library(rows, broken))


@command(shelf, "show", config.LibraryShowOptions, ("version",))
def _library_show(options: config.LibraryShowOptions) -> None:
    from clinstack.runs.layout import RunLayout
    from clinstack.runs.seal import check_seal
    from clinstack.serving.entry_names import parse_entry
    from clinstack.serving.library import Library

    library = Library(options.library)
    entry = library.entry(*parse_entry(options.version))
    layout = RunLayout(library.run(entry))
    check_seal(layout)  # no figure is shown that somebody wrote in afterwards
    card = layout.card.read_text(encoding="utf-8")
    show({"version": entry.name, "promoted": entry.promoted, **entry.about}, card)


@command(shelf, "verify", config.LibraryVerifyOptions)
def _library_verify(options: config.LibraryVerifyOptions) -> None:
    from clinstack.serving.entry_names import parse_entry
    from clinstack.serving.library import Library

    library = Library(options.library)
    chosen = [library.entry(*parse_entry(options.version))] if options.version else library.entries()
    broken = []
    for entry in chosen:
        try:
            library.verify(entry, options.base)
        except ClinstackError as error:
            broken.append(str(error) if entry.broken else f"{entry.name}: {error}")
    if broken:
        raise WrongParents("\n".join(broken))
    said = f"{len(chosen)} versions are what was added" if len(chosen) != 1 else f"{chosen[0].name} is what was added"
    show({"verified": [one.name for one in chosen]}, said)


@command(shelf, "promote", config.LibraryPromoteOptions, ("version",))
def _library_promote(options: config.LibraryPromoteOptions) -> None:
    from clinstack.serving.entry_names import parse_entry
    from clinstack.serving.library import Library

    task, version = parse_entry(options.version)
    if version is None:
        raise BadInput(f"Say which version of {task} is to answer: {task}@VERSION.")
    library = Library(options.library)
    library.promote(library.entry(task, version))
    show({"promoted": f"{task}@{version}"}, f"{task}@{version} answers now")


@command(shelf, "rollback", config.LibraryRollbackOptions, ("task",))
def _library_rollback(options: config.LibraryRollbackOptions) -> None:
    from clinstack.serving.library import Library

    back = Library(options.library).rollback(options.task)
    show({"promoted": back.name}, f"{back.name} answers again")


@command(shelf, "export", config.LibraryExportOptions, ("version",))
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
    show(about, f"{options.out}: {entry.name}, {options.form}; README.md says how to use it")
