"""CDS Hooks 2.0 (cds-hooks.hl7.org): a service a task, which answers with a card for the newest FHIR document it is given.

The document comes with the request (`prefetch`), as a DocumentReference or a Bundle of them, its text inside in base64. A
service may instead fetch what it lacks from the caller's FHIR server; this one calls nobody, and answers 412, as the standard
has it.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from clinstack.serving import messages

Hook = Literal["patient-view"]
HOOK: Hook = "patient-view"
DOCUMENTS = "documents"
"""The key under which the caller sends what the template asks for."""
_TEMPLATE = "DocumentReference?patient={{context.patientId}}&status=current&_sort=-date&_count=1"
_TEXT_TYPES = ("text/plain", "text/markdown", "")
_RETRACTED = ("superseded", "entered-in-error")
"""A document's `status` where it is no longer to be read, as one that was filed under another patient."""
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LONGEST_SUMMARY = 140


def _of_whole_characters(given: dict[str, Any]) -> dict[str, Any]:
    """Refuses half a character (a lone surrogate), which JSON can hold and no answer repeat; in strings pydantic does so."""
    try:
        json.dumps(given, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError) as error:
        raise PydanticCustomError("string_unicode", "half a character") from error
    return given


_Object = Annotated[dict[str, Any], AfterValidator(_of_whole_characters)]


class _Open(BaseModel):
    """The standard lets callers send more than it names."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class HookRequest(_Open):
    """A call of a service."""

    hook: Hook
    hookInstance: Annotated[str, Field(min_length=1, max_length=200)]  # noqa: N815 (the standard's name)
    context: _Object
    prefetch: _Object | None = None


class HookService(BaseModel):
    """A service as discovery lists it."""

    hook: str
    id: str
    title: str
    description: str
    prefetch: dict[str, str]


class HookServices(BaseModel):
    """What discovery answers."""

    services: list[HookService]


class Source(BaseModel):
    """Where a card comes from."""

    label: str


class Card(BaseModel):
    """What a clinician sees: a summary of at most 140 characters, and detail in Markdown."""

    summary: str
    indicator: str
    source: Source
    detail: str


class HookResponse(BaseModel):
    """The cards of a call."""

    cards: list[Card]


class NoDocument(Exception):
    """The request holds no document that can be read. Its text says why, in words of ours."""


def service_of(task: messages.TaskSummary) -> HookService:
    """A task as a service."""
    return HookService(
        hook=HOOK,
        id=task.task,
        title=f"clinstack: {task.task}",
        description=f"What {task.version} says of the patient's newest document. It aids clinicians and does not replace them.",
        prefetch={DOCUMENTS: _TEMPLATE},
    )


def text_of(asked: HookRequest) -> tuple[str, str]:
    """Id and text of the newest document that a request holds. Raises NoDocument if it holds none with text inside."""
    found = list(_documents((asked.prefetch or {}).get(DOCUMENTS)))
    if not found:
        raise NoDocument(
            f"The request holds no DocumentReference under prefetch.{DOCUMENTS}, and this service fetches none."
        )
    valid = [one for one in found if not any(one.get(key) in _RETRACTED for key in ("status", "docStatus"))]
    if not valid:
        raise NoDocument("Every document of the request is superseded or was entered in error.")
    newest = max(valid, key=_instant)
    for content in _list(newest.get("content")):
        attachment = content.get("attachment") if isinstance(content, dict) else None
        if not isinstance(attachment, dict) or not isinstance(attachment.get("data"), str):
            continue
        if str(attachment.get("contentType", "")).partition(";")[0].strip().lower() in _TEXT_TYPES:
            return str(newest.get("id") or asked.hookInstance), _decoded(attachment["data"])
    raise NoDocument("The document holds no text: its attachment must have data in base64 of type text/plain.")


def card_of(answer: messages.Prediction) -> Card:
    """What a task's version says of a document."""
    shown, lead = answer.classes[:5], answer.classes[0]
    if answer.kind == "binary":
        positive = list(answer.probabilities)[1]
        lead = next(one for one in shown if one.name == positive)
    summary = f"{answer.task}: {_words(lead)} {lead.probability:.1%}, {_decision(lead)}; usual {lead.base_rate:.1%}"
    lines = [
        f"* {_words(one)}: {one.probability:.1%}; of {one.alike.notes} validation notes that scored alike "
        f"{one.alike.value:.0%} (95 % interval {one.alike.low:.0%} to {one.alike.high:.0%}); usual {one.base_rate:.1%}; "
        f"{_decision(one)}"
        for one in shown
    ]
    return Card(
        summary=summary if len(summary) <= _LONGEST_SUMMARY else summary[: _LONGEST_SUMMARY - 1] + "…",
        indicator="warning" if lead.decided and answer.kind == "binary" else "info",
        source=Source(label=f"clinstack, {answer.lineage.version}"),
        detail="\n".join(
            [*lines, "", "A model's estimate from one document. It aids clinicians and does not replace them."]
        ),
    )


def _words(one: messages.ClassAnswer) -> str:
    return f"{one.name} ({one.title})" if one.title else one.name


def _decision(one: messages.ClassAnswer) -> str:
    """Which side of the threshold it lies on; not what will come true."""
    if one.open_low is None or one.open_high is None:
        return {True: "the likeliest", False: "not the likeliest", None: "left open"}[one.decided]
    return {
        True: f"counts as such (from {one.open_high:.1%} on)",
        False: f"does not count as such (below {one.open_low:.1%})",
        None: f"left open ({one.open_low:.1%} to {one.open_high:.1%})",
    }[one.decided]


def _documents(given: Any) -> Iterator[dict[str, Any]]:
    """Every DocumentReference of a resource, a Bundle, or a list of either."""
    if isinstance(given, list):
        for one in given[: messages.MOST_NOTES]:
            if isinstance(one, dict):
                yield from _documents(one)
    elif isinstance(given, dict) and given.get("resourceType") == "DocumentReference":
        yield given
    elif isinstance(given, dict) and given.get("resourceType") == "Bundle":
        entries = [one.get("resource") for one in _list(given.get("entry")) if isinstance(one, dict)]
        yield from _documents([one for one in entries if isinstance(one, dict) and one.get("resourceType") != "Bundle"])


def _instant(document: dict[str, Any]) -> datetime:
    """When a document was written, as far as it says: FHIR's instants have a zone, and their texts do not sort."""
    try:
        found = datetime.fromisoformat(str(document.get("date")))
    except ValueError:
        return _EARLIEST
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _decoded(data: str) -> str:
    try:
        text = base64.b64decode("".join(data.split()), validate=True).decode("utf-8")  # lines of 76, as MIME has it
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise NoDocument("The document's data is not UTF-8 text in base64.") from error
    if len(text) > messages.MOST_CHARACTERS:
        raise NoDocument(f"The document is longer than {messages.MOST_CHARACTERS:,} characters.")
    return text
