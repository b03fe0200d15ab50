"""The text of a note as a corpus keeps it: as the published corpus was made, or with its accidents mended.

The published rule opens the brackets of MIMIC-III's placeholders (`[**Name**]` becomes ` Name `), turns newlines into spaces
and collapses spaces; tabs, carriage returns and a trailing space stay. MIMIC-IV marks what was removed with `___`, which
stays under both rules. Strict maps MIMIC-III's placeholders to `___` as well, and every separator of lines to one kind.
"""

import re
from collections.abc import Callable
from typing import Literal

from clinstack.errors import BadInput, did_you_mean

Newlines = Literal["space", "keep"]

PLACEHOLDER = re.compile(r"\[\*\*.*?\*\*\]", re.DOTALL)
_SPACES = re.compile(r" +")
# What Python, editors and line-based readers take for the end of a line, CR LF first so that it is one.
_LINE_ENDS = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_BLANKS = re.compile("[ \t]+")
_AROUND_LINES = re.compile(" ?\n ?")


def cleaner(mode: str, newlines: Newlines = "space") -> Callable[[str], str]:
    """The cleaning of a mode: reference or strict. newlines: of strict, whether lines stay lines.

    Raises BadInput for an unknown mode, or for newlines that reference does not have.
    """
    modes: dict[str, Callable[[str], str]] = {
        "reference": clean_as_published,
        "strict": clean if newlines == "space" else clean_lines,
    }
    if mode not in modes:
        raise BadInput(f"Unknown mode {mode!r}. {did_you_mean(mode, modes)}")
    if mode == "reference" and newlines != "space":
        raise BadInput("--newlines keep belongs to --mode strict; the published corpus has none.")
    return modes[mode]


def clean_as_published(text: str) -> str:
    """The text by the published rule, to the byte."""
    return _SPACES.sub(" ", text.replace("[**", " ").replace("**]", " ").replace("\n", " "))


def clean(text: str) -> str:
    """The text on one line, stripped, with `___` for every placeholder."""
    return _SPACES.sub(" ", _LINE_ENDS.sub(" ", PLACEHOLDER.sub("___", text)).replace("\t", " ")).strip()


def clean_lines(text: str) -> str:
    """The text with its lines, each stripped, ended by a line feed; `___` for every placeholder."""
    lines = _LINE_ENDS.sub("\n", PLACEHOLDER.sub("___", text))
    return _AROUND_LINES.sub("\n", _BLANKS.sub(" ", lines)).strip()
