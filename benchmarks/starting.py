"""The start of the command line and the first paint of the console, against the least that their libraries can do."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.harness import Comparison, Row, Sample, Size, process

NAMES = ("start", "help", "paint")
PROGRAM = str(Path(sys.executable).with_name("pacs-recover"))
CLICK = "import click\n@click.command()\ndef main(): pass\nmain()"
TEXTUAL = "from textual.app import App; App().run(mouse=False)"
FRAME = b"\x1b[1;1H"
"""The cursor goes to the first cell: how each of Textual's first frames begins."""
LONGEST = 20.0
"""Seconds after which a program is not waited for."""


def suite(size: Size, home: Path) -> Iterator[Comparison]:
    """Whole processes."""
    hidden = ("TEXTUAL", "SSH_", "NO_COLOR", "PYTHON", "PACS_RECOVER")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    environment |= {"TERM": "xterm-256color", "HOME": str(home), "XDG_STATE_HOME": str(home)}
    empty = lambda: process([sys.executable, "-c", CLICK], environment)  # noqa: E731
    for name, words, what, target in (
        ("start", ["--state", str(home / "state"), "runs"], "start of a command (`runs`)", 1.5),
        ("help", ["--help"], "`--help`", None),
    ):
        ours = lambda words=words: process([PROGRAM, *words], environment)  # noqa: E731
        yield Comparison(name, "an empty click command", (Row(what, target),), ours, empty, size.starts)
    yield Comparison(
        "paint",
        "an empty Textual app",
        (Row("first paint of the console", 1.3),),
        lambda: paint([PROGRAM], environment),
        lambda: paint([sys.executable, "-c", TEXTUAL], environment),
        size.starts,
    )


def paint(argv: Sequence[str], environment: dict[str, str]) -> Sample:
    """From before a program is started until its first frame begins, on a terminal of 80×24."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    began = time.perf_counter()
    child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    try:
        wait_for(master, FRAME)
        took = time.perf_counter() - began
        peak = re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{child.pid}/status").read_text(), re.MULTILINE)
    finally:
        child.kill()
        child.wait()
        os.close(master)
    return {"seconds": took, "peak": int(peak[1]) * 1024.0 if peak else 0.0}


def wait_for(master: int, mark: bytes) -> None:
    """Read until the mark has come. TimeoutError."""
    seen, end = b"", time.monotonic() + LONGEST
    while mark not in seen:
        if not select.select([master], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError(f"no frame within {LONGEST:g} s: {seen[-200:]!r}")
        seen += os.read(master, 65536)
