"""The HTTP API: messages in, one question to the service, messages out. What a request may cost is bounded in `limits`.

No text of a request is ever repeated: not in an answer to a mistake, not in a log line. A mistake names the place in the
request by the names of our own fields and numbers alone, since a field of an odd name may be a note.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from clinstack.errors import BadInput
from clinstack.serving import messages
from clinstack.serving.batching import TooLate, Turned
from clinstack.serving.service import Answer, Service, Version

_DETAILED = 10
"""Classes told in detail where `top` does not say how many."""
_FIELDS = frozenset(
    key
    for kind in vars(messages).values()
    if isinstance(kind, type) and issubclass(kind, BaseModel)
    for key in kind.model_fields
) | {"body", "query", "path", "header"}


def make_app(service: Service, *, timeout: float) -> FastAPI:
    """The application. timeout: seconds after which a request that was not reached is answered with 503."""
    app = FastAPI(
        title="clinstack",
        version=version("clinstack"),
        summary="Answers of clinical tasks from one base model and many task adapters.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={code: {"model": messages.ProblemResponse} for code in (400, 404, 422, 503)},
    )
    _tell_mistakes(app)

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
            failures=service.failures,
        )

    @app.get("/v1/tasks")
    def tasks() -> messages.TaskList:
        """Every promoted version."""
        return messages.TaskList(tasks=[messages.TaskSummary(**_summary(one)) for one in service.versions.values()])

    @app.get("/v1/tasks/{task}")
    def task(task: str) -> messages.TaskDetail:
        """The version that answers for a task, with its classes."""
        (chosen,) = service.choose([task])
        interpreter = chosen.interpreter
        return messages.TaskDetail(
            **_summary(chosen),
            temperature=interpreter.temperature,
            class_names=list(interpreter.classes),
            base_rates=interpreter.base_rates,
            thresholds=interpreter.thresholds,
        )

    @app.get("/v1/tasks/{task}/card", response_class=PlainTextResponse)
    def card(task: str) -> PlainTextResponse:
        """The card of the version that answers for a task, in Markdown."""
        (chosen,) = service.choose([task])
        return PlainTextResponse(chosen.card, media_type="text/markdown; charset=utf-8")

    @app.post("/v1/predict")
    async def predict(asked: messages.PredictRequest) -> messages.PredictResponse:
        """Calibrated probabilities of each note for each task, with what validation says of such scores."""
        versions = service.choose(asked.tasks)
        notes = [(note.id, note.text) for note in asked.notes]
        answers = await service.predict_soon(notes, versions, timeout)
        told = await asyncio.to_thread(lambda: [_prediction(one, asked.top) for one in answers])
        return messages.PredictResponse(predictions=told)

    return app


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
        "base": about["base"]["name"] if isinstance(about["base"], dict) else str(about["base"]),
        "variant": about["variant"],
        "terms": about["terms"],
        "metrics": {name: _figure(found) for name, found in about["metrics"].get("test", {}).items()},
        "lineage": messages.Lineage(**chosen.lineage),
    }


def _figure(found: dict[str, Any]) -> messages.Figure:
    return messages.Figure(**{key: found.get(key) for key in ("value", "low", "high")})


def _tell_mistakes(app: FastAPI) -> None:
    """Every answer but 2xx is a `Problem`."""

    def problem(request: Request, status: int, code: str, message: str, **headers: str) -> JSONResponse:
        told = {"code": code, "message": message, "request_id": request.state.request_id}
        return JSONResponse({"error": told}, status, headers=headers)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(f"{_place(one['loc'])}: {_reason(one)}" for one in error.errors()[:5])
        return problem(request, 422, "malformed", f"The request cannot be used. {told}.")

    @app.exception_handler(BadInput)
    def unknown(request: Request, error: BadInput) -> JSONResponse:
        return problem(request, 404, "unknown-task", str(error))

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
