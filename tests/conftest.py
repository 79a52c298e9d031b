"""Skips what a machine lacks, with its reason; where REQUIRE_ALL=1 (CI) such a skip is a failure."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import settings

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Tests start thousands of processes of the project, which would each compile all of it anew."""
settings.register_profile("any checkout", database=None)  # a checkout that cannot be written is no failure
settings.load_profile("any checkout")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Honour ``@pytest.mark.needs(program, reason=…)``; ``root`` and ``loop devices`` count as programs too."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if not _has(program):
                missing = f"needs {program}: {mark.kwargs['reason']}"
                if os.environ.get("REQUIRE_ALL") == "1":
                    pytest.fail(f"REQUIRE_ALL=1 and {missing}", pytrace=False)
                pytest.skip(missing)


def _has(program: str) -> bool:
    if program == "root":
        return os.geteuid() == 0
    if program == "loop devices":
        return os.access("/dev/loop-control", os.W_OK)
    return shutil.which(program) is not None


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes are named alike: salts and times in them would differ between the processes of a parallel run."""
    return "bytes" if isinstance(val, bytes) else None
