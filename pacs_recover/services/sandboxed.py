"""A service run for a drill: in a sandbox with copies for live files and a network of nothing but its own loopback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from pacs_recover.errors import RecoverError
from pacs_recover.model import Service, ServiceState
from pacs_recover.services.bubblewrap import Box, as_user, bubblewrap
from pacs_recover.services.calls import LOOK, NoAnswer, call
from pacs_recover.services.inside import Inside
from pacs_recover.services.isolation import must_be_isolated
from pacs_recover.text import safe, seconds

POLL = 0.1
SETTLED = 20.0
"""Seconds that bubblewrap may take to build the sandbox."""


class Sandboxed(Service, Protocol):
    """A service that runs in a sandbox and can be asked in there."""

    isolation: str
    """The evidence that it is shut in; empty before its start."""

    def inside(self) -> Inside:
        """The prober in its network. RecoverError where it does not run."""
        ...

    def close(self) -> None:
        """End it and all that is in its sandbox, whatever state it is in."""
        ...


class Process:
    """A process under bubblewrap; it dies with ours, ``kill -9`` included."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.isolation = ""
        self._bwrap: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._inside: Inside | None = None

    @property
    def name(self) -> str:
        """What the site calls it."""
        return self.box.name

    def state(self) -> ServiceState:
        """Whether the sandboxed process runs."""
        if self._bwrap is None:
            return ServiceState("stopped", "not started in the sandbox")
        code = self._bwrap.poll()
        if code is None:
            return ServiceState("active", f"running in the sandbox, pid {self._init}", None, self._init)
        return ServiceState("failed", f"ended by itself in the sandbox, exit {code}")

    def start(self) -> str:
        """Build the sandbox, see from outside that it is shut, and only then let the program run. RecoverError."""
        self.close()
        go = self._build()
        try:
            self.isolation = must_be_isolated(self._init, self.box.copies, self.box.hidden)
            os.write(go, b"go")
        except BaseException:
            self.close()
            raise
        finally:
            os.close(go)
        return f"{safe(self.name)} started in a sandbox: {self.isolation}"

    def _build(self) -> int:
        """Bubblewrap, waiting with everything mounted; the descriptor that lets it go on."""
        waiting, go = os.pipe()
        told, telling = os.pipe()
        argv = [*bubblewrap(self.box), "--info-fd", str(telling), "--block-fd", str(waiting), "--", *as_user(self.box)]
        try:
            self._bwrap = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # it may hold patient data
                stderr=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                cwd="/",
                pass_fds=(waiting, telling),
            )
        except OSError as error:
            os.close(go)
            raise RecoverError(f"bwrap cannot be run: {error.strerror}", "install bubblewrap") from error
        finally:
            os.close(waiting)
            os.close(telling)
        try:
            self._init = _child(told)
            self._wait_until_built()
        except BaseException:
            os.close(go)
            self.close()
            raise
        finally:
            os.close(told)
        return go

    def _wait_until_built(self) -> None:
        """Its first process has changed its root once everything is mounted."""
        deadline = time.monotonic() + SETTLED
        while not _is_built(self._init, self.box):
            if time.monotonic() > deadline or self._bwrap is None or self._bwrap.poll() is not None:
                raise RecoverError(
                    "bubblewrap could not build the sandbox", "try: bwrap --unshare-net --ro-bind / / true"
                )
            time.sleep(0.01)

    def stop(self) -> str:
        """Ask it to end, wait, kill it; it is gone after this."""
        if self.state().activity != "active":
            self.close()
            return f"{safe(self.name)}: nothing runs in the sandbox"
        for pid in _children(self._init):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)
        assert self._bwrap is not None
        how = "ended"
        try:
            self._bwrap.wait(self.box.stop_timeout)
        except subprocess.TimeoutExpired:
            how = f"killed after {seconds(self.box.stop_timeout)}"
        self.close()
        return f"{safe(self.name)} {how} in the sandbox"

    def environment(self) -> dict[str, str] | None:
        """The variables that it is run with."""
        return dict(self.box.environment)

    def inside(self) -> Inside:
        """The prober in its network. RecoverError where it does not run."""
        if self.state().activity != "active":
            raise RecoverError(f"{safe(self.name)}: {self.state().detail}", "nothing can be asked")
        if self._inside is None or self._inside.process.poll() is not None:
            self._inside = Inside.of(self._init)
        return self._inside

    def close(self) -> None:
        """Kill everything in the sandbox: its processes end with the first one of their namespace."""
        if self._inside is not None:
            self._inside.close()
            self._inside = None
        if self._bwrap is not None:
            with suppress(ProcessLookupError, PermissionError):
                if self._init and self._bwrap.poll() is None:
                    os.kill(self._init, signal.SIGKILL)
            self._bwrap.kill()
            self._bwrap.wait()
            self._bwrap = None
            _wait_until_dead(self._init)


def _child(told: int) -> int:
    """The sandbox's first process, as bubblewrap tells it. RecoverError where it tells nothing."""
    said = bytearray()
    while data := os.read(told, 4096):
        said += data
    try:
        return int(msgspec.json.decode(bytes(said))["child-pid"])
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise RecoverError(
            "bubblewrap could not make the sandbox's namespaces", "try: bwrap --unshare-net --ro-bind / / true"
        ) from error


def _is_built(pid: int, box: Box) -> bool:
    root = Path(f"/proc/{pid}/root")
    try:
        return all((root / place.relative_to("/")).samefile(copy) for place, copy in box.copies.items())
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _wait_until_dead(pid: int) -> None:
    """A namespace's first process is dead only when all others in it are."""
    deadline = time.monotonic() + SETTLED
    while pid and _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def missing() -> str:
    """Why no process can be shut in on this host; empty where one can."""
    for program, package in (("bwrap", "bubblewrap"), ("setpriv", "util-linux")):
        if not shutil.which(program):
            return f"{program} is not installed (package {package})"
    try:
        done = call(["bwrap", "--unshare-net", "--unshare-pid", "--ro-bind", "/", "/", "true"], LOOK)
    except NoAnswer as error:
        return error.message
    return f"bubblewrap cannot make a sandbox here: {done.complaint}" if done.code else ""
