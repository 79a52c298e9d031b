"""A console on a terminal of its own: real keys, real bytes."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
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


SEQUENCE = re.compile(r"\x1b\[(?P<numbers>[?>\d;]*)[ $]*(?P<last>[a-zA-Z])|\x1b[\]P].*?(?:\x07|\x1b\\\\)|\x1b.")


class Seen:
    """What a terminal shows after these bytes, as far as our console uses it: the cursor is placed, text is written."""

    def __init__(self, width: int, height: int) -> None:
        self.rows = [[" "] * width for _ in range(height)]
        self.x = self.y = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._left = ""

    def feed(self, data: bytes) -> None:
        """More bytes; a sequence that is not whole waits for its rest."""
        text, place = self._left + self._decoder.decode(data), 0
        while place < len(text):
            found = SEQUENCE.match(text, place) if text[place] == "\x1b" else None
            if text[place] == "\x1b" and not found:
                break
            if found:
                self._obey(found)
            else:
                self._write(text[place])
            place = found.end() if found else place + 1
        self._left = text[place:]

    def _obey(self, found: re.Match[str]) -> None:
        if found["last"] == "H":
            row, _, column = (found["numbers"] or "1;1").partition(";")
            self.y, self.x = int(row or 1) - 1, int(column or 1) - 1
        elif found["last"] == "J":
            self.rows = [[" "] * len(row) for row in self.rows]

    def _write(self, char: str) -> None:
        if char == "\r":
            self.x = 0
        elif char == "\n":
            self.y += 1
        elif char.isprintable() and self.y < len(self.rows) and self.x < len(self.rows[0]):
            self.rows[self.y][self.x] = char
            self.x += 1

    @property
    def text(self) -> str:
        """Row by row."""
        return "\n".join("".join(row).rstrip() for row in self.rows)


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
        self.screen = Seen(80, 24)

    def read(self, seconds: float, until: bytes = b"") -> bytes:
        """What comes in this time, or until something came."""
        end, got = time.monotonic() + seconds, b""
        while (left := end - time.monotonic()) > 0 and not (until and self._shows(until, got)):
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
            self.seen += part
            self.screen.feed(part)
        return got

    def _shows(self, text: bytes, got: bytes) -> bool:
        """Whether it came, or stands on the screen: of a word that was there in part only the rest is sent."""
        return text in got or text.decode() in self.screen.text

    def wait_for(self, text: str, seconds: float = 20.0) -> bytes:
        """Everything up to this text."""
        got = self.read(seconds, text.encode())
        assert self._shows(text.encode(), got), f"{text!r} did not come:\n{self.screen.text}\n{got[-500:]!r}"
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
