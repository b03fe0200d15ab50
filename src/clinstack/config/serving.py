"""Of the library of runs in use, the server, its keys and its log."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from clinstack.config.options import Options


class LibraryAddOptions(Options):
    """Copies a finished step-2 run into a library, as the next version of a task; everything is verified first."""

    run: Path
    """Run folder of a step-2 run."""
    library: Path
    """Library folder; made if there is none."""
    name: str
    """The task's name in the library."""
    base: str | None = None
    """Where the base is now, if not where it was."""
    by: list[str] = []
    """Figures of groups for the card: a column, or bands of its numbers, as in age:40,65,80; may be given several times."""
    attributes: Path | None = None
    """Table with note_id or patient_id and the columns of --by; the task's own columns without it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N; the test notes are read again for --by."""


class LibraryListOptions(Options):
    """Lists the tasks of a library, their versions, and which of them answers."""

    library: Path
    """Library folder."""


class LibraryShowOptions(Options):
    """Shows a version: figures with intervals, lineage, data-use terms."""

    version: str
    """TASK, for the promoted version, or TASK@VERSION."""
    library: Path
    """Library folder."""


class LibraryVerifyOptions(Options):
    """Makes sure that versions are what was added: every file, every hash, every parent."""

    library: Path
    """Library folder."""
    version: str | None = None
    """TASK or TASK@VERSION; all of them without it."""
    base: str | None = None
    """Where the base is now, if not where it was."""


class LibraryPromoteOptions(Options):
    """Lets a version answer for its task, once it is verified."""

    version: str
    """TASK@VERSION."""
    library: Path
    """Library folder."""


class LibraryRollbackOptions(Options):
    """Lets the version answer that did before the promoted one."""

    task: str
    """The task."""
    library: Path
    """Library folder."""


class LibraryExportOptions(Options):
    """Writes a version for plain peft and transformers, with equal logits and a program that shows it."""

    version: str
    """TASK, for the promoted version, or TASK@VERSION."""
    library: Path
    """Library folder."""
    out: Path
    """Folder to write."""
    form: Literal["fused", "merged"] = "fused"
    """One adapter that does what the stack does, or a copy of the base with the adapters folded in."""
    base: str | None = None
    """Where the base is now, if not where it was."""
    accept_terms: bool = False
    """You may pass these weights on under the data-use terms that they carry."""


class ServeOptions(Options):
    """Answers over HTTP for every promoted task of a library; what is promoted meanwhile takes its place by itself."""

    library: Path
    """Library folder."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one and says which."""
    base: str | None = None
    """Where the base of every version is now, if not where it was."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    keys: Path | None = None
    """File of the keys of those who may ask (`clinstack keys add`); needed where other machines can reach --host."""
    audit: Path | None = None
    """File of the audit log: who asked what when, and which version answered, with keyed hashes of notes."""
    watch: str | None = None
    """Database that counts what is asked and answered, as an SQLAlchemy URL, or off; watch.sqlite in the library without it."""
    watch_secret: Path | None = None
    """File of the key for ids of notes in that database, made if there is none; beside an SQLite file unless you say where."""
    keep_days: int = Field(default=90, ge=1)
    """Days for which probabilities wait for outcomes to be posted back."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds after which a request that was not reached is answered with 503."""
    most_waiting: int = Field(default=512, ge=1)
    """Notes that may wait; who would come after them is answered with 503 and when to come again."""
    most_bytes: int = Field(default=4_000_000, ge=1000)
    """Largest request."""
    body_seconds: float = Field(default=20.0, gt=0)
    """Seconds in which a request must be there whole."""
    connections: int = Field(default=256, ge=1)
    """Most connections, and most requests in work, at once; a connection without a whole request makes way for a new one."""
    drain_seconds: float = Field(default=60.0, ge=1)
    """Seconds that requests in work have to end after SIGTERM."""
    log: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged, on stderr; never a note."""
    replicas: int = Field(default=1, ge=1)
    """Processes that answer; more than one through Ray Serve (clinstack[scale-out])."""
    ray_address: str | None = None
    """Address of a running Ray cluster to answer from, such as 10.0.0.1:6379."""


class KeysAddOptions(Options):
    """Makes a key for a caller of the server and shows it once; the file holds its hash."""

    name: str
    """Of the caller, as logs will have it."""
    keys: Path
    """File of keys; made if there is none."""
    tasks: str | None = None
    """Tasks that may be asked, joined by commas; every task without it."""
    notes_per_minute: int = Field(default=600, ge=1)
    """Notes that may be asked in a minute."""


class KeysListOptions(Options):
    """Lists the callers that have a key, and what they may ask."""

    keys: Path
    """File of keys."""


class KeysRemoveOptions(Options):
    """Takes a caller's key out; a running server refuses it within a second."""

    name: str
    """Of the caller."""
    keys: Path
    """File of keys."""


class AuditCheckOptions(Options):
    """Makes sure that no line of a server's audit log was changed, moved or taken out."""

    log: Path
    """The log; its secret lies beside it."""


class AuditFindOptions(Options):
    """Finds when a note was asked, by whom, and which version answered."""

    log: Path
    """The log; its secret lies beside it."""
    note: Path
    """Text file with the note exactly as it was asked."""
