"""What a monitor sees of a server (Prometheus): counts, times and queues, by names of ours alone; nothing of any note."""

import math
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from clinstack.serving.service import Service
from clinstack.serving.version_drift import Drift, Shift
from clinstack.serving.watch import Watch

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_NOTES = (1, 2, 4, 8, 16, 32, 64)


_DRIFT = (
    ("drift_notes", "Notes answered in the last 30 days, as of the last look."),
    ("drift_psi", "Population stability index of these notes beside validation: of each feature, and of the scores of the "
     "class that lies furthest above chance.", "of"),
    ("drift_chance", "Below which that index lies by chance (95 %).", "of"),
    ("outcomes", "Outcomes posted back for these notes."),
    ("outcome_figure", "Metrics of the answers that outcomes came back for.", "metric"),
)  # fmt: skip
"""Gauges of drift: name, what is told, and its labels beside task and version."""


class Measures:
    """One server's measures. watch: whose last look at drift and outcomes is told too."""

    def __init__(self, service: Service, watch: Watch | None = None):
        self._service, self._watch, self._registry = service, watch, CollectorRegistry()
        registry = self._registry
        self._requests = Counter(
            "clinstack_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "clinstack_request_seconds",
            "Time from a request to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._answers = Counter(
            "clinstack_answers", "Notes answered for a task.", ["task", "version"], registry=registry
        )
        self._left_open = Counter(
            "clinstack_left_open", "Notes for which nothing was decided.", ["task"], registry=registry
        )
        self._batch_notes = Histogram(
            "clinstack_batch_notes", "Notes read together.", buckets=_NOTES, registry=registry
        )
        self._batch_seconds = Histogram(
            "clinstack_batch_seconds", "Time of one batch.", buckets=_SECONDS, registry=registry
        )
        waiting = Gauge("clinstack_waiting_notes", "Notes that wait to be read.", registry=registry)
        waiting.set_function(lambda: service.batcher.waiting)
        failures = Gauge(
            "clinstack_failed_versions",
            "Promoted versions that could not be loaded, or the library.",
            registry=registry,
        )
        failures.set_function(lambda: len(service.failures))
        unwritten = Gauge(
            "clinstack_failed_writings", "Tries in a row in which counts could not be written.", registry=registry
        )
        unwritten.set_function(lambda: watch.failed_writings if watch else 0)
        self._versions = Gauge("clinstack_version", "Versions that answer.", ["task", "version"], registry=registry)
        self._drift = {
            name: Gauge(f"clinstack_{name}", told, ["task", "version", *labels], registry=registry)
            for name, told, *labels in _DRIFT
        }
        service.batcher.observe(self._batch)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. route: the pattern of its address."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def answered(self, task: str, version: str, *, left_open: bool) -> None:
        """A version said something of a note."""
        self._answers.labels(task, version).inc()
        if left_open:
            self._left_open.labels(task).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        self._versions.clear()
        for task, version in self._service.versions.items():
            self._versions.labels(task, version.entry.name).set(1)
        self._tell_drift()
        return generate_latest(self._registry)

    def _tell_drift(self) -> None:
        for gauge in self._drift.values():
            gauge.clear()
        for task, version in self._service.versions.items():
            found = self._watch.latest.get(version.entry.name) if self._watch else None
            for name, value, *labels in _drift_of(found) if found else ():
                self._drift[name].labels(task, version.entry.name, *labels).set(value)

    def _batch(self, notes: int, seconds: float) -> None:
        self._batch_notes.observe(notes)
        self._batch_seconds.observe(seconds)


def _drift_of(found: Drift) -> Iterator[tuple[str, float] | tuple[str, float, str]]:
    """A version's drift as names of gauges, values and labels; scores of many classes are one gauge."""
    yield "drift_notes", found.notes
    yield "outcomes", found.outcomes
    if found.notes:
        furthest = max(found.scores, key=_above_chance)
        for shift, of in [(furthest, "scores"), *((one, one.name) for one in found.inputs or ())]:
            yield "drift_psi", shift.psi, of
            yield "drift_chance", shift.chance, of
    for metric, figure in (found.metrics or {}).items():
        if figure["value"] is not None:
            yield "outcome_figure", figure["value"], metric


def _above_chance(shift: Shift) -> float:
    """How far above chance an index lies; of one that does not exist, the least."""
    return float("-inf") if math.isnan(shift.psi - shift.chance) else shift.psi - shift.chance
