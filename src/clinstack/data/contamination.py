"""Notes of a task that stand in a corpus: read without their labels in step 1, they would make a test too easy.

MIMIC-IV covers 2008 to 2019 and MIMIC-III 2001 to 2012 at the same hospital, under other ids and other shifted dates, so
only the text can tell. Every run of 13 words of a section of a task's note is a shingle, placeholders and digits counted as
one word; what is measured is containment, the share of a note's shingles that one note of the corpus has. Sketches of whole
notes (MinHash) compare two sets of like size, and a task's note is a small part of a discharge summary; so every shingle
counts. scikit-learn hashes them into 4 million columns and a sparse product counts what is shared: collisions add less than
0.1 % to a share. The tasks' notes are in memory (about 10 kB each), the corpus streams by.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer

from clinstack.data.note_cleaning import PLACEHOLDER
from clinstack.data.notes import read_batches
from clinstack.data.task import open_task

WORDS = 13
"""Length of a shingle, as in the specification."""
THRESHOLD = 0.5
"""From this share on a note counts as found."""
LEVELS = (0.2, 0.5, 0.8)
COMPARED = ("valid", "test")

_SAME = re.compile(r"_{2,}|[0-9]+")
_WORD = re.compile(r"[^\W_]+")
_HEADING = re.compile(r"^[A-Z /-]+: ")
_FEATURES = 2**22


@dataclass
class Contamination:
    """The notes of tasks that are looked for, and what was found of them so far.

    names: id and split of each note; owners: whose note it is; shingles: (N, features) of 0/1.
    """

    names: list[tuple[str, str]]
    owners: list[str]
    shingles: sparse.csr_matrix
    best: np.ndarray = field(init=False)
    where: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._sizes = np.asarray(self.shingles.sum(axis=1)).ravel()
        self._columns = self.shingles.T.tocsr()
        self.best = np.zeros(len(self.names))
        self.where = [""] * len(self.names)

    def meet(self, note_ids: Sequence[str], texts: Sequence[str]) -> list[bool]:
        """For each note of a corpus, whether it holds a task's note; remembers the best place of each."""
        if not texts:
            return []
        shared = (_vectorizer().transform([[text] for text in texts]) @ self._columns).tocoo()
        contained = shared.data / self._sizes[shared.col]
        for row, column, share in zip(shared.row, shared.col, contained, strict=True):
            if share > self.best[column]:
                self.best[column], self.where[column] = share, note_ids[row]
        hit = np.zeros(len(texts), bool)
        hit[shared.row[contained >= THRESHOLD]] = True
        return hit.tolist()

    def report(self) -> dict[str, Any]:
        """What was found, ready for JSON: counts by split and level, and the pairs of ids; never text."""
        splits = np.array([split for _, split in self.names])
        by_split = {}
        for split in COMPARED:
            mine = splits == split
            by_split[split] = {"notes": int(mine.sum()), "too_short": int((mine & (self._sizes == 0)).sum())}
            by_split[split] |= {f"containment_{level}": int((mine & (self.best >= level)).sum()) for level in LEVELS}
        found = [at for at in range(len(self.names)) if self.best[at] >= THRESHOLD]
        return {
            "shingle_words": WORDS,
            "threshold": THRESHOLD,
            "splits": by_split,
            "patients_found": len({self.owners[at] for at in found}),
            "patients": len(set(self.owners)),
            "found": [
                {
                    "note": self.names[at][0],
                    "split": self.names[at][1],
                    "corpus_note": self.where[at],
                    "containment": round(float(self.best[at]), 3),
                }
                for at in found
            ],
        }


def look_for(tasks: Iterable[Path]) -> Contamination:
    """The validation and test notes of some tasks, each once, ready to be met by a corpus."""
    names: dict[str, tuple[str, str]] = {}
    owners, documents = [], []
    for folder in tasks:
        task = open_task(folder)
        for split in COMPARED:
            for note, patient, text in _notes(task.path(split)):
                if note not in names:
                    names[note] = (note, split)
                    owners.append(patient)
                    documents.append([_HEADING.sub("", section) for section in text.split("\n\n")])
    return Contamination(list(names.values()), owners, _vectorizer().transform(documents))


def shingles(sections: Sequence[str]) -> list[str]:
    """Every run of 13 words within a section, in lower case, placeholders and digits as one word."""
    found = []
    for section in sections:
        words = _WORD.findall(_SAME.sub(" 0 ", PLACEHOLDER.sub(" 0 ", section)).lower())
        found += [" ".join(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1)]
    return found


def _vectorizer() -> HashingVectorizer:
    return HashingVectorizer(
        analyzer=shingles, n_features=_FEATURES, binary=True, norm=None, alternate_sign=False, dtype=np.float32
    )


def _notes(path: Path) -> Iterator[tuple[str, str, str]]:
    for batch in read_batches(path, ["note_id", "patient_id", "text"]):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
