"""Fixtures of the server's tests: finished runs, a library that holds them, a server that answers for it."""

import httpx
import pytest
from serving_process import server

from clinstack.config import TrainOptions
from clinstack.serving.library import Library
from clinstack.training.classification import train


@pytest.fixture(scope="session")
def served_runs(small_base, small_task, clinical_run, tmp_path_factory):
    """Two runs of one task, one of another, and a baseline of a third."""
    root = tmp_path_factory.mktemp("runs")
    shared = {"resamples": 100, "epochs": 1, "max_tokens": 48, "device": "cpu", "learning_rate": 1e-2}
    stacked = {"base": str(small_base), "clinical": clinical_run, **shared}
    train(TrainOptions(task=small_task("binary"), out=root / "first", seed=1, **stacked))
    train(TrainOptions(task=small_task("binary"), out=root / "second", seed=2, **stacked))
    train(TrainOptions(task=small_task("multilabel"), out=root / "labels", **stacked))
    train(TrainOptions(task=small_task("multiclass"), out=root / "majority", base="majority", resamples=100))
    return root


@pytest.fixture(scope="session")
def filled(served_runs, tmp_path_factory):
    """A library with every run promoted, the first of two for mortality."""
    library = Library(tmp_path_factory.mktemp("library"))
    first = library.add(served_runs / "first", "mortality")
    library.add(served_runs / "second", "mortality")
    for entry in (first, library.add(served_runs / "labels", "labels"), library.add(served_runs / "majority", "unit")):
        library.promote(entry)
    return library


@pytest.fixture(scope="session")
def running(filled):
    with server(filled.layout.root) as (address, _, log):
        yield address, log


@pytest.fixture
def client(running):
    with httpx.Client(base_url=running[0], timeout=30) as client:
        yield client
