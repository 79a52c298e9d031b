"""The real ``pacs-recover`` from outside: as a command in a pipe, and on a terminal of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pacs_recover import arming, selection
from pacs_recover import plan as plans
from pacs_recover.cli.context import Context
from pacs_recover.state import JOURNAL
from pacs_recover.target.lock import read_mark
from tests import leaks
from tests.runs.small_site import SmallSite

INSTALLED = Path(sys.executable).parent / "pacs-recover"
COMMAND = [str(INSTALLED)] if INSTALLED.exists() else [sys.executable, "-m", "pacs_recover"]
PATIENCE = 60.0
"""Seconds after which something that should happen did not."""


def environment(**more: str) -> dict[str, str]:
    """Ours without what would change the output."""
    odd = ("PACS_RECOVER_SITE", "COLUMNS", "LINES", "SUDO_USER", "XDG_STATE_HOME")
    return {k: v for k, v in os.environ.items() if k not in odd} | {"TZ": "UTC", "USER": "tester"} | more


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The error of its JSON document."""
        found: dict[str, Any] = self.json["error"]
        assert set(found) == {"message", "hint", "exit_code"}
        assert found["exit_code"] == self.code
        return found


@dataclass
class Shell:
    """Runs ``pacs-recover`` with the site and state directory of a small site."""

    small: SmallSite
    options: Sequence[str] = ()
    """Instead of the site's own ``--site`` and ``--state``."""
    env: dict[str, str] = field(default_factory=dict)

    def argv(self, words: Sequence[str]) -> list[str]:
        """The whole command."""
        own = ("--site", str(self.small.demo.site_file), "--state", str(self.small.root / "state"))
        return [*COMMAND, *(self.options or own), *map(str, words)]

    def __call__(self, *words: str, code: int | None = None, **options: Any) -> Done:
        """Run it in a pipe; with ``code`` it has to end with that."""
        done = subprocess.run(
            self.argv(words),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment(**self.env),
            timeout=PATIENCE,
            check=False,
            **options,
        )
        found = Done(done.returncode, done.stdout, done.stderr)
        leaks.refuse(found.out + found.err, " ".join(words), self.small.demo.key_file)
        assert "Traceback" not in found.err, found.err
        assert code in (None, found.code), found
        return found

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Run it in a pipe, beside us."""
        return subprocess.Popen(
            self.argv(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**self.env),
        )

    def plan(self, *words: str, backup: str = "") -> str:
        """The id of a plan, made in this process: quicker than the command, which has tests of its own."""
        given = dict(zip(self.argv(())[len(COMMAND) :: 2], self.argv(())[len(COMMAND) + 1 :: 2], strict=True))
        context = Context(Path(given["--site"]), Path(given["--state"]), False)
        made = plans.make(
            context.site, selection.select(context.catalog(), words, (backup,) if backup else ()), context.state
        )
        arming.save(made, context.state, context.authority)
        return made.plan_id

    def restored(self, *words: str) -> str:
        """The name of a run that restored this."""
        lines = self("restore", "--yes", "--plan", self.plan(*words), "--json", code=0).lines
        return str(lines[0]["run"])

    @contextmanager
    def terminal(self, *words: str) -> Iterator[Terminal]:
        """Run it on a terminal."""
        terminal = Terminal(self.argv(words), environment(**self.env))
        try:
            yield terminal
        finally:
            terminal.close()


class Terminal:
    """A command with a controlling terminal of 80 columns; what it printed, and keys to type."""

    def __init__(self, argv: Sequence[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.seen = ""
        self._told = 0
        """How much of it an ``expect`` has passed."""

    def type(self, text: str) -> None:
        """Type this."""
        os.write(self.master, text.encode())

    def expect(self, text: str) -> None:
        """Wait until this was printed, after what was expected before."""
        end = time.monotonic() + PATIENCE
        while (found := self.seen.find(text, self._told)) < 0:
            assert time.monotonic() < end, f"{text!r} never came:\n{self.seen}"
            assert self._read(0.2), f"{text!r} never came, it ended:\n{self.seen}"
        self._told = found + len(text)

    def ends(self) -> int:
        """Wait for its end: its exit code."""
        end = time.monotonic() + PATIENCE
        while self._read(0.2):
            assert time.monotonic() < end, f"it never ended:\n{self.seen}"
        return self.process.wait(PATIENCE)

    def _read(self, wait: float) -> bool:
        """Take what is there; whether more can come."""
        ready, _, _ = select.select([self.master], [], [], wait)
        try:
            data = os.read(self.master, 65536) if ready else b""
        except OSError:  # EIO: nobody holds the other end any more
            return False
        self.seen += data.decode(errors="replace")
        return bool(data) or not ready

    def close(self) -> None:
        """The terminal goes away; what it showed must be no secret."""
        leaks.refuse(self.seen, "the terminal")
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


def edited(small: SmallSite, **changes: Any) -> Path:
    """A copy of the site file with other settings."""
    path = small.root / "other.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(small.demo.site_file.read_text()) | changes))
    path.chmod(0o600)
    return path


def with_site(small: SmallSite, **changes: Any) -> Shell:
    """A shell whose site file has other settings."""
    return Shell(small, ("--site", str(edited(small, **changes)), "--state", str(small.root / "state")))


@dataclass
class Gate:
    """A service whose start waits until the gate is opened: a run that is met while it runs, however slow the host."""

    small: SmallSite

    @property
    def shell(self) -> Shell:
        """A shell for a site that waits for such a service."""
        self.small.on_start(f"while [ ! -e {self.small.control}/open ]; do sleep 0.05; done\n")
        return with_site(self.small, start_timeout="60s")

    def open(self) -> None:
        """Let the service start."""
        (self.small.control / "open").touch()

    def reached(self) -> None:
        """Wait until a run waits at it."""
        until(lambda: journalled(self.small, '"title":"Start the services"'))


def worker_pid(small: SmallSite) -> int:
    """The process id that the lock file names."""
    marks = [mark for path in small.live.rglob("*.lock") if (mark := read_mark(path))]
    return marks[0].pid


def kill_worker(small: SmallSite) -> None:
    """kill -9 of the worker, seen dead."""
    pid = worker_pid(small)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Any) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def journalled(small: SmallSite, text: str) -> bool:
    """Whether the newest run's journal says this."""
    runs = sorted((small.root / "state/runs").glob("*"))
    journal = runs[-1] / JOURNAL if runs else None
    return journal is not None and journal.exists() and text in journal.read_text()


def risky(small: SmallSite) -> None:
    """A message that arrived after every backup, and has not been sent."""
    with sqlite3.connect(small.queue) as connection:
        connection.execute(
            "INSERT INTO message_queue (id, destination, payload, created_at, scheduled_at)"
            " VALUES ('new', 'RIS', 'x', '2026-01-01 00:00:00.000', '2026-01-01 00:00:00.000')"
        )
    connection.close()
