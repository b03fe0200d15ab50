"""What a request may cost before it is looked at: bytes, seconds; and what every answer carries.

The application behind it gets a body only when it is whole, so a caller who sends a byte a second holds a connection and
nothing else, and is answered with 408.
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOG = logging.getLogger("clinstack.server")

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Gate:
    """Stands before an application: bounds bodies, gives each request an id, and writes one log line about it.

    most_bytes: of a body.   seconds: in which a body must be there.
    A log line holds id, method, the route's pattern, status and milliseconds; never an address or a text of the caller's.
    """

    def __init__(self, app: Application, *, most_bytes: int, seconds: float):
        self.app, self.most_bytes, self.seconds = app, most_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, started, status = uuid.uuid4().hex, time.monotonic(), 0
        scope.setdefault("state", {})["request_id"] = request_id
        given = _HEADERS | {"x-request-id": request_id}

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name for name, _ in message["headers"]}
                more = [(key.encode(), value.encode()) for key, value in given.items() if key.encode() not in own]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        try:
            body = await self._body(scope, receive)
            if isinstance(body, bytes):
                await self.app(scope, _whole(body, receive), answer)
            else:
                await _refuse(answer, *body, request_id)
        except Exception as error:  # the kind of an unforeseen mistake may be told, its words may hold text
            LOG.error("%s failed with %s", request_id, type(error).__name__)
            if not status:
                await _refuse(
                    answer, 500, "fault", "The server made a mistake. Its log names this request.", request_id
                )
        finally:
            route = getattr(scope.get("route"), "path", "-")
            spent = 1000 * (time.monotonic() - started)
            LOG.info("%s %s %s %d %.1f ms", request_id, scope["method"], route, status, spent)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | tuple[int, str, str]:
        """The whole body; or status, code and sentence of the refusal."""
        too_large = (
            413,
            "too-large",
            f"The request is larger than {self.most_bytes:,} bytes. Send fewer or shorter notes.",
        )
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self.most_bytes:
            return too_large
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return 400, "gone", "The request ended before it was whole."
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.most_bytes:
                        return too_large
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            return 408, "too-slow", f"The request was not whole after {self.seconds:g} seconds."


def _whole(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once, and then waits for the caller to go."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, status: int, code: str, message: str, request_id: str) -> None:
    told = {"error": {"code": code, "message": message, "request_id": request_id}}
    body = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (408, 413):  # what is left of the body is not read
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
