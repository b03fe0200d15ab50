"""Who may ask, and what a request may cost before it is looked at: bytes, seconds; and what every answer carries.

The application behind it gets a body only when it is whole, so a caller who sends a byte a second holds a connection and
nothing else, and is answered with 408.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from clinstack.serving.keys import Key, Keys
from clinstack.serving.log import LOG

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

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


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_HEALTH = frozenset(("/v1/health/live", "/v1/health/ready"))
"""What is answered however much there is to do."""
_OPEN, _OPEN_BELOW = _HEALTH | {"/", "/drift"}, "/page/"
"""What needs no key: the pages themselves, which hold nothing, and health."""


class Gate:
    """Stands before an application: asks for keys, bounds bodies, gives each request an id, and writes one log line about it.

    most_bytes: of a body.   seconds: in which a body must be there.   most_at_once: whole requests that are in work, beyond
    which all but health are refused.   keys: of those who may ask; everybody if None.
    told: is given route, method, status and seconds of every request.
    A log line holds id, method, the route's pattern, status and milliseconds; never an address or a text of the caller's.
    """

    def __init__(
        self,
        app: Application,
        *,
        most_bytes: int,
        seconds: float,
        most_at_once: int = 256,
        keys: Keys | None = None,
        told: Callable[[str, str, int, float], None] | None = None,
    ):
        self.app, self.most_bytes, self.seconds, self.keys, self.told = app, most_bytes, seconds, keys, told
        self.most_at_once, self._at_once = most_at_once, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, started, status = uuid.uuid4().hex, time.monotonic(), 0
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        given = _HEADERS | {"x-request-id": request_id}
        method = scope["method"] if scope["method"] in _METHODS else "other"
        if method == "HEAD":  # what GET answers, without its body
            scope = {**scope, "method": "GET"}

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name for name, _ in message["headers"]}
                more = [(key.encode(), value.encode()) for key, value in given.items() if key.encode() not in own]
                message = {**message, "headers": [*message["headers"], *more]}
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            body = self._without_key(scope) or await self._body(scope, receive)
            if isinstance(body, bytes):
                body = self._too_many(scope) or body
            if isinstance(body, bytes):
                self._at_once += 1
                try:
                    await self.app(scope, _whole(body, receive), answer)
                finally:
                    self._at_once -= 1
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
            spent = time.monotonic() - started
            LOG.info("%s %s %s %d %.1f ms", request_id, method, route, status, 1000 * spent)
            if self.told:
                self.told(route, method, status, spent)

    def _without_key(self, scope: Scope) -> tuple[int, str, str] | None:
        """The refusal of a caller without a key where one is needed; whose key it is, is noted for the application."""
        scope["state"]["key"] = None
        if self.keys is None:
            return None
        given, key = self._key(scope, self.keys)
        scope["state"]["key"] = key
        if key is not None or scope["path"] in _OPEN or scope["path"].startswith(_OPEN_BELOW):
            return None
        what = "is not one of this server's" if given else "is missing"
        return 401, "no-key", f"The key {what}. Send one as `Authorization: Bearer KEY`."

    def _too_many(self, scope: Scope) -> tuple[int, str, str] | None:
        """The refusal of a request that is one too many."""
        if self._at_once < self.most_at_once or scope["path"] in _HEALTH:
            return None
        return 503, "busy", "The server answers as many requests as it may at once. Ask again in a second."

    @staticmethod
    def _key(scope: Scope, keys: Keys) -> tuple[bool, Key | None]:
        """Whether a key was sent, and whose it is."""
        headers = dict(scope["headers"])
        kind, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() != "bearer":
            given = headers.get(b"x-api-key", b"").decode("latin-1")
        return bool(given), keys.find(given.strip()) if given else None

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
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 503:
        headers.append((b"retry-after", b"1"))
    if status in (401, 408, 413):  # what is left of the body is not read
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
