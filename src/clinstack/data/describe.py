"""What is in a task or corpus folder: sizes, lengths, label balance and repeated texts, by split.

Read before training: a text that is in train and in test makes a score too good, and a length in tokens tells what
`max_tokens` cuts off. One pass over the parquet files; what is kept is a length (8 bytes) and a hash of the text (about
150 bytes) for each note. Texts count as equal when they differ only in white space and case. Ids are shown, text never.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from clinstack.data.corpus import Corpus, open_corpus
from clinstack.data.notes import SPLITS, read_batches
from clinstack.data.task import Task, open_task
from clinstack.errors import BadInput
from clinstack.runs.atomic import read_json
from clinstack.runs.layout import BuildLayout, CorpusLayout, TaskLayout

MOST_CLASSES = 20
FIRST_DUPLICATES = 5

Measure = Callable[[list[str]], list[int]]


def describe(folder: Path, tokenizer: str | Path | None = None) -> dict[str, Any]:
    """A summary of a task or corpus folder, or of a folder of tasks made together, ready for JSON.

    tokenizer: a folder with a tokenizer.json, or that file; lengths are then in tokens, without start and end tokens.
               Without it lengths are in words (between white space), and "length_unit" says so.
    Returns "folder", "name", "what" (task or corpus), "funnel" (what each rule left), "length_unit", "splits" and
    "duplicates"; of a task also "kind" and "classes". A split has "notes", "patients", "bytes", "characters", "lengths"
    (mean, median, p95, max; null where it is empty) and, of a task, "labels": the 20 classes most frequent over all
    splits, how many classes have no note and how many notes no label. "duplicates" are notes whose text occurred before:
    "within" their split, or "across", in an earlier one, each with the first pairs of ids.
    Of a folder of tasks "what" is tasks, and the rest is its build.json: rules, funnel, counts.
    Raises BadInput if the folder is none of them, or the tokenizer cannot be read.
    """
    if BuildLayout(folder).build.is_file():
        return {"folder": str(folder), "what": "tasks", **read_json(BuildLayout(folder).build)}
    opened = _open(folder)
    measure = _token_counter(Path(tokenizer)) if tokenizer else _count_words
    repeats = _Repeats()
    splits = {split: _describe_split(opened, split, measure, repeats) for split in SPLITS}
    about: dict[str, Any] = {"folder": str(folder), "name": opened.name}
    if isinstance(opened, Task):
        about |= {"what": "task", "kind": opened.kind, "classes": len(opened.classes)}
    else:
        about |= {"what": "corpus"}
    about |= {"source": opened.source, "mode": opened.mode, "terms": list(opened.terms)}
    return about | {
        "funnel": opened.build.get("funnel", []),
        "length_unit": "tokens" if tokenizer else "words",
        "splits": splits,
        "duplicates": repeats.found(),
    }


def describe_text(summary: Mapping[str, Any], width: int = 100) -> str:
    """The summary of `describe` for a person, as plain text of at most `width` columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    out = Console(file=StringIO(), width=width, highlight=False, markup=False, emoji=False, color_system=None)
    kind = f", {summary['kind']}, {summary['classes']:,} classes" if summary["what"] == "task" else ""
    out.print(f"{summary['name']}: {summary['what']}{kind}")
    splits = summary["splits"]

    sizes = Table("split", box=box.SIMPLE_HEAD)
    for title in ("notes", "patients", "MB", f"mean {summary['length_unit']}", "median", "95 %", "longest"):
        sizes.add_column(title, justify="right")
    for split, part in splits.items():
        lengths = [part["lengths"][key] for key in ("mean", "median", "p95", "max")]
        numbers = [f"{part['notes']:,}", f"{part['patients']:,}", f"{part['bytes'] / 1e6:,.1f}"]
        sizes.add_row(split, *numbers, *("-" if each is None else f"{each:,.0f}" for each in lengths))
    out.print(sizes)

    if summary["what"] == "task":
        balance = Table("class", box=box.SIMPLE_HEAD)
        for split in splits:
            balance.add_column(split, justify="right")
        for rows in zip(*(part["labels"]["most"] for part in splits.values()), strict=True):
            balance.add_row(rows[0]["class"], *(f"{row['notes']:,} ({row['share']:.1%})" for row in rows))
        for title, key in (
            ("classes without a note", "classes_without_notes"),
            ("notes without a label", "unlabelled"),
        ):
            balance.add_row(title, *(f"{part['labels'][key]:,}" for part in splits.values()), style="italic")
        out.print(balance)

    duplicates = summary["duplicates"]
    lines = [f"{each['notes']:,} of {each['split']} repeat a text of {each['split']}" for each in duplicates["within"]]
    lines += [
        f"{each['notes']:,} of {each['split']} repeat a text of {each['also_in']}" for each in duplicates["across"]
    ]
    out.print("Repeated texts: " + ("; ".join(lines) if lines else "none") + ".")
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


def _open(folder: Path) -> Task | Corpus:
    if TaskLayout(folder).task.is_file():
        return open_task(folder)
    if CorpusLayout(folder).corpus.is_file():
        return open_corpus(folder)
    raise BadInput(f"{folder} is neither a task nor a corpus folder: it has no task.json and no corpus.json.")


def _describe_split(opened: Task | Corpus, split: str, measure: Measure, repeats: "_Repeats") -> dict[str, Any]:
    """Sizes, lengths and labels of one split; its texts are added to `repeats`."""
    labelled = isinstance(opened, Task)
    lengths = array("q")
    labels: Counter[str] = Counter()
    size = characters = unlabelled = 0
    for batch in read_batches(opened.path(split), ["note_id", "text", *(["labels"] if labelled else [])]):
        texts = batch.column("text").to_pylist()
        lengths.extend(measure(texts))
        characters += sum(map(len, texts))
        size += sum(len(text.encode("utf-8")) for text in texts)
        for note, text in zip(batch.column("note_id").to_pylist(), texts, strict=True):
            repeats.add(split, note, text)
        for names in batch.column("labels").to_pylist() if labelled else []:
            labels.update(names)
            unlabelled += not names
    part: dict[str, Any] = {
        "notes": len(lengths),
        "patients": opened.counts[split]["patients"],
        "bytes": size,
        "characters": characters,
        "lengths": _spread(lengths),
    }
    if isinstance(opened, Task):
        part["labels"] = _balance(opened, labels, len(lengths)) | {"unlabelled": unlabelled}
    return part


def _spread(lengths: Sequence[int]) -> dict[str, float | None]:
    """Mean, median, 95th percentile and maximum; null where there is nothing."""
    if not lengths:
        return dict.fromkeys(("mean", "median", "p95", "max"))
    values = np.asarray(lengths)
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "max": int(values.max()),
    }


def _balance(task: Task, labels: Counter[str], notes: int) -> dict[str, Any]:
    """The classes most frequent over all splits with their share of these notes, and how many classes no note has."""
    total = Counter[str]()
    for split in SPLITS:
        total.update(task.counts[split]["classes"])
    ordered = sorted(task.classes, key=lambda name: -total[name])[:MOST_CLASSES]
    return {
        "most": [
            {"class": name, "notes": labels[name], "share": labels[name] / notes if notes else 0.0} for name in ordered
        ],
        "classes_without_notes": sum(not labels[name] for name in task.classes),
    }


class _Repeats:
    """Which notes repeat an earlier one's text, by hash of the text without differences of white space and case."""

    def __init__(self) -> None:
        self._first: dict[bytes, dict[str, str]] = {}
        self._pairs: dict[tuple[str, str], list[list[str]]] = {}
        self._count: Counter[tuple[str, str]] = Counter()

    def add(self, split: str, note_id: str, text: str) -> None:
        """Splits come in the order of SPLITS."""
        key = blake2b(" ".join(text.split()).casefold().encode("utf-8"), digest_size=16).digest()
        first = self._first.setdefault(key, {})
        for other, other_id in first.items():
            self._count[split, other] += 1
            pairs = self._pairs.setdefault((split, other), [])
            if len(pairs) < FIRST_DUPLICATES:
                pairs.append([note_id, other_id])
        first.setdefault(split, note_id)

    def found(self) -> dict[str, list[dict[str, Any]]]:
        """The counts and the first pairs of ids (the note, the earlier one), within a split and across two."""
        found: dict[str, list[dict[str, Any]]] = {"within": [], "across": []}
        for (split, other), notes in self._count.items():
            one = {"split": split, "also_in": other, "notes": notes, "first": self._pairs[split, other]}
            found["within" if split == other else "across"].append(one)
        return found


def _count_words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def _token_counter(tokenizer: Path) -> Measure:
    """Counts tokens by a tokenizer.json, whole texts, whatever truncation the file asks for."""
    from tokenizers import Tokenizer

    file = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    if not file.is_file():
        raise BadInput(f"{file} does not exist. Name a folder with a tokenizer.json, or leave the tokenizer out.")
    try:
        encoder = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception
        raise BadInput(f"{file} cannot be read as a tokenizer ({error}).") from error
    encoder.no_truncation()
    encoder.no_padding()
    return lambda texts: [len(each.ids) for each in encoder.encode_batch_fast(texts, add_special_tokens=False)]
