"""Units of a real systemd, each for one test."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from pacs_recover.services.systemd import Systemd
from tests.real_systemd import RealSystemd, real_systemd

__all__ = ["real_systemd"]


class MakeUnit(Protocol):
    """Makes one unit of the real systemd."""

    def __call__(self, service: str, unit: str = "", stop_timeout: float = 10) -> Systemd:
        """``service`` and ``unit`` are the lines of these two sections."""
        ...


@pytest.fixture
def make_unit(real_systemd: RealSystemd) -> Iterator[MakeUnit]:
    """Units with names of their own; killed and removed at the end, whatever state they are in."""
    made: list[str] = []

    def make(service: str, unit: str = "", stop_timeout: float = 10) -> Systemd:
        name = f"pacs_bridge_{secrets.token_hex(4)}"
        real_systemd.install_unit(f"{name}.service", f"[Unit]\n{unit}\n[Service]\n{service}\n")
        made.append(f"{name}.service")
        return Systemd(name, start_timeout=10, stop_timeout=stop_timeout, prefix=real_systemd.enter_prefix)

    yield make
    for name in made:
        real_systemd.remove_unit(name)


def wait_until(condition: Callable[[], bool], limit: float = 10) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
