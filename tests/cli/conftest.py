"""One small site a test process, and the command on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.shell import Shell
from tests.runs.small_site import SmallSite, make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallSite:
    """The site, built once."""
    home = tmp_path_factory.mktemp("cli")
    home.chmod(0o755)
    return make(home / "site")


@pytest.fixture
def small(made: SmallSite) -> Iterator[SmallSite]:
    """The site as new, its service running."""
    made.reset()
    yield made
    made.reset()


@pytest.fixture
def shell(small: SmallSite) -> Shell:
    """``pacs-recover`` on that site."""
    return Shell(small)
