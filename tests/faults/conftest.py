"""The lab of a test process, and the table of results at the end."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import pytest

from tests.faults import results
from tests.faults.lab import Lab, laboratory

ALL = os.environ.get("FAULTS") == "all"
"""Whether the whole matrix runs (``make faults``), or a sample of it (``make test``)."""
COUNTED: defaultdict[str, Counter[str]] = defaultdict(Counter)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for the process."""
    with laboratory(tmp_path_factory.mktemp("faults")) as lab:
        yield lab


@pytest.fixture
def lab(prepared: Lab, record_property: Callable[[str, object], None]) -> Iterator[Lab]:
    """The lab with a new site and nothing counted; what it counted goes into the report of the test."""
    prepared.site.reset()
    prepared.begin()
    yield prepared
    passed = sum(prepared.tally.values())
    counted = dict(prepared.tally) | {"cases": passed + len(prepared.broken), "passed": passed}
    record_property("faults", [prepared.row, counted])
    prepared.site.reset()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what a test counted."""
    if report.when == "teardown":
        for name, value in report.user_properties:
            if name == "faults":
                COUNTED[value[0]].update(value[1])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table; a whole run also writes it into the document."""
    COUNTED.pop("", None)
    if COUNTED:
        terminalreporter.section("fault matrix")
        terminalreporter.write_line(results.results(COUNTED))
        if ALL:
            results.write(COUNTED)
