"""One small site a test process; new for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runs.small_site import SmallSite, make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallSite:
    """The site, built once."""
    home = tmp_path_factory.mktemp("small")
    home.chmod(0o755)
    return make(home / "site")


@pytest.fixture
def small(made: SmallSite) -> Iterator[SmallSite]:
    """The site as new, its service running."""
    made.reset()
    yield made
    made.reset()
