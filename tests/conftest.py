"""Fixtures that tests of several rooms use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real public text and models, which does not travel with the project; without it the test skips."""
    folder = Path(os.environ.get("CLINSTACK_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the folder of public text: set CLINSTACK_SHARED, or put it beside the project as `shared`")
    return folder
