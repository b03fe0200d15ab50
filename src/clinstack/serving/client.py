"""A typed client of the HTTP API: `Client("http://127.0.0.1:8000").predict([("n1", "chest pain")])`.

It asks again where the server says when; every other refusal is raised with the server's own sentence. It follows no redirect
and uses no proxy from the environment: notes go to the address that was given and nowhere else.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from clinstack.data.notes import shown
from clinstack.errors import BadInput, ClinstackError
from clinstack.serving import messages

_LONGEST_WAIT = 30.0
_KEY_VARIABLE = "CLINSTACK_KEY"


def given_key(file: Path | None) -> str | None:
    """The key to ask with: the one line of `file`, else what the environment variable CLINSTACK_KEY holds, else none.

    Raises BadInput if there is something else than a key.
    """
    if file is None:
        place, key = _KEY_VARIABLE, os.environ.get(_KEY_VARIABLE, "").strip()
        if not key:
            return None
    else:
        place = f"--key-file {file}"
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{place} cannot be read. Give a text file that holds the key.") from error
    if not _is_key(key):
        raise BadInput(f"{place} does not hold a key: it is one word, as `clinstack keys add` showed it.")
    return key


def _is_key(word: str) -> bool:
    return word.isascii() and word.isprintable() and len(word.split()) == 1


class Client:
    """A server's address, asked over one connection that stays open.

    server: such as http://127.0.0.1:8000.   key: where the server asks for one (`clinstack keys add`).
    timeout: seconds for one answer.   tries: of a request for which the server is too busy; where
        a key has asked too much it is asked again as soon as the server says, however often.
    """

    def __init__(self, server: str, *, key: str | None = None, timeout: float = 60.0, tries: int = 5):
        if not server.startswith(("http://", "https://")):
            raise BadInput(
                f"--server {server}: an address begins with http:// or https://, as in http://127.0.0.1:8000."
            )
        if key is not None and not _is_key(key):
            raise BadInput("The key of the client is none: it is one word, as `clinstack keys add` showed it.")
        self.server, self._tries = server.rstrip("/"), tries
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=self.server, timeout=timeout, trust_env=False, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def predict(
        self, notes: Iterable[tuple[str, str]], tasks: Sequence[str] | None = None, top: int | None = None
    ) -> Iterator[messages.Prediction]:
        """What each task's version says of each note (id and text), in order; every promoted task if None.

        Raises BadInput for what the server refuses, ClinstackError if it cannot be reached or stays busy.
        """
        for some in _portions(map(_bounded, notes)):
            asked = messages.PredictRequest(
                notes=[messages.Note(id=note_id, text=text) for note_id, text in some],
                tasks=None if tasks is None else list(tasks),
                top=top,
            )
            answer = self._ask("POST", "/v1/predict", asked.model_dump(exclude_none=True))
            yield from messages.PredictResponse.model_validate(answer).predictions

    def tasks(self) -> list[messages.TaskSummary]:
        """What answers."""
        return messages.TaskList.model_validate(self._ask("GET", "/v1/tasks")).tasks

    def task(self, name: str) -> messages.TaskDetail:
        """A task with its classes."""
        return messages.TaskDetail.model_validate(self._ask("GET", f"/v1/tasks/{name}"))

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        tries = 0
        while True:
            try:
                answer = self._http.request(method, path, json=body)
            except httpx.HTTPError as error:
                raise ClinstackError(f"{self.server} cannot be asked: {error}.") from error
            wait = _seconds_to_wait(answer)
            if (
                answer.status_code != 429
            ):  # a key's minute comes back as surely as the clock goes, a busy server may not
                tries += 1
                wait = min(wait, _LONGEST_WAIT)
            if answer.status_code not in (429, 503) or tries >= self._tries:
                break
            time.sleep(wait)
        if answer.is_success:
            return answer.json()
        try:
            told = messages.ProblemResponse.model_validate_json(answer.content).error.message
        except ValueError:
            told = f"It answered with status {answer.status_code}, and not as clinstack does."
        kind = BadInput if answer.is_client_error and answer.status_code != 429 else ClinstackError
        raise kind(f"{self.server}: {told}")


def _seconds_to_wait(answer: httpx.Response) -> float:
    """What the server asks for; a second where it gives none, or a date, as machines between may."""
    try:
        return max(0.0, float(answer.headers.get("retry-after", 1)))
    except ValueError:
        return 1.0


class RemoteClassifier:
    """A task of a server, for `clinstack predict`: probabilities come over, its logits stay there."""

    def __init__(self, client: Client, task: str | None):
        self.client = client
        self.task = task or _only(client)
        about = client.task(self.task)
        self.kind: str = about.kind
        self.classes = tuple(about.class_names)

    def predict_notes(self, notes: Sequence[tuple[str, str]], batch_size: int = 32) -> NDArray[np.float64]:
        """Calibrated probabilities (N, C) of notes (id and text); outcomes may be posted back under these ids."""
        answers = self.client.predict(notes, [self.task])
        rows = [[one.probabilities[name] for name in self.classes] for one in answers]
        return np.array(rows, dtype=np.float64).reshape(len(notes), len(self.classes))


def _only(client: Client) -> str:
    """The name of the only task of a server."""
    names = [one.task for one in client.tasks()]
    if len(names) != 1:
        raise BadInput(f"{client.server} answers for {', '.join(names)}. Say which with --task.")
    return names[0]


def _bounded(note: tuple[str, str]) -> tuple[str, str]:
    """The note, if a server takes it."""
    note_id, text = note
    if not 0 < len(note_id) <= messages.MOST_ID:
        raise BadInput(f"An id has {len(note_id)} characters; a server takes 1 to {messages.MOST_ID}.")
    if len(text) > messages.MOST_CHARACTERS:
        raise BadInput(
            f"Note {shown(note_id)} has {len(text):,} characters, and a server takes {messages.MOST_CHARACTERS:,}. Cut it."
        )
    return note


def _portions(notes: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """As many notes as one request may hold, in number and in text."""
    some: list[tuple[str, str]] = []
    room = messages.MOST_CHARACTERS
    for note in notes:
        if some and (len(some) == messages.MOST_NOTES or len(note[1]) > room):
            yield some
            some, room = [], messages.MOST_CHARACTERS
        some.append(note)
        room -= len(note[1])
    if some:
        yield some
