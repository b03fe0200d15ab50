"""The HTTP API: messages in, one question to the service, messages out. What a request may cost is bounded in `limits`.

No text of a request is ever repeated: not in an answer to a mistake, not in a log line. A mistake names the place in the
request by the names of our own fields and numbers alone, since a field of an odd name may be a note.
"""

import asyncio
import contextlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from clinstack.errors import BadInput, CannotWrite
from clinstack.evaluation.explanation import Explanation
from clinstack.serving import cds_hooks, messages
from clinstack.serving.audit import AuditLog
from clinstack.serving.batching import TooLate, Turned
from clinstack.serving.keys import Key, Keys
from clinstack.serving.limits import LOG
from clinstack.serving.measures import Measures
from clinstack.serving.service import Answer, Service, Version
from clinstack.serving.watch import Shift, Watch

_DETAILED = 10
"""Classes told in detail where `top` does not say how many."""
_EXPLANATIONS = 1
"""At once: answers wait while an explanation takes its gradients."""
_EXPLANATION_NOTES = 50
"""What an explanation takes of a caller's minute."""
_EXPLANATION_SECONDS = 2.0
_PAGE = Path(__file__).with_name("page")
_FIELDS = frozenset(
    key
    for kind in (*vars(messages).values(), *vars(cds_hooks).values())
    if isinstance(kind, type) and issubclass(kind, BaseModel)
    for key in kind.model_fields
) | {"body", "query", "path", "header", "days"}


class Refused(Exception):
    """An answer that says no: its status, code and sentence, and when to ask again."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


@dataclass(frozen=True)
class Desk:
    """What answers, and under which rules.

    timeout: seconds after which a request that was not reached is answered with 503.   keys: None where everybody may ask.
    """

    service: Service
    measures: Measures
    timeout: float
    keys: Keys | None = None
    audit: AuditLog | None = None
    watch: Watch | None = None

    def choose(self, request: Request, tasks: Sequence[str] | None) -> tuple[Version, ...]:
        """The versions of these tasks that the caller may ask; all of them if None."""
        key: Key | None = request.state.key
        if key is None or key.tasks is None:
            return self.service.choose(tasks)
        if tasks is None:
            return self.service.choose([task for task in self.service.versions if task in key.tasks])
        chosen = self.service.choose(tasks)
        if barred := [one.entry.task for one in chosen if one.entry.task not in key.tasks]:
            raise Refused(403, "not-permitted", f"This key may not ask for task {barred[0]!r}.")
        return chosen

    def spend(self, request: Request, notes: int) -> None:
        """Takes notes out of the caller's minute. Raises Refused if there are not so many left."""
        key: Key | None = request.state.key
        if key is not None and self.keys is not None and (wait := self.keys.spend(key, notes)):
            limit = f"{key.notes_per_minute} notes a minute"
            raise Refused(
                429, "too-many", f"This key may ask for {limit}. Ask again in {math.ceil(wait)} seconds.", wait
            )

    def record(self, request: Request, what: str, **about: Any) -> None:
        """Writes to the audit log, if there is one."""
        if self.audit is not None:
            key: Key | None = request.state.key
            self.audit.write(request.state.request_id, key.name if key else None, what, **about)


def make_app(desk: Desk) -> FastAPI:
    """The application."""
    service, explaining = desk.service, asyncio.Semaphore(_EXPLANATIONS)
    app = FastAPI(
        title="clinstack",
        version=version("clinstack"),
        summary="Answers of clinical tasks from one base model and many task adapters.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={code: {"model": messages.ProblemResponse} for code in (400, 401, 403, 404, 412, 422, 429, 503)},
    )
    _tell_mistakes(app, desk)

    app.mount("/page", StaticFiles(directory=_PAGE), name="page")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        """The page for people."""
        return FileResponse(_PAGE / "index.html")

    @app.get("/v1/health/live")
    def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/v1/health/ready")
    def ready(response: Response) -> messages.Health:
        """Versions are loaded and questions are taken; 503 while the server closes."""
        if service.closing:
            response.status_code = 503
        return messages.Health(
            status="closing" if service.closing else "ready",
            tasks=list(service.versions),
            failures=list(service.failures),
        )

    @app.get("/v1/tasks")
    def tasks(request: Request) -> messages.TaskList:
        """Every promoted version that the caller may ask."""
        return messages.TaskList(tasks=[messages.TaskSummary(**_summary(one)) for one in desk.choose(request, None)])

    @app.get("/v1/tasks/{task}")
    def task(request: Request, task: str) -> messages.TaskDetail:
        """The version that answers for a task, with its classes."""
        (chosen,) = desk.choose(request, [task])
        interpreter = chosen.interpreter
        return messages.TaskDetail(
            **_summary(chosen),
            temperature=interpreter.temperature,
            class_names=list(interpreter.classes),
            base_rates=interpreter.base_rates,
            thresholds=interpreter.thresholds,
        )

    @app.get("/v1/tasks/{task}/card", response_class=PlainTextResponse)
    def card(request: Request, task: str) -> PlainTextResponse:
        """The card of the version that answers for a task, in Markdown."""
        (chosen,) = desk.choose(request, [task])
        return PlainTextResponse(chosen.card, media_type="text/markdown; charset=utf-8")

    @app.post("/v1/predict")
    async def predict(request: Request, asked: messages.PredictRequest) -> messages.PredictResponse:
        """Calibrated probabilities of each note for each task, with what validation says of such scores."""
        versions = desk.choose(request, asked.tasks)
        desk.spend(request, len(asked.notes))
        notes = [(note.id, note.text) for note in asked.notes]
        answers = await service.predict_soon(notes, versions, desk.timeout)
        return await asyncio.to_thread(_told, desk, request, asked, versions, answers)

    @app.post("/v1/explain")
    async def explain(request: Request, asked: messages.ExplainRequest) -> messages.ExplainResponse:
        """Why a task's version says what it says of a note: what each word and section adds. Takes as long as fifty answers."""
        (chosen,) = desk.choose(request, [asked.task])
        desk.spend(request, _EXPLANATION_NOTES)
        if explaining.locked():
            raise Turned(_EXPLANATION_SECONDS)
        async with explaining:
            name, found = await asyncio.to_thread(service.explain, asked.note.text, chosen, asked.class_name)
        return await asyncio.to_thread(_explained, desk, request, asked, chosen, name, found)

    @app.post("/v1/outcomes")
    def outcomes(request: Request, posted: messages.OutcomesRequest) -> messages.OutcomesResponse:
        """What came true of notes that were answered before; drift then has figures of it."""
        watch = _watching(desk)
        chosen = {task: desk.choose(request, [task])[0] for task in {one.task for one in posted.outcomes}}
        try:
            known = sum(watch.outcome(one.note_id, chosen[one.task], one.labels) for one in posted.outcomes)
        except BadInput as error:
            raise Refused(422, "outcome", str(error)) from error
        desk.record(request, "outcomes", tasks=sorted(chosen), known=known)
        return messages.OutcomesResponse(known=known, unknown=len(posted.outcomes) - known)

    @app.get("/v1/drift/{task}")
    def drift(request: Request, task: str, days: Annotated[int, Query(ge=1, le=365)] = 30) -> messages.DriftResponse:
        """How what a task was asked and answered in the last days lies beside its validation notes."""
        (chosen,) = desk.choose(request, [task])
        found = _watching(desk).drift(chosen, days)
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

    @app.get("/cds-services")
    def hook_services(request: Request) -> cds_hooks.HookServices:
        """CDS Hooks: a service for each task that the caller may ask."""
        summaries = [messages.TaskSummary(**_summary(one)) for one in desk.choose(request, None)]
        return cds_hooks.HookServices(services=[cds_hooks.service_of(one) for one in summaries])

    @app.post("/cds-services/{task}")
    async def hook(request: Request, task: str, asked: cds_hooks.HookRequest) -> cds_hooks.HookResponse:
        """CDS Hooks: a card of what a task's version says of the newest document in the request."""
        desk.choose(request, [task])
        try:
            note_id, text = cds_hooks.text_of(asked)
        except cds_hooks.NoDocument as error:
            raise Refused(412, "no-document", str(error)) from error
        note = messages.Note(id=note_id[: messages.MOST_ID], text=text)
        answered = await predict(request, messages.PredictRequest(notes=[note], tasks=[task]))
        return cds_hooks.HookResponse(cards=[cds_hooks.card_of(one) for one in answered.predictions])

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> PlainTextResponse:
        """Counts, times and queues, for Prometheus."""
        return PlainTextResponse(desk.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


def _explained(
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


def _watching(desk: Desk) -> Watch:
    if desk.watch is None:
        raise Refused(404, "no-watch", "This server does not count what it is asked: it was started with --watch off.")
    return desk.watch


def _shift(found: Shift) -> messages.Shift:
    numbers = (None if math.isnan(one) else one for one in (found.psi, found.chance))
    return messages.Shift(name=found.name, **dict(zip(("psi", "chance"), numbers, strict=True)))


def _told(
    desk: Desk,
    request: Request,
    asked: messages.PredictRequest,
    versions: Sequence[Version],
    answers: Sequence[Answer],
) -> messages.PredictResponse:
    """The answers as a message, measured, and in the audit log before they leave."""
    found = [_prediction(one, asked.top) for one in answers]
    if desk.watch is not None:
        desk.watch.observe([note.text for note in asked.notes for _ in versions], answers)
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
                probability=one.probability,
                alike=messages.Share(
                    value=one.alike.value, low=one.alike.low, high=one.alike.high, notes=one.notes_alike
                ),
                base_rate=one.base_rate,
                threshold=one.threshold,
                decided=one.decided,
            )
            for one in detailed
        ],
        abstained=answer.abstained,
        lineage=messages.Lineage(**chosen.lineage),
    )


def _summary(chosen: Version) -> dict[str, Any]:
    about = chosen.entry.about
    return {
        "task": chosen.entry.task,
        "version": chosen.entry.name,
        "kind": about["kind"],
        "classes": about["classes"],
        "base": about["base"]["name"],
        "variant": about["variant"],
        "terms": about["terms"],
        "metrics": {name: _figure(found) for name, found in about["metrics"].get("test", {}).items()},
        "lineage": messages.Lineage(**chosen.lineage),
    }


def _figure(found: dict[str, Any]) -> messages.Figure:
    return messages.Figure(**{key: found.get(key) for key in ("value", "low", "high")})


def _tell_mistakes(app: FastAPI, desk: Desk) -> None:
    """Every answer but 2xx is a `Problem`."""

    def problem(request: Request, status: int, code: str, message: str, **headers: str) -> JSONResponse:
        told = {"code": code, "message": message, "request_id": request.state.request_id}
        return JSONResponse({"error": told}, status, headers=headers)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(f"{_place(one['loc'])}: {_reason(one)}" for one in error.errors()[:5])
        return problem(request, 422, "malformed", f"The request cannot be used. {told}.")

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> JSONResponse:
        desk.record(request, "refused", code=error.code)
        after = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
        return problem(request, error.status, error.code, error.message, **after)

    @app.exception_handler(CannotWrite)
    def unwritten(request: Request, error: CannotWrite) -> JSONResponse:
        LOG.error("%s: the audit log cannot be written", request.state.request_id)
        return problem(request, 503, "no-audit", "The audit log cannot be written, so nothing is answered.")

    @app.exception_handler(SQLAlchemyError)
    def uncounted(request: Request, error: SQLAlchemyError) -> JSONResponse:
        LOG.error("%s: the database of --watch fails with %s", request.state.request_id, type(error).__name__)
        return problem(request, 503, "no-database", "The database of counts does not answer. Ask again later.")

    @app.exception_handler(BadInput)
    def unknown(request: Request, error: BadInput) -> JSONResponse:
        return problem(request, 404, "unknown", str(error))

    @app.exception_handler(Turned)
    def turned(request: Request, error: Turned) -> JSONResponse:
        wait = f"{error.retry_after:.0f}"
        message = f"The server has all the work it can take. Ask again in {wait} seconds."
        return problem(request, 503, "busy", message, **{"Retry-After": wait})

    @app.exception_handler(TooLate)
    def too_late(request: Request, error: TooLate) -> JSONResponse:
        return problem(
            request, 503, "too-late", "The request was not reached in time. Ask again.", **{"Retry-After": "1"}
        )

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> JSONResponse:
        names = {404: "There is no such address.", 405: "This address does not take that method."}
        message = names.get(error.status_code, "The request cannot be used.")
        return problem(request, error.status_code, f"http-{error.status_code}", message, **(error.headers or {}))


def _place(location: Sequence[int | str]) -> str:
    """Where in a request a mistake is, by our own names."""
    parts = [str(one) if isinstance(one, int) or one in _FIELDS else "an unknown field" for one in location]
    return ".".join(parts[1:] if len(parts) > 1 else parts)


def _reason(error: dict[str, Any]) -> str:
    """pydantic's sentence of a mistake, unless it could repeat the request."""
    kind = str(error["type"])
    if kind == "json_invalid":
        return "this is not JSON"
    with contextlib.suppress(KeyError):
        return _REASONS[kind].format(**error.get("ctx", {}))
    return "this is not of the kind that belongs here"


_REASONS = {
    "missing": "this is missing",
    "extra_forbidden": "there is no such field",
    "string_type": "this must be a string",
    "list_type": "this must be a list",
    "int_type": "this must be a whole number",
    "int_parsing": "this must be a whole number",
    "string_too_long": "this is longer than {max_length} characters",
    "string_too_short": "this is shorter than {min_length} characters",
    "too_long": "this has more than {max_length} entries",
    "too_short": "this has fewer than {min_length} entries",
    "greater_than_equal": "this must be at least {ge}",
    "less_than_equal": "this must be at most {le}",
    "model_attributes_type": "this must be an object",
    "model_type": "this must be an object",
    "dict_type": "this must be an object",
}
