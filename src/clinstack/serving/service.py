"""A library's promoted versions, loaded, kept up with the library, and answering: what the HTTP server and Python users ask.

A watcher looks at the library every second. What was promoted or rolled back is verified and loaded beside the work, then takes
the place of the version before it at once; whoever asked before is still answered by that one. A version that cannot be loaded
leaves things as they are, and the service says so.
"""

import asyncio
import difflib
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from types import MappingProxyType
from typing import Any, Self

from clinstack.errors import BadInput, ClinstackError, did_you_mean
from clinstack.evaluation.explanation import Explanation
from clinstack.runs.atomic import read_errors, read_json
from clinstack.runs.layout import RunLayout
from clinstack.serving.answers import ClassAnswer, Interpreter, interpreter_of
from clinstack.serving.batching import Batcher, Found
from clinstack.serving.engine import Engine, Question, Served
from clinstack.serving.library import Entry, Library
from clinstack.serving.log import LOG

_RETRY_SECONDS = 30.0
"""After which a version that could not be loaded is tried again, though the library has not changed."""
_LIBRARY = "library"
"""What `failures` names where it is not one version that cannot be read."""
_WARMING = "warm"
"""A text that every version reads once before it answers."""


@dataclass(frozen=True, eq=False)
class Version:
    """A promoted version, ready to answer. lineage: the hashes of base, adapters, head and data."""

    entry: Entry
    served: Served
    interpreter: Interpreter
    result: dict[str, Any]
    card: str

    @property
    def lineage(self) -> dict[str, Any]:
        """Where every answer comes from."""
        return {"version": self.entry.name, **self.entry.about["lineage"]}


@dataclass(frozen=True)
class Answer:
    """What one version says of one note: every class, the likeliest first.

    characters: of the note's text.   read: start and end of what the version read of it, of one piece or two.
    """

    note_id: str
    version: Version
    logits: Any
    characters: int
    read: tuple[tuple[int, int], ...]

    def classes(self, most: int | None = None) -> list[ClassAnswer]:
        """What is said of the likeliest classes."""
        return self.version.interpreter.read(self.logits, most)

    @property
    def abstained(self) -> bool:
        """Whether the likeliest of several classes, or the positive one of two, is left open; of labels each says it itself."""
        if self.version.interpreter.kind == "multilabel":
            return False
        return self.classes(1)[0].decided is None


class Service:
    """The promoted versions of a library, answering.

    base: where the base of every version is now, if not where it was.   device: cpu, cuda or cuda:N.
    every: seconds between two looks at the library.   others: of `Batcher`.
    Raises BadInput or WrongParents if a promoted version cannot be loaded, or none is promoted.
    """

    def __init__(
        self, library: Path, *, base: str | None = None, device: str = "cpu", every: float = 1.0, **others: Any
    ):
        self.library = Library(library)
        self._base, self._every = base, every
        self._engine = Engine(device)
        self._versions: Mapping[str, Version] = MappingProxyType({})
        self._refreshing, self._closing = Lock(), Event()
        self.failures: dict[str, str] = {}
        self._seen = self._state()  # before it is read: what is promoted while versions load is loaded next
        self.refresh()
        if self.failures:
            raise BadInput(next(iter(self.failures.values())))
        if not self._versions:
            raise BadInput(
                f"Library {library} has no promoted version, so there is nothing to serve. Add a run with `clinstack "
                "library add`, then `clinstack library promote`."
            )
        self.batcher = Batcher(self._engine, **others)
        self._watcher = Thread(target=self._watch, name="library watcher", daemon=True)
        self._watcher.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(60.0)

    @property
    def closing(self) -> bool:
        """Whether it takes no more questions."""
        return self._closing.is_set()

    @property
    def versions(self) -> Mapping[str, Version]:
        """What answers now, by task."""
        return self._versions

    def choose(self, tasks: Iterable[str] | None = None) -> tuple[Version, ...]:
        """The versions that answer for these tasks; all if None. Raises BadInput with the nearest name for an unknown one."""
        versions = self._versions
        wanted = list(versions) if tasks is None else list(dict.fromkeys(tasks))
        for task in wanted:
            if task not in versions:
                # It is not repeated: it could be a word of a note that was put into the wrong field.
                raise BadInput(f"Unknown task. {did_you_mean(task, versions)}")
        return tuple(versions[task] for task in wanted)

    def predict(
        self, notes: Sequence[tuple[str, str]], tasks: Iterable[str] | None = None, timeout: float = 60.0
    ) -> list[Answer]:
        """What each version says of each note (id and text), note by note, in the order asked.

        Raises BadInput for an unknown task, `batching.Turned` if the queue is full, `batching.TooLate` after `timeout` seconds.
        """
        versions = self.choose(tasks)
        return _answers(notes, versions, [one.result() for one in self._ask(notes, versions, timeout)])

    async def predict_soon(
        self, notes: Sequence[tuple[str, str]], versions: Sequence[Version], timeout: float
    ) -> list[Answer]:
        """`predict` for an event loop; what nobody waits for any more is not computed."""
        asked = [asyncio.wrap_future(one) for one in self._ask(notes, versions, timeout)]
        return _answers(notes, versions, await asyncio.gather(*asked))

    def explain(self, text: str, version: Version, name: str | None = None) -> tuple[str, Explanation]:
        """Why a version says what it says of a class, the likeliest if None (of two the positive); the class's name, and why.

        Raises BadInput with the nearest name for an unknown class.
        """
        classes = version.interpreter.classes
        if name is not None and name not in classes:
            near = difflib.get_close_matches(name, classes, n=1)
            offer = f"Did you mean {near[0]!r}?" if near else f"GET /v1/tasks/{version.entry.task} lists them."
            raise BadInput(f"Task {version.entry.task} has no such class. {offer}")
        if name is None and version.interpreter.kind == "binary":
            name = classes[1]
        if name is None:
            (logits,) = self._engine.score([text], [version.served])
            name = classes[int(logits[0].argmax())]
        return name, self._engine.explain(text, version.served, classes.index(name))

    def refresh(self) -> None:
        """Loads what is promoted and lets go what is not; what cannot be loaded is told in `failures`, by version.

        Raises BadInput if the library cannot be read, or is gone with what answers: nothing of it is let go then.
        """
        with self._refreshing:
            if self._versions and not self.library.layout.state.is_file():
                raise BadInput(f"{self.library.layout.state} is missing. Restore it; what answered goes on until then.")
            promoted = [entry for entry in self.library.entries() if entry.promoted]
            found, failures = {}, {}
            for entry in promoted:
                known = self._versions.get(entry.task)
                if known is not None and known.entry.version == entry.version:
                    found[entry.task] = known
                    continue
                try:
                    with read_errors(self.library.run(entry)):
                        found[entry.task] = self._load(entry)
                except (
                    Exception
                ) as error:  # memory that runs out, a run of another program's: the others must not suffer
                    failures[entry.name] = _told(error)
                    LOG.error("%s is promoted and cannot be loaded: %s", entry.name, failures[entry.name])
                    if known is not None:
                        found[entry.task] = known
            self._versions, self.failures = MappingProxyType(found), failures

    def close(self, timeout: float) -> bool:
        """Answers what waits, takes nothing new, and ends; False if that took longer than `timeout` seconds."""
        self._closing.set()
        until = time.monotonic() + timeout
        done = self.batcher.close(timeout)
        self._watcher.join(max(0.0, until - time.monotonic()))
        return done

    def _ask(
        self, notes: Sequence[tuple[str, str]], versions: Sequence[Version], timeout: float
    ) -> "list[Future[Found]]":
        served = tuple(version.served for version in versions)
        return self.batcher.ask([Question(text, served) for _, text in notes], timeout)

    def _load(self, entry: Entry) -> Version:
        folder = self.library.run(entry)
        layout = RunLayout(folder)
        base = self._base
        if base is not None and not entry.broken and "own_base" in read_json(layout.lineage):
            base = None  # this version holds its own
        self.library.verify(entry, base)
        result = read_json(layout.result)
        served = self._engine.prepare(folder, base)
        self._engine.score([_WARMING], [served])
        return Version(entry, served, interpreter_of(folder), result, layout.card.read_text(encoding="utf-8"))

    def _watch(self) -> None:
        tried = time.monotonic()
        while not self._closing.wait(self._every):
            now = self._state()
            if now == self._seen and not (self.failures and time.monotonic() > tried + _RETRY_SECONDS):
                continue
            self._seen, tried = now, time.monotonic()
            try:
                with read_errors(self.library.layout.root):
                    self.refresh()
            except (
                Exception
            ) as error:  # the library itself cannot be read: what answers goes on, and so does this thread
                if self.failures != {_LIBRARY: _told(error)}:
                    LOG.error("the library cannot be read: %s", _told(error))
                self.failures = {_LIBRARY: _told(error)}

    def _state(self) -> tuple[int, int, int] | None:
        """Changes whenever the library's state is written."""
        try:
            found = self.library.layout.state.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _answers(notes: Sequence[tuple[str, str]], versions: Sequence[Version], found: Sequence[Found]) -> list[Answer]:
    return [
        Answer(note_id, version, one.logits, len(text), one.read)
        for (note_id, text), row in zip(notes, found, strict=True)
        for version, one in zip(versions, row, strict=True)
    ]


def _told(error: Exception) -> str:
    """What may be said of an error: words that are not ours could hold anything."""
    return str(error) if isinstance(error, ClinstackError) else f"an unexpected {type(error).__name__}"
