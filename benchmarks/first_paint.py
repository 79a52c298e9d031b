"""Compares how soon the console and an empty Textual program are seen, as the ratio of one run on one machine.

``python benchmarks/first_paint.py [--pairs 12]``: whole processes on a pty of 80×24, one of each in turn, from before
they are started to the first byte of their first frame. The medians count, and not the first pair, which compiles.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path

OURS = (str(Path(sys.executable).with_name("pacs-recover")),)
THEIRS = (sys.executable, "-c", "from textual.app import App; App().run(mouse=False)")
"""The least that Textual can show."""
FRAME = b"\x1b[1;1H"
"""The cursor goes to the first cell: how each of Textual's first frames begins."""
LONGEST = 20.0
"""Seconds after which a program is not waited for."""


def main() -> int:
    """Start both in turn, print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=12)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as home:
        times = [(seconds(OURS, home), seconds(THEIRS, home)) for _ in range(pairs + 1)][1:]
    for name, choose in (("median", statistics.median), ("best", min)):
        ours, theirs = (choose(column) for column in zip(*times, strict=True))
        sys.stdout.write(f"{name:7}the console {ours:.3f} s, an empty program {theirs:.3f} s: {ours / theirs:.2f}\n")
    return 0


def seconds(argv: Sequence[str], home: str) -> float:
    """From before a program is started until its first frame begins."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    hidden = ("TEXTUAL", "SSH_", "NO_COLOR", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    environment |= {"TERM": "xterm-256color", "HOME": home}
    began = time.perf_counter()
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    try:
        wait_for(master, FRAME)
        return time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(master)


def wait_for(master: int, mark: bytes) -> None:
    """Read until the mark has come. TimeoutError."""
    seen, end = b"", time.monotonic() + LONGEST
    while mark not in seen:
        if not select.select([master], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError(f"no frame within {LONGEST:g} s: {seen[-200:]!r}")
        seen += os.read(master, 65536)


if __name__ == "__main__":
    sys.exit(main())
