"""What was found -> messages: answers, explanations, versions and drift as they go over the wire, recorded first."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import Request

from clinstack.evaluation.explanation import Explanation
from clinstack.serving import messages
from clinstack.serving.desk import Desk, caller_of
from clinstack.serving.service import Answer, Version
from clinstack.serving.version_drift import Drift, Shift

_DETAILED = 10
"""Classes told in detail where `top` does not say how many."""


def answered(
    desk: Desk,
    request: Request,
    asked: messages.PredictRequest,
    versions: Sequence[Version],
    answers: Sequence[Answer],
) -> messages.PredictResponse:
    """The answers as a message, measured, and in the audit log before they leave."""
    found = [_prediction(one, asked.top) for one in answers]
    if desk.watch is not None:
        desk.watch.observe([note.text for note in asked.notes for _ in versions], answers, caller_of(request))
    for one in found:
        desk.measures.answered(one.task, one.lineage.version, left_open=one.abstained)
    if desk.audit is not None:
        notes = [desk.audit.note(note.id, note.text) for note in asked.notes]
        desk.record(request, "predict", versions=[one.entry.name for one in versions], notes=notes)
    return messages.PredictResponse(predictions=found)


def _prediction(answer: Answer, top: int | None) -> messages.Prediction:
    chosen = answer.version
    interpreter = chosen.interpreter
    detailed = answer.classes(_DETAILED if top is None else top)
    likely = interpreter.probabilities(answer.logits[None])[0].tolist()
    every = dict(zip(interpreter.classes, likely, strict=True))
    return messages.Prediction(
        note_id=answer.note_id,
        task=chosen.entry.task,
        kind=interpreter.kind,
        probabilities=every if top is None else {one.name: one.probability for one in detailed},
        classes=[
            messages.ClassAnswer(
                name=one.name,
                title=one.title,
                probability=one.probability,
                alike=messages.Share(
                    value=one.alike.value, low=one.alike.low, high=one.alike.high, notes=one.notes_alike
                ),
                base_rate=one.base_rate,
                threshold=one.threshold,
                open_low=one.open_low,
                open_high=one.open_high,
                decided=one.decided,
            )
            for one in detailed
        ],
        abstained=answer.abstained,
        read=messages.Read(characters=answer.characters, pieces=list(answer.read)),
        lineage=messages.Lineage(**chosen.lineage),
    )


def explained(
    desk: Desk, request: Request, asked: messages.ExplainRequest, chosen: Version, name: str, found: Explanation
) -> messages.ExplainResponse:
    """The explanation as a message, in the audit log before it leaves."""
    if desk.audit is not None:
        notes = [desk.audit.note(asked.note.id, asked.note.text)]
        desk.record(request, "explain", versions=[chosen.entry.name], notes=notes)
    return messages.ExplainResponse(
        note_id=asked.note.id,
        task=chosen.entry.task,
        class_name=name,
        words=[messages.Part(**asdict(one)) for one in found.words],
        sections=[messages.Part(**asdict(one)) for one in found.sections],
        faithfulness=messages.Faithfulness(**asdict(found.faithfulness)) if found.faithfulness else None,
        lineage=messages.Lineage(**chosen.lineage),
    )


def summary_of(chosen: Version) -> dict[str, Any]:
    """What the messages about a version share."""
    about = chosen.entry.about
    return {
        "task": chosen.entry.task,
        "version": chosen.entry.name,
        "since": chosen.entry.since,
        "kind": about["kind"],
        "classes": about["classes"],
        "base": about["base"]["name"],
        "variant": about["variant"],
        "terms": about["terms"],
        "metrics": {name: _figure(found) for name, found in about["metrics"].get("test", {}).items()},
        "lineage": messages.Lineage(**chosen.lineage),
    }


def drift_of(task: str, chosen: Version, days: int, found: Drift) -> messages.DriftResponse:
    """A version's drift as a message."""
    return messages.DriftResponse(
        task=task,
        version=chosen.entry.name,
        days=days,
        notes=found.notes,
        scores=[_shift(one) for one in found.scores],
        inputs=None if found.inputs is None else [_shift(one) for one in found.inputs],
        outcomes=found.outcomes,
        metrics=None if found.metrics is None else {name: _figure(one) for name, one in found.metrics.items()},
    )


def _shift(found: Shift) -> messages.Shift:
    numbers = (None if math.isnan(one) else one for one in (found.psi, found.chance))
    return messages.Shift(name=found.name, **dict(zip(("psi", "chance"), numbers, strict=True)))


def _figure(found: dict[str, Any]) -> messages.Figure:
    return messages.Figure(**{key: found.get(key) for key in ("value", "low", "high")})
