"""The command on the small site, and sites whose drills start a real service."""

from __future__ import annotations

from tests.cli.conftest import shell
from tests.drill.conftest import drill_site, drilled
from tests.runs.conftest import made, small

__all__ = ["drill_site", "drilled", "made", "shell", "small"]
