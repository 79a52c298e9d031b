"""The system's log: where each record's hash goes at once, out of this program's hands, and what could not be kept."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal

from msgspec import Struct

TAG = "pacs-recover"
VARIABLE = "PACS_RECOVER_SYSLOG"
"""Names another socket than the usual one."""
USUAL = "/dev/log"
AUTHPRIV = 10 << 3
"""Facility of what only the administrator reads (RFC 5424, 6.2.1)."""
SEVERITIES = {"warning": 4, "notice": 5}
PATIENCE = 1.0
"""Seconds that the log may take to accept a line."""
READING = 60.0
"""Seconds that journalctl may take."""
ANCHOR = re.compile(r"audit ([0-9]{1,18}) ([0-9a-f]{64}) (\S+) (.+)")


class Anchor(Struct, frozen=True):
    """What was said elsewhere of a record: its hash, the host and the audit's directory."""

    n: int
    sha256: str
    host: str
    home: str

    def __str__(self) -> str:
        return f"audit {self.n} {self.sha256} {self.host} {self.home}"


def anchor_in(text: str) -> Anchor | None:
    """The anchor in a line of a log, whatever stands before it."""
    found = ANCHOR.search(text.rstrip("\n"))
    return Anchor(int(found[1]), found[2], found[3], found[4]) if found else None


def send(text: str, severity: Literal["warning", "notice"] = "notice", environ: Mapping[str, str] = os.environ) -> bool:
    """Hand a line to the system's log; whether it took it."""
    message = f"<{AUTHPRIV | SEVERITIES[severity]}>{TAG}[{os.getpid()}]: {text}".encode()
    place = environ.get(VARIABLE) or USUAL
    try:
        return _sent(message, place, socket.SOCK_DGRAM)
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:
            return False
    try:
        return _sent(message + b"\0", place, socket.SOCK_STREAM)
    except OSError:
        return False


def _sent(message: bytes, place: str, kind: socket.SocketKind) -> bool:
    with closing(socket.socket(socket.AF_UNIX, kind)) as log:
        log.settimeout(PATIENCE)
        log.connect(place)
        log.sendall(message)
    return True


def in_journal(uid: int) -> list[Anchor] | None:
    """The anchors that the journal keeps, of those that this user's processes sent; None where it cannot be read.

    The journal itself notes the sender's uid: what others write under our name counts for nothing.
    """
    program = shutil.which("journalctl")
    if program is None:
        return None
    argv = [program, "-t", TAG, f"_UID={uid}", "-o", "cat", "--no-pager", "-q"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=READING, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return list(anchors_in(done.stdout.decode(errors="replace").splitlines())) if done.returncode == 0 else None


def in_file(path: Path) -> list[Anchor]:
    """The anchors in a text file, such as a log of the syslog server that they were sent on to. OSError."""
    with path.open(errors="replace") as file:
        return list(anchors_in(file))


def anchors_in(lines: Iterable[str]) -> Iterator[Anchor]:
    """The anchors among these lines."""
    for line in lines:
        if anchor := anchor_in(line):
            yield anchor
