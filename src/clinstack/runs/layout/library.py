"""Of what is served."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LibraryLayout:
    """A library: versions of tasks, the adapters they share, and which version answers."""

    root: Path

    @property
    def state(self) -> Path:
        """What is promoted, what was before, and when it changed."""
        return self.root / "library.json"

    def version(self, task: str, number: int) -> Path:
        """The run folder of a version."""
        return self.root / "tasks" / task / f"{number:04d}"

    def versions(self) -> list[tuple[str, int]]:
        """Every task and number that has a folder, in order."""
        found = (self.root / "tasks").glob("*/[0-9][0-9][0-9][0-9]")
        return sorted((one.parent.name, int(one.name)) for one in found)

    @property
    def watch(self) -> Path:
        """Where a server counts what it is asked, if it has no other database."""
        return self.root / "watch.sqlite"

    def adapter(self, content_hash: str) -> Path:
        """An adapter that versions share."""
        return self.root / "adapters" / content_hash.removeprefix("sha256:")[:16]
