"""Measures what the console sends to its terminal: the first screen, each screen while nothing happens, a clock.

``python -m benchmarks.terminal_bytes`` from the project's root: the real program with ``--slow`` on a pty of 80×24, on
a demo site whose service runs. docs/console.md has the table; tests/screens/test_terminal.py holds its bounds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pacs_recover.demo.site_maker import NAME, DemoSite, build
from tests.screens.terminal import Terminal

PROGRAM = str(Path(sys.executable).with_name("pacs-recover"))
WATCHED = 5.0
"""Seconds that each is watched for."""
SOAK = "soak: 2s"
REST = 2.0
"""Seconds in which a screen settles after its last word came."""
SCREENS = (
    ("Overview", "", "queue and certs as of"),
    ("Catalog, its preview read", "c", "GOOD"),
    ("Preview", "\r", "held against"),
    ("Plan", "p\r", "arm: LIVE RESTORE"),
    ("Help", "?", "Keys"),
    ("Palette", "\x1b\x10", "type a few letters"),
    ("Runs, five screens back", "\x1b\x1b\x1b\x1b\x1bt", "no run yet"),
    ("History", "v", "no run and no drill yet"),
    ("Audit", "\x1b\x1bw", "preview"),
)
"""What is pressed from one to the next, and what tells that it is there."""


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as home, site(Path(home) / "demo") as made:
        one = Terminal([PROGRAM, "--site", str(made.site_file), "--state", f"{home}/state", "--slow"])
        try:
            measure(one)
        finally:
            one.close()


def measure(one: Terminal) -> None:
    """Every screen in turn, then a run."""
    for number, (name, keys, seen) in enumerate(SCREENS):
        before = len(one.seen)
        press(one, keys)
        one.wait_for(seen, 60)
        one.read(REST)
        drawn = len(one.seen) - before
        what = "until complete" if number == 0 else "to draw"
        sys.stdout.write(f"{name:28}{drawn:8,} bytes {what}, {watch(one):5} in {WATCHED:g} idle seconds\n")
    for keys, seen in (
        ("\x1bp", "recovery set"),
        ("\r", "arm: LIVE"),
        ("a", "site's name"),
        (f"{NAME}\r", "it has to stay up"),
    ):
        press(one, keys)
        one.wait_for(seen, 60)
    one.read(REST)
    sys.stdout.write(f"{'Run, its clock running':28}{watch(one) / WATCHED:8.0f} bytes a second\n")


def press(one: Terminal, keys: str) -> None:
    """Type, with a moment after each key: an escape is one only when nothing follows at once."""
    for key in keys:
        one.press(key)
        one.read(0.4)


def watch(one: Terminal) -> int:
    """Bytes in the time."""
    return len(one.read(WATCHED))


@contextmanager
def site(place: Path) -> Iterator[DemoSite]:
    """A demo site whose service runs, and has to stay up for long."""
    made = build(place, datetime.now(UTC), every_kind=True)
    made.site_file.write_text(made.site_file.read_text().replace(SOAK, "soak: 30s"))
    environment = {**os.environ, **made.environment}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    subprocess.run(made.start, env=environment, check=True, **quiet)  # type: ignore[call-overload]
    try:
        yield made
    finally:
        subprocess.run(made.stop, env=environment, check=False, **quiet)  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
