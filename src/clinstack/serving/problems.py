"""Every answer but 2xx: one sentence that says what is wrong and what to do.

No text of a request is ever repeated: not in the sentence, not in a log line. A mistake names the place in the request by the
names of our own fields and numbers alone, since a field of an odd name may be a note.
"""

import asyncio
import contextlib
import math
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from clinstack.errors import BadInput, CannotWrite
from clinstack.serving import cds_hooks, messages
from clinstack.serving.batching import TooLate, Turned
from clinstack.serving.desk import Desk, Refused
from clinstack.serving.log import LOG
from clinstack.serving.turns import Hung

_LATER = {"Retry-After": "5"}
"""Where it is not known when the server can do it again."""
_FIELDS = frozenset(
    key
    for kind in (*vars(messages).values(), *vars(cds_hooks).values())
    if isinstance(kind, type) and issubclass(kind, BaseModel)
    for key in kind.model_fields
) | {"body", "query", "path", "header", "days"}


def tell_problems(app: FastAPI, desk: Desk) -> None:
    """Every answer but 2xx is a `Problem`."""

    def problem(request: Request, status: int, code: str, message: str, **headers: str) -> JSONResponse:
        told = {"code": code, "message": message, "request_id": request.state.request_id}
        return JSONResponse({"error": told}, status, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(f"{_place(one['loc'])}: {_reason(one)}" for one in error.errors()[:5])
        return problem(request, 422, "malformed", f"The request cannot be used. {told}.")

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        await asyncio.to_thread(desk.record, request, "refused", code=error.code)
        after = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
        return problem(request, error.status, error.code, error.message, **after)

    @app.exception_handler(CannotWrite)
    async def unwritten(request: Request, error: CannotWrite) -> JSONResponse:
        LOG.error("%s: the audit log cannot be written", request.state.request_id)
        return problem(request, 503, "no-audit", "The audit log cannot be written, so nothing is answered.", **_LATER)

    @app.exception_handler(Hung)
    @app.exception_handler(SQLAlchemyError)
    async def uncounted(request: Request, error: Exception) -> JSONResponse:
        LOG.error("%s: the database of --watch fails with %s", request.state.request_id, type(error).__name__)
        return problem(
            request, 503, "no-database", "The database of counts does not answer. Ask again later.", **_LATER
        )

    @app.exception_handler(BadInput)
    async def unknown(request: Request, error: BadInput) -> JSONResponse:
        return problem(request, 404, "unknown", str(error))

    @app.exception_handler(Turned)
    async def turned(request: Request, error: Turned) -> JSONResponse:
        wait = f"{error.retry_after:.0f}"
        message = f"The server has all the work it can take. Ask again in {wait} seconds."
        return problem(request, 503, "busy", message, **{"Retry-After": wait})

    @app.exception_handler(TooLate)
    async def too_late(request: Request, error: TooLate) -> JSONResponse:
        return problem(
            request, 503, "too-late", "The request was not reached in time. Ask again.", **{"Retry-After": "1"}
        )

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        raise error  # to `limits.Gate`, which has the sentence; Starlette would answer in plain text

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
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
    "string_unicode": "this holds half a character (a lone surrogate)",
    "literal_error": "this must be {expected}",
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
