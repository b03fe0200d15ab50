"""What a monitor sees of a server (Prometheus): counts, times and queues, by names of ours alone; nothing of any note."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from clinstack.serving.service import Service

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_NOTES = (1, 2, 4, 8, 16, 32, 64)


class Measures:
    """One server's measures."""

    def __init__(self, service: Service):
        self._service, self._registry = service, CollectorRegistry()
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
        failures = Gauge("clinstack_failed_versions", "Promoted versions that could not be loaded.", registry=registry)
        failures.set_function(lambda: len(service.failures))
        self._versions = Gauge("clinstack_version", "Versions that answer.", ["task", "version"], registry=registry)
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
        return generate_latest(self._registry)

    def _batch(self, notes: int, seconds: float) -> None:
        self._batch_notes.observe(notes)
        self._batch_seconds.observe(seconds)
