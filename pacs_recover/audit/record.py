"""One record of the audit, and who it is about: the uid as a fact, all else as claimed."""

from __future__ import annotations

import hashlib
import os
import pwd
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from pacs_recover.model import UNDECODABLE
from pacs_recover.text import safe

TICKET = "PACS_RECOVER_TICKET"
"""The variable that carries a ticket's id, to the worker too."""
NO_LOGIN = 0xFFFFFFFF
"""What /proc/self/loginuid says of a process that nobody logged in to start (audit(7))."""
LONGEST = 300
"""Characters of any one text of a record."""

What = Literal[
    "preview",
    "diff",
    "extract",
    "verify",
    "plan",
    "run",
    "resume",
    "rollback",
    "question",
    "answer",
    "take-over",
    "close",
    "note",
    "lock",
    "thaw",
    "backup",
    "prune",
    "lifecycle",
    "anchor",
    "refusal",
]


class Claimed(Struct, frozen=True, omit_defaults=True):
    """Who it was as the session says; a person with root's rights can make it say anything."""

    login: str = ""
    """The name that the session was opened under."""
    login_uid: int | None = None
    """As the kernel kept it since the login; None where nobody logged in (cron, a service)."""
    sudo: str = ""
    """Who called sudo: name and uid."""
    ssh: str = ""
    """The other end of the SSH connection: address and port."""


class Who(Struct, frozen=True):
    """Who did it."""

    uid: int
    """The process's own: a fact."""
    user: str
    """The name of that uid on this host."""
    claimed: Claimed = Claimed()

    def __str__(self) -> str:
        said = self.claimed
        login = f"{said.login or '?'} (uid {said.login_uid})" if said.login or said.login_uid is not None else ""
        claims = {"login": login, "sudo": said.sudo, "ssh": said.ssh}
        claimed = "".join(f", {name} {text}" for name, text in claims.items() if text)
        return f"{self.user or '?'} (uid {self.uid}{claimed})"


class Record(Struct, frozen=True, kw_only=True):
    """One line of the audit; its hash is in the line after it, and in the anchors."""

    n: int
    """Its place, from 0."""
    at: datetime
    """Wall clock, UTC."""
    previous: str
    """The SHA-256 of the line before it; empty in the first."""
    what: What
    object: str
    """Which backup, plan, run or command."""
    outcome: str
    """``began``, then how it went."""
    site: str
    host: str
    pid: int
    who: Who
    ticket: str = ""
    cut: int = 0
    """Bytes of a torn line that were taken off before this one: a record that nobody was told of."""


def made(n: int, previous: str, cut: int, what: What, **said: Any) -> Record:
    """The record of something that happens now, in this process."""
    return Record(
        n=n,
        at=datetime.now(UTC),
        previous=previous,
        what=what,
        **{name: safe(text, LONGEST) for name, text in said.items()},
        host=socket.gethostname(),
        pid=os.getpid(),
        who=who(os.environ),
        ticket=safe(os.environ.get(TICKET, ""), 80),
        cut=cut,
    )


def who(environ: Mapping[str, str]) -> Who:
    """Who this process belongs to."""
    uid = os.getuid()
    return Who(uid, _name(uid), Claimed(_login(), _login_uid(), _sudo(environ), _ssh(environ)))


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _login() -> str:
    try:
        return safe(os.getlogin(), 80)
    except OSError:  # no terminal, or no login
        return ""


def _login_uid() -> int | None:
    with suppress(OSError, ValueError):
        uid = int(Path("/proc/self/loginuid").read_text())
        return None if uid == NO_LOGIN else uid
    return None


def _sudo(environ: Mapping[str, str]) -> str:
    name, uid = environ.get("SUDO_USER", ""), environ.get("SUDO_UID", "")
    return safe(f"{name} ({uid})" if uid else name, 80)


def _ssh(environ: Mapping[str, str]) -> str:
    """SSH_CONNECTION is client address, client port, server address, server port (ssh(1))."""
    return safe(" ".join(environ.get("SSH_CONNECTION", "").split()[:2]), 80)


def line_of(record: Record) -> bytes:
    """The record as it stands in the file, without its line end."""
    return msgspec.json.encode(record)


def record_of(line: bytes) -> Record | None:
    """What a line says; None where it is no record of this version."""
    try:
        return msgspec.json.decode(line, type=Record)
    except UNDECODABLE:
        return None


def digest(line: bytes) -> str:
    """What the next line and the anchors know a line by."""
    return hashlib.sha256(line).hexdigest()
