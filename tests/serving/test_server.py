"""The server as a process: real sockets, real requests, real signals."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_server import postgres, stopped_postgres
from serving_process import CANARY, NOTES, server

from clinstack.errors import BadInput, ClinstackError
from clinstack.metrics.scorecard import probabilities
from clinstack.models.note_classifier import load
from clinstack.serving.api import make_app
from clinstack.serving.audit import find, verify
from clinstack.serving.client import Client
from clinstack.serving.desk import Desk
from clinstack.serving.keys import add_key, remove_key
from clinstack.serving.library import Library
from clinstack.serving.limits import Gate
from clinstack.serving.measures import Measures
from clinstack.serving.service import Service


def test_predictions_are_those_of_the_runs_with_their_lineage(client, served_runs, filled):
    answer = client.post("/v1/predict", json={"notes": NOTES, "tasks": ["labels", "mortality"]})
    assert answer.status_code == 200
    found = answer.json()["predictions"]
    assert [(one["note_id"], one["task"]) for one in found] == [
        ("n1", "labels"),
        ("n1", "mortality"),
        ("n2", "labels"),
        ("n2", "mortality"),
    ]
    for task, run in {"mortality": "first", "labels": "labels"}.items():
        result = json.loads((served_runs / run / "result.json").read_text())
        logits = load(served_runs / run).score_texts([note["text"] for note in NOTES])
        expected = probabilities(result["kind"], logits / result["temperature"])
        mine = [one for one in found if one["task"] == task]
        assert [list(one["probabilities"]) for one in mine] == [result["classes"]] * 2
        np.testing.assert_allclose([list(one["probabilities"].values()) for one in mine], expected, atol=1e-5)
        entry = filled.entry(task)
        assert all(one["lineage"] == {"version": entry.name, **entry.about["lineage"]} for one in mine)


def test_without_tasks_every_promoted_one_answers_and_top_bounds_the_classes(client):
    found = client.post("/v1/predict", json={"notes": NOTES[:1], "top": 1}).json()["predictions"]
    assert [one["task"] for one in found] == ["labels", "mortality", "unit"]
    for one in found:
        assert [kind["name"] for kind in one["classes"]] == list(one["probabilities"])
        assert len(one["classes"]) == 1
        about = one["classes"][0]
        assert about["alike"]["low"] <= about["alike"]["value"] <= about["alike"]["high"]
        assert 0 <= about["base_rate"] <= 1
        if about["threshold"] is not None:
            assert 0 <= about["open_low"] <= about["threshold"] <= about["open_high"] <= 1


def test_tasks_and_cards_tell_what_answers(client, filled):
    listed = client.get("/v1/tasks").json()["tasks"]
    assert [(one["task"], one["version"]) for one in listed] == [
        ("labels", "labels@1"),
        ("mortality", "mortality@1"),
        ("unit", "unit@1"),
    ]
    assert listed[1]["metrics"]["auroc"].keys() == {"value", "low", "high"}
    detail = client.get("/v1/tasks/mortality").json()
    assert detail["class_names"] == ["alive", "dead"]
    assert detail["class_titles"] == [None, "died in this stay"]
    assert len(detail["base_rates"]) == len(detail["thresholds"]) == 2
    card = client.get("/v1/tasks/mortality/card")
    assert card.headers["content-type"] == "text/markdown; charset=utf-8"
    assert card.text.startswith("# ")


def test_health_says_that_it_answers_and_for_what(client):
    assert client.get("/v1/health/live").json() == {"status": "alive"}
    assert client.get("/v1/health/ready").json() == {
        "status": "ready",
        "answering": 3,
        "failing": 0,
        "tasks": ["labels", "mortality", "unit"],
        "failures": [],
    }


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"notes": NOTES, "tasks": ["mortalty"]}, 404, "Unknown task. Did you mean 'mortality'? Known: labels, mortality, unit."),
        ({"notes": NOTES, "tasks": ["zeppelin"]}, 404, "Unknown task. Known: labels, mortality, unit."),
        ({"notes": NOTES, "tasks": [CANARY]}, 404, "Unknown task. Known: labels, mortality, unit."),
        ({"notes": []}, 422, "The request cannot be used. notes: this has fewer than 1 entries."),
        ({"notes": [{"text": CANARY}]}, 422, "The request cannot be used. notes.0.id: this is missing."),
        ({"notes": [{"id": "a", "text": 7}]}, 422, "The request cannot be used. notes.0.text: this must be a string."),
        ({"notes": NOTES, CANARY: 1}, 422, "The request cannot be used. an unknown field: there is no such field."),
        ({"notes": NOTES, "top": 0}, 422, "The request cannot be used. top: this must be at least 1."),
        ({"notes": CANARY}, 422, "The request cannot be used. notes: this must be a list."),
        ({"notes": [{"id": "a", "text": "x" * 200_001}]}, 422, "The request cannot be used. notes.0.text: this is longer than 200000 characters."),
        ([1], 422, "The request cannot be used. body: this must be an object."),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_in_a_sentence_without_its_text(client, body, status, message):
    answer = client.post("/v1/predict", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"] == message
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{" + CANARY.encode(), 422),
        (b"\x00\xff\xfe binary", 422),
        (b"", 422),
        (b"[" * 5000 + b"]" * 5000, 400),
        (b'{"notes": [{"id": "a", "text": "\\ud800"}]}', 422),
        (b'{"notes": [{"id": "a", "text": "x"}], "top": 1e400}', 422),
    ],
)
def test_what_is_no_request_at_all_gets_a_4xx(client, content, status):
    answer = client.post("/v1/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert "Xylophia" not in answer.text


def test_a_huge_body_is_refused_before_it_is_read(client):
    answer = client.post("/v1/predict", content=b"x" * 5_000_000)
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == (
        "The request is larger than 4,000,000 bytes. Send fewer or shorter notes."
    )

    def trickle():
        for _ in range(60):
            yield b"x" * 100_000

    assert client.post("/v1/predict", content=trickle()).status_code == 413


def test_unknown_addresses_and_methods_are_told_as_problems(client):
    assert client.get("/v1/nothing").json()["error"]["code"] == "http-404"
    assert client.get("/v1/predict").status_code == 405
    assert client.get("/docs").status_code == 404
    assert client.get("/v1/tasks/nothing").status_code == 404


def test_head_answers_as_get_does_without_a_body(client):
    for path in ("/", "/drift", "/v1/health/live", "/v1/health/ready", "/v1/tasks"):
        head, whole = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]
        assert head.headers["x-content-type-options"] == "nosniff"
    assert client.head("/v1/predict").status_code == 405


def test_every_answer_carries_strict_headers_and_no_name_of_the_server(client):
    for answer in (client.get("/v1/tasks"), client.get("/v1/nothing"), client.post("/v1/predict", content=b"x")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_no_text_of_a_note_reaches_the_log(running, client):
    _, log = running
    client.post("/v1/predict", json={"notes": [{"id": CANARY, "text": CANARY}]})
    client.post("/v1/predict", json={"notes": [{"id": "a", CANARY: CANARY}]})
    client.post(f"/v1/{CANARY}", json={CANARY: CANARY})
    client.get("/v1/predict", params={"text": CANARY})
    client.get(f"/v1/tasks/{CANARY}")
    time.sleep(0.3)
    lines = "".join(log)
    assert lines.count("POST /v1/predict 200") >= 1
    assert not [word for word in ("Xylophia", "Quarterbane", "zeppelin") if word in lines]


def test_the_openapi_document_names_every_address(client):
    document = client.get("/v1/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/health/live",
        "/v1/health/ready",
        "/v1/tasks",
        "/v1/tasks/{task}",
        "/v1/tasks/{task}/card",
        "/v1/predict",
        "/v1/outcomes",
        "/v1/drift/{task}",
        "/cds-services",
        "/cds-services/{task}",
        "/v1/explain",
        "/metrics",
    }


def test_whoever_sends_half_a_request_is_answered_with_408_and_holds_up_nobody(filled, monkeypatch):
    with server(filled.layout.root, "--body-seconds", "1") as (address, _, _log):
        host, port = address.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port))) for _ in range(20)]
        for number, one in enumerate(slow):
            if number % 2:
                one.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            else:
                one.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\n")
        assert httpx.post(f"{address}/v1/predict", json={"notes": NOTES}, timeout=10).status_code == 200
        for one in slow:
            one.settimeout(20)
            assert one.recv(100).startswith(b"HTTP/1.1 408")
            one.close()


def test_silent_connections_keep_nobody_out(filled):
    with server(filled.layout.root, "--connections", "20", "--watch", "off") as (address, _, _log):
        host, port = address.removeprefix("http://").split(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(60)]
        for number, one in enumerate(silent):
            if number % 3:
                with contextlib.suppress(OSError):  # it had to make way
                    one.sendall(
                        b"POST /v1/predict HTTP/1.1\r\nhost: x\r\n" + [b"content-length: 9\r\n\r\n{", b""][number % 2]
                    )
        for _ in range(30):
            assert httpx.get(f"{address}/v1/health/ready", timeout=5).status_code == 200
            assert httpx.post(f"{address}/v1/predict", json={"notes": NOTES}, timeout=10).status_code == 200
        for one in silent:
            one.close()


def test_more_requests_at_once_than_connections_are_told_as_a_problem_and_health_is_answered(filled):
    async def answers():
        started, go = asyncio.Event(), asyncio.Event()

        async def app(scope, receive, send):
            if scope["path"] == "/slow":
                started.set()
                await go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        transport = httpx.ASGITransport(Gate(app, most_bytes=1000, seconds=1.0, most_at_once=1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            first = asyncio.create_task(client.get("/slow"))
            await started.wait()
            found = [await client.get(path) for path in ("/v1/tasks", "/v1/health/ready")]
            go.set()
            return [await first, *found, await client.get("/v1/tasks")]

    first, turned, health, later = asyncio.run(answers())
    assert [one.status_code for one in (first, turned, health, later)] == [200, 503, 200, 200]
    assert turned.headers["retry-after"] == "1"
    assert turned.headers["x-content-type-options"] == "nosniff"
    assert turned.json()["error"]["code"] == "busy"
    assert turned.json()["error"]["message"] == (
        "The server answers as many requests as it may at once. Ask again in a second."
    )


def test_promotion_and_rollback_take_effect_without_a_failed_request(served_runs, tmp_path):
    library = Library(tmp_path / "library")
    first, second = library.add(served_runs / "first", "mortality"), library.add(served_runs / "second", "mortality")
    library.promote(first)
    with server(library.layout.root) as (address, _, _log):
        stop, seen, wrong = threading.Event(), [], []

        def ask() -> None:
            with httpx.Client(base_url=address, timeout=30) as client:
                while not stop.is_set():
                    answer = client.post("/v1/predict", json={"notes": NOTES})
                    if answer.status_code != 200:
                        wrong.append(answer.text)
                        continue
                    seen.append(answer.json()["predictions"][0]["lineage"]["version"])

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()

        def wait_for(version: str) -> None:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and (not seen or seen[-1] != version):
                time.sleep(0.05)
            assert seen[-1] == version

        wait_for("mortality@1")
        for _ in range(2):
            library.promote(second)
            wait_for("mortality@2")
            library.rollback("mortality")
            wait_for("mortality@1")
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_a_promoted_version_that_was_damaged_leaves_the_one_before_it_in_place(served_runs, tmp_path):
    library = Library(tmp_path / "library")
    first, second = library.add(served_runs / "first", "mortality"), library.add(served_runs / "second", "mortality")
    library.promote(first)
    with server(library.layout.root) as (address, _, log):
        library.promote(second)
        head = library.run(second) / "head.safetensors"
        head.write_bytes(head.read_bytes()[:-1] + b"?")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            health = httpx.get(f"{address}/v1/health/ready").json()
            if health["failures"]:
                break
            time.sleep(0.1)
        assert health["failures"] == ["mortality@2"]
        assert "mortality@2 is promoted and cannot be loaded: " in "".join(log)
        assert "has been changed since the version was added" in "".join(log)
        answer = httpx.post(f"{address}/v1/predict", json={"notes": NOTES}).json()
        assert answer["predictions"][0]["lineage"]["version"] == "mortality@1"


@pytest.mark.parametrize("what", ["no library", "no state", "broken state"])
def test_a_library_that_is_gone_for_a_moment_leaves_what_answers_in_place(own_library, what):
    root, state = own_library.layout.root, own_library.layout.state
    place = root if what == "no library" else state
    with server(root, "--watch", "off") as (address, _, log):

        def wait_for(failures):
            deadline = time.monotonic() + 20
            while (found := httpx.get(f"{address}/v1/health/ready").json())["failures"] != failures:
                assert time.monotonic() < deadline, found
                time.sleep(0.1)
            assert found["tasks"] == ["labels", "mortality", "unit"]

        wait_for([])
        place.rename(aside := place.with_name("aside"))
        if what == "broken state":
            state.write_text("{")
        wait_for(["library"])
        time.sleep(1.5)
        assert httpx.post(f"{address}/v1/predict", json={"notes": NOTES[:1]}, timeout=30).status_code == 200
        aside.rename(place)
        wait_for([])
    reason = (
        "is not valid JSON" if what == "broken state" else "is missing. Restore it; what answered goes on until then."
    )
    (line,) = [one for one in log if " ERROR " in one]
    assert f"the library cannot be read: {state} {reason}" in line


def test_sigterm_answers_what_is_in_work_and_ends_with_zero(filled):
    with server(filled.layout.root) as (address, process, _log):
        found = []

        def ask() -> None:
            many = [{"id": str(n), "text": "patient is stable " * 200} for n in range(40)]
            found.append(httpx.post(f"{address}/v1/predict", json={"notes": many}, timeout=60).status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        thread.join(60)
        assert process.wait(30) == 0
        assert found == [200]


def test_a_library_with_nothing_promoted_and_a_taken_port_are_refused(tmp_path, filled):
    def refused(*flags):
        command = [sys.executable, "-m", "clinstack.cli", "serve", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        return done.stderr.strip().removeprefix("clinstack: ")

    assert refused("--library", str(tmp_path), "--port", "0") == (
        f"Library {tmp_path} has no promoted version, so there is nothing to serve. Add a run with `clinstack library add`, "
        "then `clinstack library promote`."
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused("--library", str(filled.layout.root), "--port", str(port)) == (
            f"--host 127.0.0.1 --port {port}: Address already in use. Choose another, or 0 for any free port."
        )


@pytest.fixture
def cannot_start():
    """Why a server does not start; one whose root has no power over permissions."""
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if os.geteuid() != 0:
        powerless = []
    elif subprocess.run([*powerless, "true"], capture_output=True, check=False).returncode:
        pytest.skip("setpriv may not take powers from root here")

    def start(library, *flags):
        command = [*powerless, sys.executable, "-m", "clinstack.cli", "serve", "--library", str(library), "--port", "0"]
        done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stderr.strip().splitlines()[-1].removeprefix("clinstack: ")

    return start


@pytest.fixture
def own_library(filled, tmp_path):
    """A copy of the library that a test may spoil, as if nobody had served it."""
    shutil.copytree(filled.layout.root, tmp_path / "library", ignore=shutil.ignore_patterns("watch.*"))
    return Library(tmp_path / "library")


def test_a_file_that_cannot_be_read_is_named_where_the_server_is_started(own_library, tmp_path, cannot_start):
    root = own_library.layout.root
    adapter = own_library.run(own_library.entry("mortality")) / "adapters/task/adapter_model.safetensors"
    keys = tmp_path / "keys.toml"
    add_key(keys, "ward", None, 60)
    allow = "Restore it, or let the user who runs this read it."
    for file, flags in [(adapter, ()), (keys, ("--keys", str(keys))), (own_library.layout.state, ())]:
        file.chmod(0)
        assert cannot_start(root, *flags) == (2, f"{file} cannot be read: permission is denied. {allow}")
        file.chmod(0o600)


def test_what_a_server_cannot_write_is_named_where_it_is_started(own_library, tmp_path, cannot_start):
    root = own_library.layout.root
    root.chmod(0o500)
    elsewhere = "Nothing was left there; make room or choose another place and start again."
    assert cannot_start(root) == (2, f"{root / 'watch.sqlite.secret'}: permission is denied. {elsewhere}")
    secret, audit = root / "secret", root / "audit.jsonl"
    watch = ("--watch", f"sqlite:///{tmp_path / 'watch.sqlite'}")
    assert cannot_start(root, *watch, "--watch-secret", str(secret)) == (
        2,
        f"{secret}: permission is denied. {elsewhere}",
    )
    assert cannot_start(root, *watch, "--audit", str(audit)) == (
        2,
        f"{audit.with_name('audit.jsonl.secret')}: permission is denied. {elsewhere}",
    )
    assert cannot_start(root, "--watch-secret", str(tmp_path / "secret")) == (
        2,
        f"The database of --watch ({root / 'watch.sqlite'}) cannot be opened: OperationalError. Give one that can be written "
        "with --watch, or --watch off.",
    )
    assert cannot_start(root, "--watch", "postgresql+psycopg://me:secret-word@127.0.0.1:9/none") == (
        2,
        "--watch postgresql+psycopg: say with --watch-secret FILE where the key for ids of notes is kept; it is made if there "
        "is none.",
    )
    root.chmod(0o700)


def test_the_typed_client_asks_in_portions_and_tells_refusals_in_the_servers_words(running):
    with Client(running[0]) as client:
        notes = [(str(number), "patient is stable " * 40) for number in range(150)]
        found = list(client.predict(notes, ["mortality"]))
        assert [one.note_id for one in found] == [note_id for note_id, _ in notes]
        assert {one.kind for one in found} == {"binary"}
        assert client.task("labels").class_names == ["alive", "dead", "heart", "lung"]
        with pytest.raises(BadInput) as caught:
            list(client.predict(notes[:1], ["mortalty"]))
        assert str(caught.value).startswith(f"{running[0]}: Unknown task. Did you mean 'mortality'?")
        with pytest.raises(BadInput) as caught:
            list(client.predict([("long", "x" * 200_001)]))
        assert str(caught.value) == "Note 'long' has 200,001 characters, and a server takes 200,000. Cut it."


@pytest.mark.parametrize("wait", ["0", "Wed, 21 Oct 2015 07:28:00 GMT", None])
def test_the_client_asks_again_as_often_as_a_key_has_asked_too_much(wait):
    """A machine between may say when as a date, or not at all."""
    turned = iter([429] * (8 if wait == "0" else 1) + [200])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(next(turned))
            if wait is not None:
                self.send_header("Retry-After", wait)
            self.end_headers()
            self.wfile.write(b'{"tasks": []}')

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as there:
        thread = threading.Thread(target=there.serve_forever, daemon=True)
        thread.start()
        with Client(f"http://127.0.0.1:{there.server_port}") as client:
            assert client.tasks() == []
        there.shutdown()


def test_the_client_says_when_nobody_answers():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with Client(address) as client, pytest.raises(ClinstackError) as caught:
        client.tasks()
    assert str(caught.value) == f"{address} cannot be asked: [Errno 111] Connection refused."
    with pytest.raises(BadInput):
        Client("localhost:8000")


def test_predict_from_a_server_writes_what_the_server_says(running, served_runs, tmp_path):
    table = tmp_path / "notes.csv"
    table.write_text("note_id,text\n" + "".join(f'{note["id"]},"{note["text"]}"\n' for note in NOTES))
    command = [sys.executable, "-m", "clinstack.cli", "predict", "--input", str(table), "--output"]

    def run(*flags):
        return subprocess.run([*command, *flags], capture_output=True, text=True, check=False, timeout=120)

    written = run(str(tmp_path / "out.jsonl"), "--server", running[0], "--task", "mortality")
    assert written.returncode == 0, written.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    result = json.loads((served_runs / "first" / "result.json").read_text())
    logits = load(served_runs / "first").score_texts([note["text"] for note in NOTES])
    expected = probabilities("binary", logits / result["temperature"])
    np.testing.assert_allclose([list(row["probabilities"].values()) for row in rows], expected, atol=1e-5)
    some = [{"note_id": note["id"], "task": "mortality", "labels": ["dead"]} for note in NOTES]
    posted = httpx.post(f"{running[0]}/v1/outcomes", json={"outcomes": some}).json()
    assert posted == {"known": 2, "unknown": 0}  # the server knows the notes by the table's ids
    ambiguous = run(str(tmp_path / "other.csv"), "--server", running[0])
    assert ambiguous.returncode == 2
    assert (
        ambiguous.stderr.strip()
        == f"clinstack: {running[0]} answers for labels, mortality, unit. Say which with --task."
    )
    assert not (tmp_path / "other.csv").exists()
    both = run(str(tmp_path / "other.csv"), str(served_runs / "first"), "--server", running[0])
    assert both.returncode == 2
    assert (
        both.stderr.strip().removeprefix("clinstack: ")
        == "Give either a run folder, or --server ADDRESS and, where it has several, --task NAME."
    )


@pytest.fixture
def guarded(filled, tmp_path):
    """A server with keys, an audit log, and what is needed to ask it."""
    keys, audit = tmp_path / "keys.toml", tmp_path / "audit.jsonl"
    every = add_key(keys, "every", None, 600)
    one = add_key(keys, "one", ["mortality"], 3)
    none = add_key(keys, "none", ["mortalty"], 3)
    with server(filled.layout.root, "--keys", str(keys), "--audit", str(audit)) as (address, _, log):
        yield address, {"every": every, "one": one, "none": none}, keys, audit, log


def test_a_server_with_keys_answers_their_owners_alone(guarded, filled):
    address, given, keys, audit, log = guarded

    def ask(key=None, path="/v1/predict", **body):
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.post(f"{address}{path}", json={"notes": NOTES[:1], **body}, headers=headers, timeout=30)

    assert httpx.get(f"{address}/v1/health/ready").status_code == 200
    for path in ("/v1/tasks", "/metrics", "/v1/openapi.json", "/v1/nothing"):
        assert httpx.get(f"{address}{path}").status_code == 401
    refused = ask()
    assert refused.json()["error"]["message"] == "The key is missing. Send one as `Authorization: Bearer KEY`."
    assert refused.headers["www-authenticate"] == "Bearer"
    assert ask("wrong").json()["error"]["message"].startswith("The key is not one of this server's.")
    assert [one["task"] for one in ask(given["every"]).json()["predictions"]] == ["labels", "mortality", "unit"]
    assert [one["task"] for one in ask(given["one"]).json()["predictions"]] == ["mortality"]
    barred = ask(given["one"], tasks=["labels"])
    assert (barred.status_code, barred.json()["error"]["message"]) == (403, "This key may not ask for task 'labels'.")
    for refused in (ask(given["none"]), httpx.get(f"{address}/v1/tasks", headers={"x-api-key": given["none"]})):
        assert (refused.status_code, refused.json()["error"]["message"]) == (
            403,
            "This key may ask for no task that this server answers for.",
        )
    counts = {"status": "ready", "answering": 3, "failing": 0}
    names = {"tasks": ["labels", "mortality", "unit"], "failures": []}
    ready = f"{address}/v1/health/ready"
    assert httpx.get(ready).json() == {**counts, "tasks": None, "failures": None}
    assert httpx.get(ready, headers={"x-api-key": given["one"]}).json() == {**counts, **names}
    listed = httpx.get(f"{address}/v1/tasks", headers={"x-api-key": given["one"]}).json()["tasks"]
    assert [one["task"] for one in listed] == ["mortality"]
    answers = [ask(given["one"]).status_code for _ in range(4)]
    assert answers == [200, 200, 429, 429]
    assert int(ask(given["one"]).headers["retry-after"]) in range(1, 21)
    remove_key(keys, "every")
    time.sleep(1.2)
    assert ask(given["every"]).status_code == 401
    keys.rename(keys.with_name("aside"))
    time.sleep(1.2)
    assert ask(given["one"]).status_code == 401
    assert httpx.get(ready).json() == {**counts, "failing": 1, "tasks": None, "failures": None}
    assert verify(audit) == 10  # four answers, and six refusals of known callers
    assert [line["caller"] for _, line in find(audit, [NOTES[0]["text"]])] == ["every", "one", "one", "one"]
    assert not [key for key in given.values() if key in "".join(log) + audit.read_text()]


def test_client_and_command_line_ask_with_a_key(guarded, tmp_path):
    address, given, *_ = guarded
    with Client(address, key=given["one"]) as client:
        assert [one.task for one in client.predict([("n1", "patient is stable")])] == ["mortality"]
    with Client(address) as client, pytest.raises(BadInput) as caught:
        client.tasks()
    assert str(caught.value) == f"{address}: The key is missing. Send one as `Authorization: Bearer KEY`."
    with pytest.raises(BadInput) as caught:
        Client(address, key="two words")
    assert str(caught.value) == "The key of the client is none: it is one word, as `clinstack keys add` showed it."
    table, key, empty = tmp_path / "notes.csv", tmp_path / "key", tmp_path / "empty"
    table.write_text("note_id,text\nn1,patient is stable\n")
    key.write_text(given["every"] + "\n")
    empty.write_text("\n")

    def run(*flags, **environment):
        command = [sys.executable, "-m", "clinstack.cli", "predict", "--input", str(table), "--output"]
        done = subprocess.run(
            [*command, str(tmp_path / "out.csv"), *flags],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, **environment},
        )
        return done.returncode, done.stderr.strip().removeprefix("clinstack: ")

    asked = ("--server", address, "--task", "mortality")
    assert run(*asked, "--key-file", str(key)) == (0, "")
    assert run(*asked, CLINSTACK_KEY=given["every"]) == (0, "")
    assert run(*asked) == (2, f"{address}: The key is missing. Send one as `Authorization: Bearer KEY`.")
    assert run(*asked, "--key-file", str(empty)) == (
        2,
        f"--key-file {empty} does not hold a key: it is one word, as `clinstack keys add` showed it.",
    )
    assert run(*asked, "--key-file", str(tmp_path / "none")) == (
        2,
        f"--key-file {tmp_path / 'none'} cannot be read. Give a text file that holds the key.",
    )
    assert run("--key-file", str(key), str(tmp_path)) == (
        2,
        "--key-file is for a server: give its address with --server.",
    )


def test_an_answer_that_cannot_be_audited_is_not_given(filled, tiny_disk):
    with server(filled.layout.root, "--audit", str(tiny_disk / "audit.jsonl")) as (address, _, _log):
        assert httpx.post(f"{address}/v1/predict", json={"notes": NOTES}).status_code == 200
        free = os.statvfs(tiny_disk)
        (tiny_disk / "filler").write_bytes(b"x" * free.f_bavail * free.f_bsize)
        for _ in range(40):  # what is left of the log's last block
            answer = httpx.post(f"{address}/v1/predict", json={"notes": NOTES})
            if answer.status_code != 200:
                break
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no-audit")
        assert answer.headers["retry-after"] == "5"
        (tiny_disk / "filler").unlink()
        assert httpx.post(f"{address}/v1/predict", json={"notes": NOTES}).status_code == 200
    verify(tiny_disk / "audit.jsonl")


def test_an_address_that_others_can_reach_needs_keys(filled):
    command = [
        sys.executable,
        "-m",
        "clinstack.cli",
        "serve",
        "--library",
        str(filled.layout.root),
        "--host",
        "0.0.0.0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "clinstack: --host 0.0.0.0 can be reached from other machines, so those who ask need keys: make one with `clinstack "
        "keys add`, and give --keys FILE."
    )


def test_a_monitor_sees_counts_and_times_and_no_text(client):
    client.post("/v1/predict", json={"notes": NOTES, "tasks": ["mortality"]})
    client.request("XYLOPHIA", f"/v1/{CANARY}")
    text = client.get("/metrics").text
    assert 'clinstack_answers_total{task="mortality",version="mortality@1"}' in text
    assert 'clinstack_requests_total{method="other",route="-",status="4' in text
    assert 'clinstack_version{task="labels",version="labels@1"} 1.0' in text
    assert "clinstack_waiting_notes 0.0" in text
    assert "clinstack_batch_seconds_count" in text
    assert not [word for word in ("Xylophia", "XYLOPHIA", "Quarterbane") if word in text]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "notes": st.lists(
            st.fixed_dictionaries({}, optional={"id": JSON | st.text(min_size=1), "text": JSON | st.text()}) | JSON,
            max_size=4,
        )
        | JSON,
        "tasks": st.lists(st.sampled_from(["labels", "mortality"]) | st.text(), max_size=3) | JSON,
        "top": st.integers(-3, 3000) | JSON,
    },
)
PATHS = [
    "/v1/predict",
    "/v1/tasks",
    "/v1/tasks/mortality",
    "/v1/tasks/x/card",
    "/v1/health/ready",
    "/metrics",
    "/",
    "/v1",
]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["POST"] * 6 + ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"]),
    path=st.sampled_from(["/v1/predict"] * 6 + PATHS) | st.text(max_size=20).map(lambda text: "/v1/" + quote(text)),
    body=(JSON | NEARLY).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60),
    kind=st.sampled_from(["application/json", "text/plain", "multipart/form-data; boundary=x", ""]),
)
def test_no_request_makes_the_server_fail(client, method, path, body, kind):
    answer = client.request(method, path, content=body, headers={"content-type": kind})
    assert answer.status_code < 500
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


def test_an_explanation_names_words_sections_and_what_it_is_worth(client):
    text = "CHIEF COMPLAINT: chest pain. HPI: the man has shock and was intubated on pressors with rising lactate"
    asked = {"note": {"id": "n1", "text": text}, "task": "mortality"}
    found = client.post("/v1/explain", json=asked)
    assert found.status_code == 200
    told = found.json()
    assert (told["note_id"], told["task"], told["class_name"]) == ("n1", "mortality", "dead")
    assert [text[one["start"] : one["end"]] for one in told["words"]][:3] == ["CHIEF", "COMPLAINT:", "chest"]
    assert {one["name"] for one in told["sections"]} <= {"chief complaint", "present illness"}
    assert told["faithfulness"]["words"] == 1
    assert told["lineage"]["version"] == "mortality@1"
    majority = client.post("/v1/explain", json={**asked, "task": "unit", "class_name": "heart"}).json()
    assert {one["share"] for one in majority["words"]} == {0.0}
    unknown = client.post("/v1/explain", json={**asked, "class_name": "daed"})
    assert unknown.status_code == 404
    assert unknown.json()["error"]["message"] == "Task mortality has no such class. Did you mean 'dead'?"


def test_what_is_asked_is_counted_and_outcomes_are_set_beside_it(filled, tmp_path):
    flags = ("--watch", f"sqlite:///{tmp_path / 'watch.sqlite'}")
    with (
        server(filled.layout.root, *flags) as (address, _, _log),
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        notes = [{"id": f"n{n}", "text": NOTES[n % 2]["text"]} for n in range(40)]
        client.post("/v1/predict", json={"notes": notes, "tasks": ["mortality", "labels"]})
        outcomes = [{"note_id": f"n{n}", "task": "mortality", "labels": [["alive", "dead"][n % 2]]} for n in range(45)]
        assert client.post("/v1/outcomes", json={"outcomes": outcomes}).json() == {"known": 40, "unknown": 5}
        found = client.get("/v1/drift/mortality", params={"days": 7}).json()
        assert (found["version"], found["notes"], found["outcomes"]) == ("mortality@1", 40, 40)
        assert {one["name"] for one in found["scores"]} == {"alive", "dead"}
        assert found["metrics"]["auroc"]["value"] in (0.0, 1.0)
        assert client.get("/v1/drift/labels").json()["metrics"] is None
        deadline = time.monotonic() + 90
        while (said := client.get("/metrics").text).count("clinstack_outcomes{") < 3 and time.monotonic() < deadline:
            time.sleep(0.2)  # drift is looked at now and then
        assert 'clinstack_outcomes{task="mortality",version="mortality@1"} 40.0' in said
        assert 'clinstack_outcome_figure{metric="auroc",task="mortality"' in said
        assert 'clinstack_drift_psi{of="scores",task="labels",version="labels@1"}' in said
        assert 'clinstack_drift_psi{of="characters",task="mortality",version="mortality@1"}' in said
        wrong = client.post(
            "/v1/outcomes", json={"outcomes": [{"note_id": "n1", "task": "mortality", "labels": ["x"]}]}
        )
        assert wrong.status_code == 422
        assert client.get("/v1/drift/mortality", params={"days": "x"}).status_code == 422
    with server(filled.layout.root, "--watch", "off") as (address, _, _log):
        assert httpx.get(f"{address}/v1/drift/mortality").json()["error"]["code"] == "no-watch"


def test_a_database_that_hangs_holds_up_neither_health_nor_answers_nor_the_end(filled, tmp_path):
    flags = ("--watch-secret", str(tmp_path / "secret"), "--drain-seconds", "2")
    with postgres() as url, server(filled.layout.root, "--watch", url, *flags) as (address, process, log):
        assert httpx.get(f"{address}/v1/drift/mortality", timeout=30).status_code == 200
        with stopped_postgres(url), futures.ThreadPoolExecutor(45) as many:
            drifts = [many.submit(httpx.get, f"{address}/v1/drift/mortality", timeout=60) for _ in range(45)]
            time.sleep(1)
            for path, status in [("/v1/health/ready", 200), ("/", 200), ("/metrics", 200), ("/v1/nothing", 404)]:
                assert httpx.get(f"{address}{path}", timeout=2).status_code == status
            assert httpx.post(f"{address}/v1/predict", json={"notes": NOTES}, timeout=10).status_code == 200
            for one in drifts:
                assert (one.result().status_code, one.result().json()["error"]["code"]) == (503, "no-database")
                assert one.result().headers["retry-after"] == "5"
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            assert process.wait(20) == 0
            assert time.monotonic() - started < 6
    assert "counts were left unwritten: the database of --watch does not take them" in "".join(log)


def test_outcomes_are_kept_all_or_none(filled, tmp_path):
    file = tmp_path / "watch.sqlite"
    with server(filled.layout.root, "--watch", f"sqlite:///{file}") as (address, _, _log):
        httpx.post(f"{address}/v1/predict", json={"notes": NOTES, "tasks": ["mortality"]}, timeout=30)
        some = [{"note_id": note["id"], "task": "mortality", "labels": ["dead"]} for note in NOTES]
        wrong = httpx.post(f"{address}/v1/outcomes", json={"outcomes": [some[0], {**some[1], "labels": [CANARY]}]})
        assert (wrong.status_code, wrong.json()["error"]["message"]) == (
            422,
            "outcomes.1: task mortality lacks 1 of the classes that were posted back. No outcome was kept.",
        )
        assert httpx.get(f"{address}/v1/drift/mortality").json()["outcomes"] == 0
        assert httpx.post(f"{address}/v1/outcomes", json={"outcomes": some}).json() == {"known": 2, "unknown": 0}
        assert httpx.get(f"{address}/v1/drift/mortality").json()["outcomes"] == 2
        assert "clinstack_failed_writings 0.0" in httpx.get(f"{address}/metrics").text


def test_a_fault_of_our_own_is_told_as_every_problem_is_and_without_its_words(filled, tmp_path):
    with Service(filled.layout.root) as service:
        app = make_app(Desk(service, Measures(service), timeout=30.0))

        @app.get("/fault")
        def fault():
            raise RuntimeError(CANARY)

        async def ask():
            transport = httpx.ASGITransport(Gate(app, most_bytes=1000, seconds=1.0))
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.get("/fault")

        answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "code": "fault",
        "message": "The server made a mistake. Its log names this request.",
        "request_id": answer.headers["x-request-id"],
    }
