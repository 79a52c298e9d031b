"""A console on a terminal of its own: real keys, real bytes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

START = "import sys; from pathlib import Path; from pacs_recover.app import run; sys.exit(run({options}))"


def command(site: Path | None, state: Path, **options: object) -> list[str]:
    """The program that opens the console."""
    named = {"site": site, "state": state, **options}
    words = ", ".join(
        f"{key}=Path({str(value)!r})" if isinstance(value, Path) else f"{key}={value!r}" for key, value in named.items()
    )
    return [sys.executable, "-c", START.format(options=words)]


class Terminal:
    """A pty of 80 columns and 24 rows with a program on it."""

    def __init__(self, argv: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        given = {
            key: value for key, value in os.environ.items() if not key.startswith(("TEXTUAL_", "SSH_", "NO_COLOR"))
        }
        given |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | (environment or {})

        def own() -> None:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=given, preexec_fn=own)
        os.close(slave)
        self.seen = b""

    def read(self, seconds: float, until: bytes = b"") -> bytes:
        """What comes in this time, or until something came."""
        end, got = time.monotonic() + seconds, b""
        while (left := end - time.monotonic()) > 0 and not (until and until in got):
            ready, _, _ = select.select([self.master], [], [], left)
            if not ready:
                break
            try:
                part = os.read(self.master, 65536)
            except OSError:
                break
            if not part:
                break
            got += part
        self.seen += got
        return got

    def wait_for(self, text: str, seconds: float = 20.0) -> bytes:
        """Everything up to this text."""
        got = self.read(seconds, text.encode())
        assert text.encode() in got, f"{text!r} did not come: {got[-2000:]!r}"
        return got

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.master, keys.encode())

    def hang_up(self) -> None:
        """The terminal goes away."""
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        """End it, whatever it does."""
        if self.master >= 0:
            os.close(self.master)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
