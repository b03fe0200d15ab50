"""The seal: the hash of every file that says what a finished run, or a version in a library, is.

It finds damage and edits: of figures, of the order of classes, of terms of use. It is no signature; who writes a new seal over
what they changed is not found out.
"""

from pathlib import Path
from typing import Any

from clinstack.errors import WrongParents
from clinstack.runs.atomic import read_json, scratch_beside, write_json
from clinstack.runs.layout import RunLayout
from clinstack.runs.lineage import hash_files


def finish_folder(layout: RunLayout, result: dict[str, Any]) -> None:
    """Ends a run: seals its files and, last, writes `result.json`, whose presence says that the run is whole."""
    with scratch_beside(layout.result) as scratch:
        last = RunLayout(scratch).result
        write_json(last, result)
        write_json(layout.manifest, {**_hashes(layout), last.name: hash_files([last])})
    write_json(layout.result, result)


def seal(layout: RunLayout) -> None:
    """Seals the files of a folder as they are."""
    write_json(layout.manifest, _hashes(layout))


def check_seal(layout: RunLayout, *files: Path) -> bool:
    """Whether the folder has a seal.

    files: those to compare with it; all if none are given.
    Raises WrongParents, naming the file, if one is missing, has been changed, or was not there.
    """
    if not layout.manifest.is_file():
        return False
    noted = read_json(layout.manifest)
    since, mend = "the run was finished", "Restore it, or train again."
    if _place(layout, layout.entry) in noted:
        since, mend = "the version was added", mend_version(layout)
    places = {_place(layout, file) for file in files or layout.lasting()}
    for place in sorted(places if files else places | noted.keys()):
        file = layout.root / place
        if not file.is_file():
            raise WrongParents(f"{file} is missing. {mend}")
        if place not in noted:
            raise WrongParents(f"{file} was not there when {since}. Remove it, or restore {layout.manifest}.")
        if hash_files([file]) != noted[place]:
            raise WrongParents(f"{file} has been changed since {since}. {mend}")
    return True


def mend_version(layout: RunLayout) -> str:
    """What to do about a version that is not what was added."""
    return f"Restore it, or add the run again and remove {layout.root}."


def _hashes(layout: RunLayout) -> dict[str, str]:
    return {_place(layout, file): hash_files([file]) for file in layout.lasting()}


def _place(layout: RunLayout, file: Path) -> str:
    """What the seal calls a file."""
    return file.relative_to(layout.root).as_posix()
