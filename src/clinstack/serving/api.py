"""The HTTP API: messages in, one question to the service, messages out.

What a request may cost is bounded in `limits`, who may ask what is said by `desk`, what is wrong by `problems`.
"""

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from clinstack.errors import BadInput
from clinstack.serving import cds_hooks, messages
from clinstack.serving.batching import Turned
from clinstack.serving.desk import Desk, Refused, caller_of
from clinstack.serving.problems import tell_problems
from clinstack.serving.replies import answered, drift_of, explained, summary_of
from clinstack.serving.watch import Posted

_EXPLANATIONS = 1
"""At once: answers wait while an explanation takes its gradients."""
_EXPLANATION_NOTES = 50
"""What an explanation takes of a caller's minute."""
_EXPLANATION_SECONDS = 2.0
_PAGE = Path(__file__).with_name("page")


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
    tell_problems(app, desk)

    app.mount("/page", StaticFiles(directory=_PAGE), name="page")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        """The page for people with a note."""
        return FileResponse(_PAGE / "index.html")

    @app.get("/drift", include_in_schema=False)
    def drift_page() -> FileResponse:
        """The page for those who look after the server."""
        return FileResponse(_PAGE / "drift.html")

    # Health and measures are told by the event loop itself: they must be, when every thread waits for something.

    @app.get("/v1/health/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/v1/health/ready")
    async def ready(request: Request, response: Response) -> messages.Health:
        """Versions are loaded and questions are taken; 503 while the server closes."""
        if service.closing:
            response.status_code = 503
        names = desk.keys is None or request.state.key is not None
        tasks, failures = list(service.versions), desk.failures
        return messages.Health(
            status="closing" if service.closing else "ready",
            answering=len(tasks),
            failing=len(failures),
            tasks=tasks if names else None,
            failures=failures if names else None,
        )

    @app.get("/v1/tasks")
    def tasks(request: Request) -> messages.TaskList:
        """Every promoted version that the caller may ask."""
        return messages.TaskList(tasks=[messages.TaskSummary(**summary_of(one)) for one in desk.choose(request, None)])

    @app.get("/v1/tasks/{task}")
    def task(request: Request, task: str) -> messages.TaskDetail:
        """The version that answers for a task, with its classes."""
        (chosen,) = desk.choose(request, [task])
        interpreter = chosen.interpreter
        return messages.TaskDetail(
            **summary_of(chosen),
            temperature=interpreter.temperature,
            class_names=list(interpreter.classes),
            class_titles=interpreter.titles,
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
        notes = [(note.id, note.text) for note in asked.notes]
        with desk.spent(request, len(notes)):
            answers = await service.predict_soon(notes, versions, desk.timeout)
        return await asyncio.to_thread(answered, desk, request, asked, versions, answers)

    @app.post("/v1/explain")
    async def explain(request: Request, asked: messages.ExplainRequest) -> messages.ExplainResponse:
        """Why a task's version says what it says of a note: what each word and section adds. Takes as long as fifty answers."""
        (chosen,) = desk.choose(request, [asked.task])
        if explaining.locked():
            raise Turned(_EXPLANATION_SECONDS)  # at no cost to the caller
        desk.spend(request, _EXPLANATION_NOTES)
        async with explaining:
            name, found = await asyncio.to_thread(service.explain, asked.note.text, chosen, asked.class_name)
        return await asyncio.to_thread(explained, desk, request, asked, chosen, name, found)

    @app.post("/v1/outcomes")
    async def outcomes(request: Request, posted: messages.OutcomesRequest) -> messages.OutcomesResponse:
        """What came true of notes that were answered before; drift then has figures of it."""
        watch = desk.watching()
        chosen = {task: desk.choose(request, [task])[0] for task in {one.task for one in posted.outcomes}}
        try:
            told = [Posted(one.note_id, chosen[one.task], one.labels) for one in posted.outcomes]
            known = await watch.outcomes_soon(told, caller_of(request))
        except BadInput as error:
            raise Refused(422, "outcome", str(error)) from error
        await asyncio.to_thread(desk.record, request, "outcomes", tasks=sorted(chosen), known=known)
        return messages.OutcomesResponse(known=known, unknown=len(posted.outcomes) - known)

    @app.get("/v1/drift/{task}")
    async def drift(
        request: Request, task: str, days: Annotated[int, Query(ge=1, le=365)] = 30
    ) -> messages.DriftResponse:
        """How what a task was asked and answered in the last days lies beside its validation notes."""
        (chosen,) = desk.choose(request, [task])
        return drift_of(task, chosen, days, await desk.watching().drift_soon(chosen, days))

    @app.get("/cds-services")
    def hook_services(request: Request) -> cds_hooks.HookServices:
        """CDS Hooks: a service for each task that the caller may ask."""
        summaries = [messages.TaskSummary(**summary_of(one)) for one in desk.choose(request, None)]
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
        told = await predict(request, messages.PredictRequest(notes=[note], tasks=[task]))
        return cds_hooks.HookResponse(cards=[cds_hooks.card_of(one) for one in told.predictions])

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        """Counts, times and queues, for Prometheus."""
        return PlainTextResponse(desk.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app
