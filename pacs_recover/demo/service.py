"""The stand-in service of the demo: ``python -m pacs_recover.demo.service {run|start|stop|status} --root DIR``.

DIR holds ``etc/pacs_bridge/config.yaml``. It behaves as ``systemctl`` does towards its caller: ``start`` returns 0 at
once, even for a process that dies a moment later, and ``status`` answers with the codes of an LSB init script.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

RUNNING, DEAD, STOPPED, UNKNOWN = 0, 1, 3, 4
"""LSB: running; dead but its PID file is there; not running; not known."""
STOP_TIMEOUT = 15.0
"""Seconds that a stop waits for the process to end."""


class PidFile:
    """Who runs here: the process holds a lock on the file for its life, so a stale number in it misleads nobody."""

    def __init__(self, root: Path) -> None:
        (root / "run").mkdir(mode=0o700, exist_ok=True)
        self.path = root / "run/pacs_bridge.pid"
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def take(self) -> bool:
        """Lock it for the life of the service; False while one holds it."""
        for _ in range(10):  # past who only looks
            if self._lock(fcntl.LOCK_EX):
                return True
            time.sleep(0.01)
        return False

    def is_held(self) -> bool:
        """Whether a service holds it; lookers share their lock, so they never mistake each other for one."""
        if not self._lock(fcntl.LOCK_SH):
            return True
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        return False

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self.descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def write(self, pid: int | None) -> None:
        """Note a process, or that the last one ended well (an empty file)."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{pid}\n".encode() if pid else b"", 0)

    def read(self) -> int | None:
        """The number in it; None where there is none."""
        text = os.pread(self.descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else None


def run(root: Path, lock: int | None = None) -> int:
    """Serve in the foreground until stopped; ``lock`` is the locked PID file as inherited from ``start``."""
    from pacs_recover.demo.bridge import run_with  # deferred: starting, stopping and asking are to be quick

    pid_file = PidFile(root)
    if lock is None:
        if not pid_file.take():
            return _say("already running", 1)
        pid_file.write(os.getpid())
    trouble = run_with(root / "etc/pacs_bridge/config.yaml")
    if trouble:
        return _say(trouble, 1)
    pid_file.write(None)
    return 0


def start(root: Path) -> int:
    """Start it in a session of its own and return at once."""
    pid_file = PidFile(root)
    if not pid_file.take():
        return 0
    pid_file.write(None)
    command = [sys.executable, "-P", "-m", "pacs_recover.demo.service", "run", "--root", str(root)]
    with open(_last_words(root), "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as output:
        child = subprocess.Popen(
            [*command, "--lock", str(pid_file.descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(pid_file.descriptor,),
            cwd=root,
        )
    pid_file.write(child.pid)
    child.returncode = 0  # it is not ours to wait for
    return 0


def stop(root: Path) -> int:
    """Ask it to end and wait until it has; nothing to stop is fine."""
    pid_file = PidFile(root)
    asked, deadline = False, time.monotonic() + STOP_TIMEOUT
    while not pid_file.take():
        pid = pid_file.read()
        if pid and not asked:
            os.kill(pid, signal.SIGTERM)
            asked = True
        if time.monotonic() > deadline:
            return _say(f"still running {STOP_TIMEOUT:g} s after it was asked to stop", 1)
    pid_file.write(None)
    return 0


def status(root: Path) -> int:
    """Say in one line what it does; the LSB code."""
    pid_file = PidFile(root)
    pid = pid_file.read()
    if pid_file.is_held():
        return _report(f"running, pid {pid}", RUNNING)
    if pid is None:
        return _report("stopped", STOPPED)
    return _report(f"dead, was pid {pid}: {_last_line(root)}", DEAD)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(prog="pacs_recover.demo.service", description="The demo's stand-in service.")
    parser.add_argument("verb", choices=("run", "start", "stop", "status"))
    parser.add_argument("--root", type=Path, required=True, help="the directory that holds etc/ and var/")
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if options.verb == "run":
            return run(options.root.resolve(), options.lock)
        return {"start": start, "stop": stop, "status": status}[options.verb](options.root.resolve())
    except OSError as error:
        return _say(f"{options.verb}: {error}", UNKNOWN)


def _last_words(root: Path) -> Path:
    return root / "run/pacs_bridge.out"


def _last_line(root: Path) -> str:
    try:
        return _last_words(root).read_text(errors="replace").strip().rpartition("\n")[2] or "it said nothing"
    except OSError:
        return "it said nothing"


def _say(line: str, code: int) -> int:
    sys.stderr.write(f"pacs_bridge: {line}\n")
    return code


def _report(line: str, code: int) -> int:
    sys.stdout.write(f"pacs_bridge is {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
