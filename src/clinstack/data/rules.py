"""The rules by which raw hospital tables become tasks: as published (`reference`), corrected (`strict`), or any mix.

Published numbers are comparable only under the published rules, and some of those are accidents: a section at the end of a
note is lost, a newline of another system finds nothing, leading zeros of procedure codes vanish. Every correction is a
switch of its own here, off in `reference`, on in `strict`; a task folder says which were on. The option's name on the
command line is the field's name, so there is one list.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from dataclasses import field as declare

from clinstack.errors import BadInput, did_you_mean

MODES = ("reference", "strict")


def _switch(sentence: str, *, strict: bool = True) -> bool:
    """A switch that is off in reference; `strict`: whether the strict mode turns it on."""
    found: bool = declare(default=False, metadata={"about": sentence, "strict": strict})
    return found


@dataclass(frozen=True)
class Rules:
    """Which corrections are on; all off is the published behaviour."""

    drop_errors: bool = _switch("Notes marked as errors (ISERROR = 1) are dropped.")
    duplicates_per_admission: bool = _switch("Equal texts are one only within an admission, not over the whole table.")
    newlines: bool = _switch("CR LF and CR count as line feeds.")
    blank_lines: bool = _switch("A line of spaces and tabs is a blank line.")
    empty_bodies: bool = _switch("A section may be empty; it does not swallow the next one.")
    end_of_text: bool = _switch("The end of the text ends a section.")
    line_headers: bool = _switch("A section's heading stands at the start of a line.")
    synonyms: bool = _switch("Other usual headings are known too, such as HPI or Home Medications.")
    known_terminators: bool = _switch("Only known headings end a section, not any line with a colon.")
    hard_stops: bool = _switch("A hospital course or discharge section that was swallowed is cut off.")
    blank_brackets: bool = _switch("A section that begins with [] is empty.")
    placeholders: bool = _switch("MIMIC-III's bracketed placeholders become ___, as in MIMIC-IV.")
    collapse_spaces: bool = _switch("Runs of spaces in a section become one.")
    death_mentions: bool = _switch(
        "More ways of saying that the patient died or is dying drop a note from mor and pmv."
    )
    leading_zeros: bool = _switch("Procedure codes keep their leading zeros.")
    v_categories: bool = _switch("V codes are cut to their category of three characters.", strict=False)

    def on(self) -> list[str]:
        """The names of the switches that are on, as on the command line."""
        return [_option(one.name) for one in fields(self) if getattr(self, one.name)]


def make_rules(mode: str, switches: Iterable[str] = ()) -> Rules:
    """The rules of a mode, with further switches turned on.

    switches: names as on the command line, such as end-of-text.
    Raises BadInput for an unknown mode or switch.
    """
    if mode not in MODES:
        raise BadInput(f"Unknown mode {mode!r}. {did_you_mean(mode, MODES)}")
    known = {_option(one.name): one for one in fields(Rules)}
    chosen = {one.name for one in fields(Rules) if mode == "strict" and one.metadata["strict"]}
    for switch in switches:
        if switch not in known:
            raise BadInput(f"Unknown switch {switch!r} (--strict). {did_you_mean(switch, known)}")
        chosen.add(known[switch].name)
    return Rules(**dict.fromkeys(chosen, True))


def _option(field: str) -> str:
    return field.replace("_", "-")
