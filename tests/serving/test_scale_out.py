"""Two processes behind Ray Serve answer as one does, and one that is killed is missed by nobody for long."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from serving_process import NOTES, server

pytest.importorskip("ray.serve")


def replicas() -> list[int]:
    """The processes that answer, by their id."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                found.append(int(place.name))
        except OSError:  # it has ended meanwhile
            continue
    return sorted(found)


def test_two_processes_answer_as_one_and_outlive_a_kill(filled, running, tmp_path):
    body = {"notes": NOTES, "tasks": ["mortality", "labels"]}
    expected = httpx.post(f"{running[0]}/v1/predict", json=body, timeout=30).json()["predictions"]
    watch = f"sqlite:///{tmp_path / 'watch.sqlite'}"
    audit = str(tmp_path / "audit.jsonl")
    with server(filled.layout.root, "--replicas", "2", "--watch", watch, "--audit", audit) as (address, process, log):
        first = replicas()
        assert len(first) == 2

        def ask():
            return httpx.post(f"{address}/v1/predict", json=body, timeout=60)

        for _ in range(20):
            found = ask().json()["predictions"]
            for one, wanted in zip(found, expected, strict=True):
                assert one["lineage"] == wanted["lineage"]
                values, others = (list(each["probabilities"].values()) for each in (one, wanted))
                np.testing.assert_allclose(values, others, atol=1e-5)
        os.kill(first[0], signal.SIGKILL)
        answers = []
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and (len(replicas()) < 2 or first[0] in replicas()):
            answers.append(ask().status_code)
            time.sleep(0.2)
        assert len(replicas()) == 2
        assert ask().status_code == 200
        assert answers.count(200) >= len(answers) - 2  # what the killed one held is lost

        def ask_much(caller: int) -> int:
            many = [{"id": str(n), "text": f"patient {caller} {n} is stable " * 200} for n in range(40)]
            return httpx.post(f"{address}/v1/predict", json={"notes": many}, timeout=60).status_code

        with ThreadPoolExecutor(8) as callers:
            asked = [callers.submit(ask_much, caller) for caller in range(8)]
            time.sleep(0.3)
            assert not all(one.done() for one in asked)
            process.send_signal(signal.SIGTERM)
            assert [one.result() for one in asked] == [200] * 8
        process.wait(90)
    assert process.returncode == 0, "".join(log)
    assert len(list(tmp_path.glob("audit-*.jsonl"))) >= 2
    assert replicas() == []
