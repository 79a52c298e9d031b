"""Running git so that it asks nobody, takes no settings but ours, changes nothing and ends in time."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pacs_recover.errors import RecoverError, SourceError
from pacs_recover.services.calls import Answer, call
from pacs_recover.text import safe, seconds

LOOK = 10.0
"""Seconds that a question about a repository on this host may take."""
SILENCE = 30.0
"""Seconds without a byte after which a git that is being read from is given up."""
CONNECT = 7
"""Seconds to reach a remote host: less than the catalog waits for a source, so that the cause is still told."""
PIPE = 1 << 16
"""Bytes that are read at once: what a pipe holds."""
PROGRESS = re.compile(r"(?:remote: )*(?:.* [0-9]+% \(.*|.*%|.*done\.|(?:Total|Enumerating objects|To) .*)")
"""Lines that tell of no cause."""
TAIL = 8192
"""Bytes of complaints that are kept."""
KEPT = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
"""The caller's settings of git that are kept: the authorities of a site's own https server."""
SSH_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT),
    "ConnectionAttempts": "1",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",  # it would write known_hosts
    "PermitLocalCommand": "no",
    "ClearAllForwardings": "yes",
    "ControlMaster": "no",
}
SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.alternateRefsCommand": "",
    "core.commitGraph": "false",  # a cache that may be stale or damaged
    "core.askPass": "",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": str(CONNECT),
}


def environment(**own: str) -> dict[str, str]:
    """The caller's variables without any that steers git or asks a person, and ours; no protocol is allowed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or not name.startswith(("GIT_", "SSH_ASKPASS", "LC_", "LANGUAGE"))
    }
    return kept | {
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_SSH_COMMAND": " ".join(["ssh", *(f"-o {name}={value}" for name, value in SSH_OPTIONS.items())]),
        "GIT_SSH_VARIANT": "ssh",
        "GIT_TERMINAL_PROMPT": "0",
        **own,
    }


def command(*words: str, trusted: str = "") -> list[str]:
    """A call of git; ``trusted`` is a directory that another user may own, which git would not read for root."""
    settings = SETTINGS | ({"safe.directory": trusted} if trusted else {})
    given = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    return ["git", "--no-pager", *given, *words]


def ask(argv: Sequence[str], variables: Mapping[str, str]) -> Answer:
    """A short question, answered whole. SourceError where git cannot be run or does not end in time."""
    try:
        return call(argv, LOOK, variables)
    except RecoverError as error:
        raise SourceError(
            error.message, "is git installed, and is the disk or share of the repository mounted?"
        ) from error


class Running:
    """A git that is read from while it runs; nothing it prints is held but what is asked for."""

    def __init__(self, argv: Sequence[str], variables: Mapping[str, str], silence: float = SILENCE) -> None:
        self.silence = silence
        self._rest = b""
        self._errors = os.memfd_create("errors")
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=variables,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            os.close(self._errors)
            raise not_installed(error) from error

    def tell(self, line: bytes) -> None:
        """Hand it a line. SourceError where it has ended."""
        assert self._process.stdin
        try:
            self._process.stdin.write(line + b"\n")
        except OSError as error:
            raise SourceError(f"git ended: {self.complaint()}", "try again; see: git fsck") from error

    def read(self, n: int) -> bytes:
        """At most ``n`` bytes of its output; nothing only at the end. SourceError where it is silent for too long."""
        self._rest = self._rest or self._more()
        piece, self._rest = self._rest[:n], self._rest[n:]
        return piece

    def until(self, mark: bytes, keep: int) -> bytes:
        """Its output up to a mark, which is left out, or to its end; no more of it than ``keep`` bytes. SourceError."""
        said = b""
        while rest := self._rest or self._more():
            piece, found, self._rest = rest.partition(mark)
            said += piece[: keep - len(said)]
            if found:
                break
        return said

    def _more(self) -> bytes:
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        if not ready(descriptor, self.silence):
            raise SourceError(f"git said nothing for {seconds(self.silence)}", "does the disk or share answer?")
        return os.read(descriptor, PIPE)

    def ended_well(self) -> bool:
        """Whether it ended by itself and without an error, once its output is read to the end."""
        try:
            return self._process.wait(self.silence) == 0
        except subprocess.TimeoutExpired:
            return False

    def complaint(self) -> str:
        """What it printed on its standard error, in short and harmless."""
        return complaint(os.pread(self._errors, TAIL, 0))

    def close(self) -> None:
        """End it, whatever it does."""
        end(self._process)
        os.close(self._errors)


def watched(argv: Sequence[str], variables: Mapping[str, str], silence: float, longest: float) -> str:
    """Run a git that reports its progress; what it complained of, nothing where all went well. SourceError."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=variables,
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise not_installed(error) from error
    try:
        return _heard(process, silence, time.monotonic() + longest)
    finally:
        end(process)


def _heard(process: subprocess.Popen[bytes], silence: float, until: float) -> str:
    assert process.stderr
    descriptor, said = process.stderr.fileno(), b""
    while ready(descriptor, min(silence, until - time.monotonic())):
        piece = os.read(descriptor, TAIL)
        if not piece:
            code = process.wait(silence)
            return "" if code == 0 else complaint(said) or f"exit {code}"
        said = (said + piece)[-TAIL:]
    raise SourceError("it does not answer, or too slowly", "is the host up, and is the way to it open?")


def ready(descriptor: int, limit: float) -> bool:
    """Whether something can be read (its end, too) within so many seconds."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return limit > 0 and bool(poll.poll(limit * 1000))


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of it and of what it started, and close its pipes."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with suppress(OSError):
                pipe.close()


def complaint(said: bytes) -> str:
    """The lines that tell a cause; progress and empty ones are left out."""
    lines = (line.strip() for line in said.decode(errors="replace").replace("\r", "\n").splitlines())
    return safe("; ".join(line for line in lines if line and not PROGRESS.fullmatch(line)), 1000)


def not_installed(error: OSError) -> SourceError:
    """What to tell where there is no git to run."""
    return SourceError(f"git cannot be run: {error.strerror}", "install git on this host (2.32 or later)")
