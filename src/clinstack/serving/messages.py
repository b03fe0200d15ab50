"""What goes over the wire: requests and answers of the HTTP API, as typed classes that server, client and docs share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_NOTES = 64
"""Notes in one request."""
MOST_CHARACTERS = 200_000
"""Of one note: four times the longest discharge summaries."""
MOST_TASKS = 256
MOST_ID = 200
"""Characters of a note's id."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Note(_Message):
    """A note to be answered. Its id comes back with the answer and is kept nowhere."""

    id: Annotated[str, Field(min_length=1, max_length=MOST_ID)]
    text: Annotated[str, Field(max_length=MOST_CHARACTERS)]


TaskNames = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=MOST_TASKS)
]


class PredictRequest(_Message):
    """Notes, and which tasks are asked of them: every promoted one without `tasks`."""

    notes: Annotated[list[Note], Field(min_length=1, max_length=MOST_NOTES)]
    tasks: TaskNames | None = None
    top: Annotated[int, Field(ge=1, le=2000)] | None = None
    """Of each task only so many of the likeliest classes; every class without it."""


class Share(_Message):
    """How many of the validation notes that scored most alike had the class: a share with its 95 % interval."""

    value: float
    low: float
    high: float
    notes: int


class ClassAnswer(_Message):
    """What is said of a class. title: what it stands for, if known.

    threshold: of the highest F1 on validation, null if there is none.   open_low, open_high: where it may lie.
    decided: true from `open_high` on, false below `open_low`, else null; of several classes whether it is the chosen one.
    """

    name: str
    title: str | None
    probability: float
    alike: Share
    base_rate: float
    threshold: float | None
    open_low: float | None
    open_high: float | None
    decided: bool | None


class Lineage(_Message):
    """What an answer comes from: the version that answered, and content hashes."""

    version: str
    base: str
    adapters: dict[str, str]
    head: str
    data: str


class Read(_Message):
    """How much of a note a version read: so many characters in all, and start and end of each piece that was read."""

    characters: int
    pieces: list[tuple[int, int]]


class Prediction(_Message):
    """What a task's version says of a note. probabilities: calibrated, of every class or the `top` likeliest.

    classes: the likeliest ones in detail, at most ten unless `top` asks for more.
    abstained: of two or more classes none was decided; of labels each says by itself whether it was.
    """

    note_id: str
    task: str
    kind: Literal["binary", "multiclass", "multilabel"]
    probabilities: dict[str, float]
    classes: list[ClassAnswer]
    abstained: bool
    read: Read
    lineage: Lineage


class PredictResponse(_Message):
    """Note by note, and of each note task by task, in the order asked."""

    predictions: list[Prediction]


class ExplainRequest(_Message):
    """A note, a task, and the class that is asked about: without it the likeliest, of two the positive."""

    note: Note
    task: Annotated[str, Field(min_length=1, max_length=200)]
    class_name: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class Part(_Message):
    """A word or a section: its characters in the text, and what it adds to the class's log-odds."""

    start: int
    end: int
    share: float
    name: str = ""


class Faithfulness(_Message):
    """By how much the log-odds fall without the `words` that speak most for the class, and without as many by chance."""

    words: int
    without_named: float
    by_chance: float


class ExplainResponse(_Message):
    """What each word that the model reads, and each section, adds to a class's log-odds, and whether that is to be believed."""

    note_id: str
    task: str
    class_name: str
    words: list[Part]
    sections: list[Part]
    faithfulness: Faithfulness | None
    lineage: Lineage


class Outcome(_Message):
    """What came true of a note that was answered before: its class, or its labels (none is a label too)."""

    note_id: Annotated[str, Field(min_length=1, max_length=MOST_ID)]
    task: Annotated[str, Field(min_length=1, max_length=200)]
    labels: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=2000)]


class OutcomesRequest(_Message):
    """Outcomes, to be set beside what was said."""

    outcomes: Annotated[list[Outcome], Field(min_length=1, max_length=1000)]


class OutcomesResponse(_Message):
    """How many were of notes that had been asked, and how many of others."""

    known: int
    unknown: int


class Shift(_Message):
    """How far a number's distribution lies from the validation notes' (PSI), and what that may be by chance (95 %)."""

    name: str
    psi: float | None
    chance: float | None


class Figure(_Message):
    """A metric of the test notes with its 95 % interval; null where it does not exist."""

    value: float | None
    low: float | None
    high: float | None


class TaskSummary(_Message):
    """A promoted version. since: when it was promoted, as ISO 8601."""

    task: str
    version: str
    since: str | None
    kind: Literal["binary", "multiclass", "multilabel"]
    classes: int
    base: str
    variant: str
    terms: list[str]
    metrics: dict[str, Figure]
    lineage: Lineage


class DriftResponse(_Message):
    """A version's last days beside its validation notes.

    notes: answered in that time.   scores: a shift for each class.   inputs: for each feature of the notes; null for a run that
    was made before it was kept.   outcomes: how many were posted back.   metrics: of these; null for fewer than 20.
    """

    task: str
    version: str
    days: int
    notes: int
    scores: list[Shift]
    inputs: list[Shift] | None
    outcomes: int
    metrics: dict[str, Figure] | None


class TaskList(_Message):
    """Every promoted version."""

    tasks: list[TaskSummary]


class TaskDetail(TaskSummary):
    """A promoted version with its classes: names, titles, how frequent each is, from which probability on it is decided."""

    temperature: float
    class_names: list[str]
    class_titles: list[str | None]
    base_rates: list[float]
    thresholds: list[float | None]


class Health(_Message):
    """answering, failing: how many tasks and failures; which they are is told to callers with a key, where there are keys.

    failures: versions that are promoted and could not be loaded, `library` or `keys` where these cannot be read; what answered
    before goes on (without keys nobody is answered), and the log says why.
    """

    status: Literal["ready", "closing"]
    answering: int
    failing: int
    tasks: list[str] | None
    failures: list[str] | None


class Problem(_Message):
    """Why there is no answer, in one sentence, without anything of the request's text."""

    code: str
    message: str
    request_id: str


class ProblemResponse(_Message):
    """What every answer but 2xx holds."""

    error: Problem
