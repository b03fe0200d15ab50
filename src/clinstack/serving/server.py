"""The process: an address, signals, and connections that may not be held by saying nothing.

SIGTERM or Ctrl-C ends it gracefully: no new connections, every request in it is answered, then it goes with exit code 0.
"""

import asyncio
import contextlib
import ipaddress
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from clinstack.config import ServeOptions
from clinstack.errors import BadInput
from clinstack.serving.application import open_application

_HEADER_SECONDS = 10.0
"""In which the first lines of a request must be there, from the connection or the last answer's end on."""
_KEEP_SECONDS = 30
"""How long an unused connection is kept."""
_MOST_HEADER_BYTES = 16_384


class _Impatient(H11Protocol):
    """uvicorn's protocol, with little patience for connections that say nothing.

    Whoever sends half a request's first lines is answered with 408 (uvicorn 0.54 waits forever). Where all connections are
    taken, a new one takes the place of the one that has gone longest without a whole request: silence keeps nobody out. How
    many whole requests are answered at once is bounded by `limits.Gate`, in the API's own words, and not by uvicorn's limit,
    which answers in plain text and counts the silent ones.
    """

    _patience: asyncio.TimerHandle | None = None

    def __init__(self, *about: Any, **more: Any):
        super().__init__(*about, **more)
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._silent_since = self.loop.time()
        self._wait_for_headers()
        self._make_room()

    def on_response_complete(self) -> None:
        self._silent_since = self.loop.time()
        super().on_response_complete()

    @property
    def _asked(self) -> bool:
        """Whether there is a whole request that is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _make_room(self) -> None:
        there = [one for one in self.connections if isinstance(one, _Impatient) and not one.transport.is_closing()]
        silent = [one for one in there if one is not self and not one._asked]
        if self._most is not None and len(there) > self._most and silent:
            min(silent, key=lambda one: one._silent_since).transport.close()

    def data_received(self, data: bytes) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._patience is None:
            self._wait_for_headers()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        self._patience = self.loop.call_later(_HEADER_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()


def serve(options: ServeOptions, started: Callable[[str, list[str]], None]) -> None:
    """Answers until it is told to end. started: called with the address and the tasks once requests are taken.

    Raises BadInput if the library holds nothing to serve, the address cannot be had, or it is not of this machine alone and
    there are no keys.
    """
    if options.keys is None and not _only_here(options.host):
        raise BadInput(
            f"--host {options.host} can be reached from other machines, so those who ask need keys: make one with `clinstack "
            "keys add`, and give --keys FILE."
        )
    if options.replicas > 1 or options.ray_address is not None:
        from clinstack.serving.scale_out import serve_on_ray

        serve_on_ray(options, started)
        return
    with _listener(options.host, options.port) as listener:
        application = open_application(options)
        address = f"http://{_shown(options.host)}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            application.asgi,
            http=_Impatient,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_SECONDS,
            timeout_graceful_shutdown=int(options.drain_seconds),
            h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
            limit_concurrency=options.connections,
        )
        server = _Server(config, lambda: started(address, list(application.service.versions)))
        with _ended_by_signals():
            server.run(sockets=[listener])
        application.close(max(1.0, options.drain_seconds - server.ending_for))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]):
        super().__init__(config)
        self._ready = ready
        self._ended: float | None = None

    @property
    def ending_for(self) -> float:
        """Seconds since it was told to end."""
        return 0.0 if self._ended is None else time.monotonic() - self._ended

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ended = time.monotonic()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """uvicorn ends on SIGINT and SIGTERM and then raises them again, for whoever stood there before: nobody, here."""
    before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _listener(host: str, port: int) -> socket.socket:
    """The address, taken before anything is loaded."""
    listener = None
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise BadInput(
            f"--host {host} --port {port}: {error.strerror}. Choose another, or 0 for any free port."
        ) from error
    return listener


def _only_here(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(host: str) -> Any:
    return f"[{host}]" if ":" in host else host
