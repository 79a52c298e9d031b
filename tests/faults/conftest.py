"""The lab of a test process, and the table of results at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faults.lab import Lab, laboratory

ALL = os.environ.get("FAULTS") == "all"
"""Whether the whole matrix runs (``make faults``), or a sample of it (``make test``)."""


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for the process."""
    with laboratory(tmp_path_factory.mktemp("faults")) as lab:
        yield lab


@pytest.fixture
def lab(prepared: Lab) -> Iterator[Lab]:
    """The lab with a new site and nothing counted."""
    prepared.site.reset()
    prepared.tally.clear()
    yield prepared
    prepared.site.reset()
