"""A real PostgreSQL on a loopback port of its own, started for a test and stopped after it."""

import gc
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def stopped_postgres(url: str) -> Iterator[None]:
    """A database whose every process stands still meanwhile: it takes connections and answers nothing."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        one = connection.execute("select pg_backend_pid()").fetchone()
        status = Path(f"/proc/{one[0]}/status").read_text()
    main = int(status.partition("PPid:")[2].split()[0])
    every = [main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())]
    try:
        for process in every:
            _signal(process, signal.SIGSTOP)
        yield
    finally:
        for process in every:
            _signal(process, signal.SIGCONT)


def _signal(process: int, which: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, which)


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database. Skips where PostgreSQL is not installed."""
    found = [shutil.which("initdb"), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    initdb = next((place for place in found if place), None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    programs = Path(initdb).resolve().parent
    user, become = getpass.getuser(), []
    folder = Path(tempfile.mkdtemp(prefix="clinstack-postgres-"))
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "postgres" if "postgres" in {one.pw_name for one in pwd.getpwall()} else "nobody"
        become = ["runuser", "-u", user, "--"]
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    control = [*become, str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
    try:
        initialise = [*become, initdb, "-D", str(data), "-U", "clinstack", "--auth=trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initialise, check=True, capture_output=True, cwd=folder)
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
        subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, cwd=folder)
        try:
            yield f"postgresql+psycopg://clinstack:secret-word@127.0.0.1:{port}/postgres"
            gc.collect()  # a connection left open warns here, in the test that opened it
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
