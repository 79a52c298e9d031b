"""Pins everything that changes a drawn cell; pictures and frames are compared with the accepted ones in snapshots/."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

for name in ("NO_COLOR", "COLORTERM", "TEXTUAL_THEME", "TEXTUAL_FILTERS", "TEXTUAL_COLOR_SYSTEM"):
    os.environ.pop(name, None)
os.environ["TEXTUAL_ANIMATIONS"] = "none"  # read once, when Textual is imported

from tests import leaks  # noqa: E402
from tests.runs.conftest import made, small  # noqa: E402

__all__ = ["made", "small"]
SNAPSHOTS = Path(__file__).parents[2] / "snapshots"


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def rows(app: Any) -> list[str]:
    """The text on the screen, row by row."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


def frame(app: Any) -> str:
    """The text on the screen, in which must be no secret."""
    text = "\n".join(rows(app))
    leaks.refuse(text, "the screen")
    return text


def picture(app: Any) -> str:
    """The screen as SVG, without what differs from one rendering to the next."""
    return re.sub(r"terminal-\d+", "terminal", app.export_screenshot(simplify=True))


@pytest.fixture
def accepted() -> Callable[[str, str], None]:
    """Compares a text with the accepted one of this name; ACCEPT=1 takes it as the new one."""

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / name
        if os.environ.get("ACCEPT") == "1":
            path.write_text(text + "\n")
            return
        assert path.exists(), f"no snapshot {name}: look at the screen, then run with ACCEPT=1"
        if path.read_text() != text + "\n":
            new = path.with_name(f"new-{name}")
            new.write_text(text + "\n")
            pytest.fail(f"{name} changed; compare it with {new.name}")

    return compare
