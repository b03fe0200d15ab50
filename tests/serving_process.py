"""A real server in a process of its own, for tests."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

CANARY = "Xylophia Quarterbane fell off her zeppelin"
NOTES = [
    {"id": "n1", "text": "patient is stable and comfortable"},
    {"id": "n2", "text": "shock, intubated on pressors"},
]


@contextmanager
def server(library, *flags):
    """A running server; its address, process and the lines of its log."""
    command = [
        sys.executable,
        "-m",
        "clinstack.cli",
        "serve",
        "--library",
        str(library),
        "--port",
        "0",
        "--json",
        *flags,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        log = []
        reader = threading.Thread(target=lambda: log.extend(process.stderr), daemon=True)
        reader.start()
        try:
            told = process.stdout.readline()
            assert told, "".join(log)
            yield json.loads(told)["address"], process, log
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
            reader.join(5)
