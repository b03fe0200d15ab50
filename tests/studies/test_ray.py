"""A study on a real two-node Ray cluster on this machine: the same runs as without it, also when a node is killed meanwhile."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow import parquet

from clinstack.config import StudyOptions
from clinstack.errors import BadInput
from clinstack.runs.layout import StudyLayout
from clinstack.studies.study import study

pytest.importorskip("ray", reason="needs clinstack[ray]")

GRID = """
[all]
epochs = 1
learning-rate = 5e-3
max-tokens = 48
resamples = 100
device = "cpu"
precision = "float32"

[clinical]
corpus = "{corpus}"
rank = 2
max-tokens = 48
device = "cpu"
precision = "float32"

[grid]
base = ["{base}"]
task = ["{task}"]
variant = ["head-only", "clinical-frozen+task"]
seed = {seeds}
"""


@pytest.fixture
def grid(small_base, small_corpus, small_task, tmp_path):
    def write(seeds: list[int]) -> Path:
        file = tmp_path / "grid.toml"
        file.write_text(GRID.format(base=small_base, corpus=small_corpus, task=small_task("binary"), seeds=seeds))
        return file

    return write


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


OPEN = {"RAY_AUTH_MODE": "disabled"}
"""Otherwise Ray (2.60) asks for a token wherever an earlier cluster of one machine left one in the home folder."""


HIDES = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"']
"""Runs a command that finds nothing in a folder: its first word."""


class Cluster:
    """Two nodes with one processor each, on loopback addresses of their own.

    access: who may use them, as Ray is told.   hidden: a folder in which no node finds anything.
    """

    def __init__(self, folder: Path, access: dict[str, str], hidden: Path | None = None):
        self.port, self.folder, self.access, self.hidden = free_port(), folder, access, hidden
        self.address = f"127.0.0.1:{self.port}"
        self.nodes = [
            self._start("127.0.0.1", "--head", f"--port={self.port}"),
            self._start("127.0.0.2", f"--address={self.address}"),
        ]

    def _start(self, address: str, *words: str) -> subprocess.Popen:
        environment = {**os.environ, **self.access, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
        command = [
            str(Path(sys.executable).with_name("ray")), "start", *words, f"--node-ip-address={address}", "--num-cpus=1",
            "--block", "--include-dashboard=false", "--object-store-memory=80000000", "--disable-usage-stats",
            f"--temp-dir={self.folder / 'ray'}",
        ]  # fmt: skip
        if "--head" not in words:
            command = [word for word in command if not word.startswith("--temp-dir")]
        if self.hidden is not None:
            command = [*HIDES, str(self.hidden), *command]
        log = (self.folder / f"node-{address}.log").open("wb")
        node = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        log.close()
        return node

    def wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return

    def kill(self, number: int) -> None:
        os.killpg(self.nodes[number].pid, signal.SIGKILL)
        self.nodes[number].wait()

    def stop(self) -> None:
        for node in self.nodes:
            if node.poll() is None:
                os.killpg(node.pid, signal.SIGTERM)
                try:
                    node.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    os.killpg(node.pid, signal.SIGKILL)
                    node.wait()


@pytest.fixture
def place():
    # Sockets have short names, and pytest's folders have long ones.
    folder = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/var") / f"clinstack-ray-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=[OPEN], ids=["open"])
def cluster(request, place):
    made = Cluster(place, request.param)
    yield made
    made.stop()


@pytest.fixture
def cluster_without(place, tmp_path):
    """A cluster whose machines do not share a folder, and the folder."""
    hidden = tmp_path / "mine"
    hidden.mkdir()
    if subprocess.run([*HIDES, str(hidden), "true"], capture_output=True, check=False).returncode:
        pytest.skip("hiding a folder from a process is not permitted here")
    made = Cluster(place, OPEN, hidden)
    yield made, hidden
    made.stop()


def run(file: Path, out: Path, cluster: Cluster) -> subprocess.Popen:
    """From another folder than the nodes were started in: `out` may be relative."""
    words = ["study", str(file), "--out", str(out), "--engine", "ray", "--address", cluster.address, "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "clinstack.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **OPEN},
        cwd=file.parent,
    )


def predicted(out: Path) -> dict:
    found = {}
    for result in out.glob("runs/*/result.json"):
        content = json.loads(result.read_text())
        if content["step"] == 2:
            table = parquet.read_table(result.parent / "predictions.parquet")
            found[content["variant"], content["seed"]] = table.column("logits").to_pylist()
    return found


def test_a_cluster_gives_the_runs_of_one_machine_although_a_node_is_killed(grid, cluster, tmp_path):
    file = grid([1, 2, 3, 4])
    process = run(file, Path("ray"), cluster)
    until = time.monotonic() + 240
    while len(list(tmp_path.glob("ray/runs/*/result.json"))) < 3:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.1)
    cluster.kill(1)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert (found["cells"], found["finished"], found["failed"]) == (9, 9, {})
    study(StudyOptions(grid=file, out=tmp_path / "local", workers=1))
    assert predicted(tmp_path / "ray") == predicted(tmp_path / "local")
    assert not StudyLayout(tmp_path / "ray").features.exists()  # a store is one machine's
    assert len(list(tmp_path.glob("local/features/*/about.json"))) > 0


def test_a_folder_that_the_machines_do_not_share_is_told_for_each_cell(grid, cluster_without):
    cluster, hidden = cluster_without
    process = run(grid([1]), hidden / "study", cluster)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    failed = json.loads(out)["failed"]
    assert failed["head-only, small, binary, seed 1"] == (
        f"{hidden / 'study'} is not there on {socket.gethostname()}. Give an --out that all machines of the cluster share."
    )
    assert failed["clinical-frozen+task, small, binary, seed 1"] == "Its clinical adapter failed."


def test_a_cluster_that_is_not_there_is_one_sentence(grid, tmp_path):
    with pytest.raises(BadInput) as caught:
        study(StudyOptions(grid=grid([1]), out=tmp_path / "study", engine="ray", address=f"127.0.0.1:{free_port()}"))
    assert "No Ray cluster answers at 127.0.0.1:" in str(caught.value)
    assert "Start one with ray start." in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cluster", [{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 40}], indirect=True, ids=["token"]
)
def test_a_cluster_that_wants_another_token_is_told_apart_from_none(grid, cluster, tmp_path):
    cluster.wait_until_it_listens()
    process = run(grid([1]), tmp_path / "study", cluster)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert (
        f"What answers at {cluster.address} does not let this command in (ConnectionError). The same version of Ray on both sides, "
        "and the cluster's RAY_AUTH_MODE and RAY_AUTH_TOKEN here too, are what it needs."
    ) in " ".join(said.split())
