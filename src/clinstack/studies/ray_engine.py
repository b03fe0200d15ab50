"""A study on the machines of a Ray cluster that share its folder.

Ray decides where a cell runs and runs it again elsewhere when its machine is lost; what is finished, claimed or failed is said
by the folder alone, as for workers of one machine: the results are the same, and either engine goes on with the other's study.

Cells on a cluster keep no states for each other unless they are given a feature store, which must be on each machine's own
disk: LMDB's locks do not reach over a network.
"""

import os
import socket
import time
from dataclasses import replace
from typing import Any

from clinstack.errors import BadInput, Interrupted
from clinstack.studies.cells import Work, claim_cell
from clinstack.studies.grid import Cell
from clinstack.training.running import Silent, Witness

_RETRIES = 5
"""How often a cell is begun again whose machine or process was lost; it goes on from its last checkpoint."""
_LOOK = 1.0


def work_ray(work: Work, address: str | None, witness: Witness) -> None:
    """Trains all cells on a Ray cluster. address: of a running one, such as 10.0.0.1:6379; one on this machine without it.

    Raises BadInput if Ray is not installed or does not answer there, Interrupted when asked to stop.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls home
    try:
        import ray
    except ImportError:
        raise BadInput("--engine ray needs Ray, which is not installed. Install clinstack[ray].") from None
    if address is not None:
        _require_answer(address)
    try:
        ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = f"What answers at {address} does not let this command in" if address else "Ray does not start here"
        raise BadInput(
            f"{what} ({type(error).__name__}). The same version of Ray on both sides, and the cluster's RAY_AUTH_MODE and "
            "RAY_AUTH_TOKEN here too, are what it needs."
        ) from error
    try:
        _submit(ray, replace(work, shares_states=address is None), witness)
    except KeyboardInterrupt:
        raise Interrupted("Interrupted; the same command goes on from here.") from None
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Ray itself would wait for minutes. Raises BadInput if nothing listens at an address."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise BadInput(
            f"No Ray cluster answers at {address} ({type(error).__name__}). Start one with ray start."
        ) from error


def _submit(ray: Any, work: Work, witness: Witness) -> None:
    train = ray.remote(num_cpus=1, max_retries=_RETRIES, retry_exceptions=False)(_train)
    if ray.cluster_resources().get("GPU"):
        train = train.options(num_gpus=1)  # Ray shows a task that one alone; without asking, all would take the first
    begun: set[str] = set()
    running: dict[Any, Cell] = {}
    while left := work.left():
        for cell in left:
            if cell.key not in begun and not work.blocked(cell):
                begun.add(cell.key)
                running[train.remote(work, cell)] = cell
        if not running:
            time.sleep(_LOOK)  # what is left is another command's, or has yet to be seen on this machine
            continue
        ready, _ = ray.wait(list(running), timeout=_LOOK)
        for one in ready:
            cell = running.pop(one)
            _settle(ray, one, cell, work)
            done = sum(work.finished(each.key) for each in work.grid.cells)
            reason = work.reason(cell.key)
            witness.says(f"{done} of {len(work.grid.cells)}: {cell.name}{f' failed: {reason}' if reason else ''}")


def _settle(ray: Any, one: Any, cell: Cell, work: Work) -> None:
    """Notes a cell as failed whose process was lost more often than it is begun again, or could not see the study."""
    try:
        if (reason := ray.get(one)) is not None and not work.settled(cell):
            work.fail(cell, reason)
    except ray.exceptions.RayError as error:
        if not work.settled(cell):
            work.fail(cell, f"Its process was lost {_RETRIES + 1} times ({type(error).__name__}).")


def _train(work: Work, cell: Cell) -> str | None:
    """Trains one cell where Ray has put it; waits while the process that Ray took for lost still holds it.

    Returns why it could not.
    """
    if not work.layout.cells.is_file():
        machine = socket.gethostname()
        return f"{work.layout.root} is not there on {machine}. Give an --out that all machines of the cluster share."
    while not work.settled(cell) and not claim_cell(work, cell, Silent()):
        time.sleep(_LOOK)
    return None
