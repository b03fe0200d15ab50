"""The mistakes of one file, collected so that a person mends it once and not five times.

Equal sentences are one with several rows, only the first five are kept, and so a million bad rows cost no memory.
"""

from pathlib import Path

from clinstack.errors import BadInput

SHOWN_MISTAKES = 5


class Mistakes:
    """What is wrong with one file, collected to be said at once: the first five sentences, with the rows of each.

    lines: say the line of every row, also where it is plain (the row after the header is line 2): exports of databases
        are looked at by line, with tools.
    """

    def __init__(self, file: Path, *, lines: bool = False) -> None:
        self.file = file
        self._lines = lines
        self.count = 0
        self._places: dict[str, list[str]] = {}
        self._times: dict[str, int] = {}

    def add(self, sentence: str, place: str = "") -> None:
        """Notes a mistake; equal sentences are one, with several rows. `place` is empty for the file as a whole."""
        self.count += 1
        if self._lines and place.isdecimal():
            place = f"{place} (line {int(place) + 1})"
        if sentence not in self._places and len(self._places) == SHOWN_MISTAKES:
            return
        places = self._places.setdefault(sentence, [])
        self._times[sentence] = self._times.get(sentence, 0) + 1
        if len(places) < SHOWN_MISTAKES:
            places.append(place)

    def check(self) -> None:
        """Raises BadInput with all that was noted, if anything was."""
        if not self.count:
            return
        said = [(self._rows(sentence), sentence) for sentence in self._places]
        if len(said) == 1:
            rows, sentence = said[0]
            raise BadInput(f"{self.file}{', ' if rows else ''}{rows}: {sentence}")
        lines = [f"{self.file}: {self.count:,} mistakes."]
        lines += [f"  {rows}{': ' if rows else ''}{sentence}" for rows, sentence in said]
        rest = self.count - sum(self._times.values())
        if rest:
            lines.append(f"  And {rest:,} more.")
        raise BadInput("\n".join(lines))

    def _rows(self, sentence: str) -> str:
        places, times = self._places[sentence], self._times[sentence]
        if not places[0]:
            return ""
        if times == 1:
            return f"row {places[0]}"
        last = f"{times - len(places):,} more" if times > len(places) else places[-1]
        return f"rows {', '.join(places if times > len(places) else places[:-1])} and {last}"
