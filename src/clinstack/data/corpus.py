"""A corpus: unlabelled notes with splits by patient, as a folder; what step 1 adapts a backbone to.

`CorpusWriter` streams notes into the folder's three parquet files; packing adds token blocks beside them later, per
tokenizer. The folder appears whole or not at all.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from clinstack.data.notes import SPLITS, SplitFiles, read_split
from clinstack.errors import BadInput
from clinstack.runs.atomic import atomic_folder, read_json, write_json
from clinstack.runs.layout import CorpusLayout, TaskLayout
from clinstack.runs.lineage import hash_files


@dataclass(frozen=True)
class Corpus:
    """A corpus folder that has been opened. counts: split -> {"notes", "patients", "bytes"}; build: how it was made."""

    folder: Path
    name: str
    source: str
    mode: str
    terms: tuple[str, ...]
    seed: int | None
    counts: Mapping[str, Mapping[str, int]]
    build: Mapping[str, Any]

    def path(self, split: str) -> Path:
        """The parquet file of a split, for `notes.read_batches`."""
        return CorpusLayout(self.folder).split(split)

    def content_hash(self) -> str:
        """What the notes of all splits are, wherever they lie; all of them are read."""
        return hash_files(self.path(split) for split in SPLITS)

    def read(self, split: str) -> pa.Table:
        """A split's notes: note_id, patient_id, text and the optional columns."""
        return read_split(self.path(split))


def open_corpus(folder: Path) -> Corpus:
    """The corpus in a folder. Raises BadInput, saying what the folder is instead, if it holds none."""
    layout = CorpusLayout(folder)
    if not layout.corpus.is_file():
        if TaskLayout(folder).task.is_file():
            raise BadInput(f"{folder} is a task (labelled notes), and a corpus is needed here.")
        raise BadInput(
            f"{folder} is not a corpus folder: {layout.corpus.name} is missing. `clinstack data` makes corpus folders."
        )
    about = read_json(layout.corpus)
    try:
        return Corpus(
            folder=folder,
            name=about["name"],
            source=about["source"],
            mode=about["mode"],
            terms=tuple(about["terms"]),
            seed=about["seed"],
            counts=about["counts"],
            build=about.get("build", {}),
        )
    except (KeyError, TypeError) as error:
        raise BadInput(f"{layout.corpus} lacks {error}. It may have been edited; make the folder again.") from error


class CorpusWriter:
    """Writes a corpus folder; a context manager. On an error inside the block nothing is left.

    folder: must not exist, or be empty.
    source: where the notes are from; `mode` is how they were read; `terms` are the data-use terms they bring.
    seed:   of the split by patient, or None where the splits were given.
    extra:  those of notes.EXTRA_COLUMNS that every `write` brings.
    build:  how the source was read, kept under "build": inputs, switches, what was dropped.
    by_patient: whether a patient in two splits is refused.
    After a clean exit `about` holds what corpus.json holds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        source: str,
        mode: str = "table",
        terms: Sequence[str] = (),
        seed: int | None = None,
        extra: Sequence[str] = (),
        build: Mapping[str, Any] | None = None,
        by_patient: bool = True,
    ) -> None:
        self.about: dict[str, Any] = {"name": name, "source": source, "mode": mode, "terms": list(terms), "seed": seed}
        self.about["build"] = dict(build or {})
        self._folder = folder
        self._extra = tuple(extra)
        self._by_patient = by_patient

    def __enter__(self) -> Self:
        with ExitStack() as place:
            self._layout = CorpusLayout(place.enter_context(atomic_folder(self._folder)))
            paths = {split: self._layout.split(split) for split in SPLITS}
            self._files = SplitFiles(paths, self._extra, labelled=False, by_patient=self._by_patient)
            self._place = place.pop_all()
        return self

    def write(
        self,
        split: str,
        note_ids: Sequence[str],
        patient_ids: Sequence[str],
        texts: Sequence[str],
        extra: Mapping[str, Sequence[str | None]] | None = None,
    ) -> None:
        """Appends notes to a split; all arguments are of one length.

        extra: optional column -> values, for the columns named when the writer was made.
        Raises BadInput, naming the note, for a blank text, an id seen before or a patient seen in another split.
        """
        self._files.write(split, {"note_id": note_ids, "patient_id": patient_ids, "text": texts, **(extra or {})})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._place:
            if error is not None:
                self._files.abandon()
                raise error
            self.about["counts"] = self._files.close()
            if not self.about["counts"]["train"]["notes"]:
                raise BadInput(f"Corpus {self.about['name']!r}: the train split is empty.")
            write_json(self._layout.corpus, self.about)
