"""The note: its columns and types, its checks, and the three files of notes that tasks and corpora are made of.

A task and a corpus differ by labels alone, so what they share is here once: `SplitFiles` fills train, valid and test
parquet files side by side and refuses what would be wrong in any of them (a blank text, an id twice, a patient in two
splits). It holds at most about 8 MiB of text per split at a time; what grows with the data is one id per note and one
per patient, about 250 bytes a note.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinstack.errors import BadInput

SPLITS = ("train", "valid", "test")
EXTRA_COLUMNS = ("time", "category", "site", "subject_id", "hadm_id")
"""What a note may carry besides; the last two are MIMIC's own ids, for joining with its other tables."""
ROW_GROUP_BYTES = 8 * 2**20
ROW_GROUP_NOTES = 8192
SHOWN_CHARACTERS = 64
_SAMPLED_PARTS = 32


def note_schema(extra: Sequence[str] = (), *, labelled: bool) -> pa.Schema:
    """The columns of a split's file, in order; `extra` are those of EXTRA_COLUMNS that the notes have."""
    fields = [pa.field("note_id", pa.string()), pa.field("patient_id", pa.string())]
    # 32-bit offsets end at 2 GiB of text per array, which a table of a whole split exceeds.
    fields += [pa.field("text", pa.large_string())]
    fields += [pa.field(name, pa.string()) for name in EXTRA_COLUMNS if name in extra]
    if labelled:
        fields.append(pa.field("labels", pa.list_(pa.string())))
    return pa.schema(fields)


def shown(value: object) -> str:
    """A label or an id as it may stand in a message: quoted when short, counted when long.

    A wrong column can put a whole note where a label or an id is expected, and note text must not reach a message.
    """
    written = str(value)
    if len(written) <= SHOWN_CHARACTERS and "\n" not in written:
        return repr(written)
    return f"of {len(written):,} characters"


class SplitFiles:
    """Train, valid and test parquet files being written together; `close` gives their counts.

    paths:    split -> file, for each of SPLITS; all three are created, even when no note comes.
    extra:    the optional columns that every `write` brings.
    labelled: whether every `write` brings labels.
    by_patient: whether a patient in two splits is refused; only a study of what that does turns it off.
    """

    def __init__(
        self, paths: Mapping[str, Path], extra: Sequence[str] = (), *, labelled: bool, by_patient: bool = True
    ) -> None:
        unknown = sorted(set(extra) - set(EXTRA_COLUMNS))
        if unknown:
            raise BadInput(f"A note has no column {', '.join(unknown)}. Optional columns: {', '.join(EXTRA_COLUMNS)}.")
        self.schema = note_schema(extra, labelled=labelled)
        self.counts = {split: {"notes": 0, "patients": 0, "bytes": 0} for split in SPLITS}
        self._waiting: dict[str, list[pa.RecordBatch]] = {split: [] for split in SPLITS}
        self._by_patient = by_patient
        self._notes: set[str] = set()
        self._split_of: dict[str, str] = {}
        self._files = {split: pq.ParquetWriter(paths[split], self.schema, compression="zstd") for split in SPLITS}

    def write(self, split: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Appends notes to a split: column name -> values, all of one length, for every column of the schema.

        Raises BadInput, naming the note, for a blank text, a note id seen before or a patient seen in another split.
        """
        if split not in SPLITS:
            raise BadInput(f"Unknown split {split!r}. Known: {', '.join(SPLITS)}.")
        if set(columns) != set(self.schema.names):
            raise BadInput(f"Columns {', '.join(columns)} were given for notes of {', '.join(self.schema.names)}.")
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) != 1:
            raise BadInput(f"Columns of different lengths: {', '.join(f'{k} {v}' for k, v in lengths.items())}.")
        self._check(split, columns["note_id"], columns["patient_id"], columns["text"])
        arrays = [pa.array(columns[field.name], field.type) for field in self.schema]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        self.counts[split]["notes"] += batch.num_rows
        self.counts[split]["bytes"] += pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0
        waiting = self._waiting[split]
        waiting.append(batch)
        if (
            sum(part.nbytes for part in waiting) >= ROW_GROUP_BYTES
            or sum(part.num_rows for part in waiting) >= ROW_GROUP_NOTES
        ):
            self._flush(split)

    def close(self) -> dict[str, dict[str, int]]:
        """Completes the three files. Returns split -> {"notes", "patients", "bytes"} (bytes of text in UTF-8)."""
        for split in SPLITS:
            self._flush(split)
        self.abandon()
        return self.counts

    def abandon(self) -> None:
        """Closes the files whatever they hold: someone is about to remove them."""
        with ExitStack() as all_of_them:
            for file in self._files.values():
                all_of_them.callback(file.close)

    def _check(self, split: str, note_ids: Sequence[str], patient_ids: Sequence[str], texts: Sequence[str]) -> None:
        for note, patient, text in zip(note_ids, patient_ids, texts, strict=True):
            if not text or text.isspace():
                raise BadInput(f"Note {shown(note)} has no text. Remove it, or give it one.")
            if note in self._notes:
                raise BadInput(f"Note id {shown(note)} occurs twice. Every note needs an id of its own.")
            self._notes.add(note)
            known = self._split_of.get(patient)
            if known is None:
                self._split_of[patient] = split
                self.counts[split]["patients"] += 1
            elif known != split and self._by_patient:
                raise BadInput(
                    f"Patient {shown(patient)} is in {known} and in {split}. A patient belongs to one split."
                )

    def _flush(self, split: str) -> None:
        if self._waiting[split]:
            self._files[split].write_table(pa.Table.from_batches(self._waiting[split], self.schema))
            self._waiting[split] = []


def read_batches(path: Path, columns: Sequence[str] | None = None, rows: int = 1024) -> Iterator[pa.RecordBatch]:
    """A split's notes, `rows` at a time, in constant memory: all columns, or those named.

    Raises BadInput if the file is missing or is no parquet.
    """
    try:
        with pq.ParquetFile(path, buffer_size=2**20) as file:
            yield from file.iter_batches(batch_size=rows, columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path} is missing or damaged. Make its folder again.") from error


def sample_texts(path: Path, notes: int) -> list[str]:
    """Texts of about so many notes, evenly spread over a split's file, of which only a few parts are read.

    Sources often lie one after the other, so that the first notes are not like the others.
    Raises BadInput if the file is missing or is no parquet.
    """
    try:
        with pq.ParquetFile(path) as file:
            parts = _spread(file.num_row_groups, _SAMPLED_PARTS)
            found: list[str] = []
            for part in parts:
                texts = file.read_row_group(part, columns=["text"]).column("text")
                found += [texts[row].as_py() for row in _spread(len(texts), -(-notes // len(parts)))]
            return found
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path} is missing or damaged. Make its folder again.") from error


def _spread(there: int, wanted: int) -> list[int]:
    """At most so many numbers below `there`, evenly spread."""
    return [place * there // wanted for place in range(wanted)] if there > wanted else list(range(there))


def read_split(path: Path) -> pa.Table:
    """All notes of a split's file as one table. Raises BadInput if the file is missing or is no parquet."""
    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path} is missing or damaged. Make its folder again.") from error
