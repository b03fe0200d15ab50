"""What can go wrong, in the words the user sees.

Every message is one or two sentences: what is wrong, where (file, row, option), what is allowed, what to do. The command line
prints the message alone and ends with the kind's exit code. Note text never enters a message.
"""

import difflib
from collections.abc import Iterable


class ClinstackError(Exception):
    """The base of everything clinstack raises on purpose. Its text is shown to the user as it is."""

    exit_code = 1
    of_one_process = False
    """Whether, of several processes that share a run, this one alone may know of it; else the first is left to speak."""


class BadInput(ClinstackError):
    """A file, a row or an option that the user can mend."""

    exit_code = 2


class WrongParents(ClinstackError):
    """An adapter, head or run that was made for another base or another stack than the one it is given."""

    exit_code = 2


class CannotWrite(ClinstackError):
    """The disk is full or read-only, or the place is taken by something else."""

    exit_code = 2


class ProofFailed(ClinstackError):
    """A run whose adapters did not do what their slots say: inert, or frozen and yet changed."""


class Interrupted(ClinstackError):
    """The user or the machine asked the run to stop; it goes on with the same command."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest of the known names, if one is near, and lists them all."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    offer = f"Did you mean {near[0]!r}? " if near else ""
    return f"{offer}Known: {', '.join(known)}."
