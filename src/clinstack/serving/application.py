"""Everything that one process answers with, made from the options: service, rules, records, and the application before them."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from clinstack.config import ServeOptions
from clinstack.runs.atomic import read_errors
from clinstack.runs.layout import LibraryLayout
from clinstack.serving.api import make_app
from clinstack.serving.audit import AuditLog
from clinstack.serving.count_store import secret_beside
from clinstack.serving.desk import Desk
from clinstack.serving.keys import Keys
from clinstack.serving.limits import Gate
from clinstack.serving.log import LOG
from clinstack.serving.measures import Measures
from clinstack.serving.service import Service
from clinstack.serving.watch import Watch
from clinstack.training.machine import choose_device


@dataclass(frozen=True)
class Application:
    """An ASGI application with what has to be closed after it."""

    asgi: Gate
    service: Service
    _desk: Desk

    def close(self, seconds: float) -> None:
        """Answers what waits, for so many seconds at most, and writes down what was counted."""
        until = time.monotonic() + seconds
        if not self.service.close(seconds):
            LOG.error("questions were left unanswered after %g seconds", seconds)
        if self._desk.watch is not None and not self._desk.watch.close(max(1.0, until - time.monotonic())):
            LOG.error("counts were left unwritten: the database of --watch does not take them")
        if self._desk.audit is not None:
            self._desk.audit.close()


def open_application(options: ServeOptions, instance: str = "") -> Application:
    """The application of one process. instance: its name where several answer, each of which has an audit log of its own.

    Raises BadInput, WrongParents or CannotWrite if something of the options cannot be used.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    LOG.setLevel(options.log.upper())
    with read_errors(options.library):
        return _open(options, instance)


def _open(options: ServeOptions, instance: str) -> Application:
    keys = Keys(options.keys) if options.keys else None
    audit = AuditLog(_own(options.audit, instance)) if options.audit else None
    device = choose_device(options.device)
    service = Service(options.library, base=options.base, device=device, most_waiting=options.most_waiting)
    watch = _watch(options, service)
    measures = Measures(service, watch)
    desk = Desk(service, measures, options.timeout, keys, audit, watch)
    gate = Gate(
        make_app(desk),
        most_bytes=options.most_bytes,
        seconds=options.body_seconds,
        most_at_once=options.connections,
        keys=keys,
        told=measures.request,
    )
    return Application(gate, service, desk)


def _own(file: Path, instance: str) -> Path:
    return file.with_name(f"{file.stem}-{instance}{file.suffix}") if instance else file


def _watch(options: ServeOptions, service: Service) -> Watch | None:
    """The watch that the options ask for."""
    if options.watch == "off":
        return None
    url = options.watch or f"sqlite:///{LibraryLayout(options.library).watch.absolute()}"
    return Watch(
        url,
        options.watch_secret or secret_beside(url),
        keep_days=options.keep_days,
        promoted=lambda: service.versions.values(),
    )
