"""A service that the site controls with commands of its own: start, stop and, for proof, status."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence

from pacs_recover.errors import RecoverError
from pacs_recover.model import Activity, ServiceState
from pacs_recover.services.calls import LOOK, NoAnswer, call
from pacs_recover.text import safe, seconds

POLL = 0.1
STATUS: Mapping[int, tuple[Activity, str]] = {
    0: ("active", "running"),
    1: ("failed", "dead, its PID file is left"),
    2: ("failed", "dead, its lock file is left"),
    3: ("stopped", "not running"),
}
"""Exit codes of a status command (Linux Standard Base Core 5.0, 22.2 Init Script Actions); others tell nothing."""
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "XDG_RUNTIME_DIR")
"""Variables of ours that its commands get; what else is in an operator's shell is no business of a service."""
KEPT_PREFIXES = ("LC_", "DOCKER_", "CONTAINER_", "DBUS_")
"""Beginnings of more of them: the language, and how other programs reach what runs the service."""


class Command:
    """One service behind commands, each an argument list; what they print is not kept: it may hold patient data."""

    def __init__(
        self,
        name: str,
        start: Sequence[str],
        stop: Sequence[str],
        status: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        *,
        start_timeout: float = 60.0,
        stop_timeout: float = 60.0,
    ) -> None:
        self._name = name
        self._start = tuple(start)
        self._stop = tuple(stop)
        self._status = tuple(status)
        self._environment = environment
        self.start_timeout = start_timeout
        self.stop_timeout = stop_timeout

    @property
    def name(self) -> str:
        """What the site calls it."""
        return self._name

    def state(self) -> ServiceState:
        """What the status command's exit code says; ``unknown`` where there is none or it says nothing."""
        if not self._status:
            return ServiceState("unknown", "the site names no status command")
        try:
            code = self._run(self._status, LOOK)
        except NoAnswer as error:
            return ServiceState("unknown", f"status command: {error.message}")
        activity, words = STATUS.get(code, ("unknown", "which tells nothing"))
        return ServiceState(activity, f"{words} (status command: exit {code})")

    def start(self) -> str:
        """Run the start command, which must return. RecoverError when it fails or does not."""
        code = self._do("start", self._start, self.start_timeout)
        state = self.state()
        if code:
            raise RecoverError(
                f"{safe(self.name)} did not start: exit {code} of {safe(self._start[0])}; it is {state.detail}",
                f"run it by hand to see why: {_words(self._start)}",
            )
        return f"{safe(self.name)} started: {state.detail}"

    def stop(self) -> str:
        """Run the stop command, then see it stopped where there is a status command. RecoverError when it is not."""
        deadline = time.monotonic() + self.stop_timeout
        code = self._do("stop", self._stop, self.stop_timeout)
        while (state := self.state()).activity not in ("stopped", "failed"):
            if not self._status and not code:
                return f"{safe(self.name)}: the stop command succeeded; {state.detail}"
            if code or time.monotonic() > deadline:
                why = f"exit {code} of {safe(self._stop[0])}" if code else f"not within {seconds(self.stop_timeout)}"
                raise RecoverError(
                    f"{safe(self.name)} did not stop: {why}; it is {state.detail}",
                    f"run it by hand to see why: {_words(self._stop)}",
                )
            time.sleep(POLL)
        return f"{safe(self.name)} stopped: {state.detail}"

    def environment(self) -> dict[str, str] | None:
        """The variables that the site declares for it; None where it declares none."""
        return None if self._environment is None else dict(self._environment)

    def _do(self, verb: str, argv: Sequence[str], limit: float) -> int:
        try:
            return self._run(argv, limit)
        except NoAnswer as error:
            raise RecoverError(
                f"{safe(self.name)}: the {verb} command {error.message}; it is {self.state().detail}",
                f"it must end by itself; run it by hand to see why: {_words(argv)}",
            ) from error

    def _run(self, argv: Sequence[str], limit: float) -> int:
        """Its output goes nowhere: a daemon that it leaves behind may keep writing into what it inherited."""
        kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
        return call(argv, limit, kept | dict(self._environment or {}), quiet=True).code


def _words(argv: Sequence[str]) -> str:
    return safe(shlex.join(argv))
