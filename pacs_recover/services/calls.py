"""Running the programs that control a service: bounded in time, and never held up by a daemon they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pacs_recover.errors import RecoverError
from pacs_recover.text import safe, seconds

LONGEST = 1 << 20
"""Bytes of output that are read; what follows is left alone."""
LOOK = 10.0
"""Seconds that a question about a service may take."""
REAP = 5.0
"""Seconds that a killed program gets to disappear; one stuck in the kernel does not hold us up longer."""


class NoAnswer(RecoverError):
    """A program could not be run, or did not end in time."""


class TooLate(NoAnswer):
    """A program did not end in time and was killed."""


@dataclass(frozen=True)
class Answer:
    """How a program ended and what it printed."""

    code: int
    output: str = ""
    errors: str = ""

    @property
    def complaint(self) -> str:
        """The first line on its standard error, made harmless; the exit code where there is none."""
        return next((safe(line.strip()) for line in self.errors.splitlines() if line.strip()), f"exit {self.code}")


def call(
    argv: Sequence[str], limit: float, environment: Mapping[str, str] | None = None, *, quiet: bool = False
) -> Answer:
    """Run a program to its end, for at most ``limit`` seconds, in a session of its own. NoAnswer, TooLate.

    Its output goes into memory and not into pipes: a daemon that it leaves behind may keep those open for ever.
    ``quiet`` drops the output: a daemon would go on filling that memory.
    """
    if quiet:
        return Answer(_run(argv, limit, environment, subprocess.DEVNULL, subprocess.DEVNULL))
    output, errors = os.memfd_create("output"), os.memfd_create("errors")
    try:
        code = _run(argv, limit, environment, output, errors)
        return Answer(code, _text(output), _text(errors))
    finally:
        os.close(output)
        os.close(errors)


def _run(argv: Sequence[str], limit: float, environment: Mapping[str, str] | None, output: int, errors: int) -> int:
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=environment,
            cwd="/",
            start_new_session=True,
            umask=0o022,
        )
    except OSError as error:
        raise NoAnswer(f"{safe(argv[0])} cannot be run: {error.strerror}", "see that it is installed") from error
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired as error:
        raise TooLate(f"{safe(argv[0])} did not end within {seconds(limit)}", "run it by hand to see why") from error
    finally:
        if process.poll() is None:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it and what it started, in its session's first group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(REAP)


def _text(descriptor: int) -> str:
    return os.pread(descriptor, LONGEST, 0).decode(errors="surrogateescape")
