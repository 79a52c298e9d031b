"""The command on the small site."""

from __future__ import annotations

import pytest

from tests.cli.shell import Shell
from tests.runs.conftest import made, small
from tests.runs.small_site import SmallSite

__all__ = ["made", "small"]


@pytest.fixture
def shell(small: SmallSite) -> Shell:
    """``pacs-recover`` on that site."""
    return Shell(small)
