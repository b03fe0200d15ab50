"""The same application in several processes, on one machine or many, behind Ray Serve.

Ray starts the processes, spreads requests over them and replaces those that die; each loads the library for itself, keeps up
with it, and answers as the single server does. Limits are per process: queue and callers' minutes count in each. The audit log
is one a process; counts go into one database, which on several machines must be one that all reach (`--watch`).
"""

import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from clinstack.config import ServeOptions
from clinstack.errors import BadInput
from clinstack.serving.application import Application, open_application
from clinstack.serving.library import Library

_NAME = "clinstack"


class Replica:
    """One process of several. Ray asks `__serve_build_asgi_app__` for what answers."""

    def __init__(self, options: ServeOptions):
        self._opened: Application = open_application(options, uuid.uuid4().hex[:8])
        self._seconds = options.drain_seconds

    def __serve_build_asgi_app__(self) -> Any:
        return self._opened.asgi

    def check_health(self) -> None:
        """Ray replaces a process whose check fails."""
        if self._opened.service.closing:
            raise RuntimeError("closing")

    def __del__(self) -> None:
        if hasattr(self, "_opened"):
            self._opened.close(self._seconds)


def serve_on_ray(options: ServeOptions, started: Callable[[str, list[str]], None]) -> None:
    """Answers from `options.replicas` processes until it is told to end. started: as in `server.serve`.

    Raises BadInput if Ray is not installed or does not answer, or the replicas do not come up.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls home
    try:
        import ray
        from ray import serve
    except ImportError:
        raise BadInput(
            "--replicas needs Ray Serve, which is not installed. Install clinstack[serve,scale-out]."
        ) from None
    tasks = [entry.task for entry in Library(options.library).entries() if entry.promoted]
    if not tasks:
        raise BadInput(f"Library {options.library} has no promoted version, so there is nothing to serve.")
    ended = threading.Event()
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    port = options.port or _free_port(options.host)
    try:
        ray.init(address=options.ray_address, include_dashboard=False if options.ray_address is None else None,
            log_to_driver=False)  # fmt: skip
        for one in before:  # after Ray has put its own in place, which on SIGTERM aborts the process
            signal.signal(one, lambda *_: ended.set())
        serve.start(http_options={"host": options.host, "port": port, "request_timeout_s": options.timeout + 30})
        deployment = serve.deployment(
            name=_NAME,
            num_replicas=options.replicas,
            max_ongoing_requests=options.connections,
            graceful_shutdown_timeout_s=options.drain_seconds,
            ray_actor_options={"num_cpus": 1},
        )(serve.ingress()(Replica))
        serve.run(deployment.bind(options), name=_NAME, route_prefix="/")
        started(f"http://{options.host}:{port}", tasks)
        ended.wait()
        _drain(options.drain_seconds)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BadInput(f"Ray does not serve ({type(error).__name__}): {str(error).splitlines()[0]}") from error
    finally:
        ours = set(psutil.Process().children(recursive=True))
        try:
            serve.shutdown()
            ours |= set(psutil.Process().children(recursive=True))  # one that replaces another may start meanwhile
            ray.shutdown()
        finally:
            _outlast(ours, options.drain_seconds)
            for one, handler in before.items():
                signal.signal(one, handler)


def _drain(seconds: float) -> None:
    """Lets the replicas answer what they hold, for so long at most: `serve.shutdown` alone waits half a minute."""
    from ray import serve

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(TimeoutError):  # after a minute, whatever is asked
            serve.delete(_NAME)
            return


def _outlast(processes: set[psutil.Process], seconds: float) -> None:
    """Returns when all have ended; kills those that take longer.

    Ray kills what starts its processes and leaves them to notice: the command could end before those that still answer.
    """
    _, left = psutil.wait_procs(processes, timeout=seconds)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, timeout=seconds)


def _free_port(host: str) -> int:
    with socket.socket() as free:
        free.bind((host, 0))
        return int(free.getsockname()[1])
