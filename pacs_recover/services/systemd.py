"""A systemd unit, controlled with ``systemctl`` and believed only for what it then shows.

``systemctl start`` returns 0 for a process that dies a moment later, and a stop may leave it running: what counts is
``systemctl show``. Lines of the unit's journal are never read: they may hold patient data.
"""

from __future__ import annotations

import glob
import os
import pwd
import stat
import time
from collections.abc import Iterable, Iterator, Mapping

from pacs_recover.errors import RecoverError
from pacs_recover.model import Activity, ServiceState
from pacs_recover.services.calls import LOOK, Answer, NoAnswer, TooLate, call
from pacs_recover.services.variables import environment_file, printed
from pacs_recover.text import safe, seconds

STATE = (
    "ActiveState,SubState,Result,NRestarts,MainPID,LoadState,ExecMainStatus,TriggeredBy,"
    "User,Environment,EnvironmentFiles,PassEnvironment,UnsetEnvironment"
)
POLL = 0.1
"""Seconds between two looks while it stops."""
LARGEST_FILE = 1 << 20
"""Bytes of an environment file; a larger one is none."""

ACTIVITIES: Mapping[str, Activity] = {
    "active": "active",
    "activating": "starting",
    "reloading": "starting",
    "refreshing": "starting",
    "deactivating": "starting",
    "inactive": "stopped",
    "failed": "failed",
}
"""ActiveState in our words; ``starting`` is every state on the way to another one."""


class Systemd:
    """One unit of the system's systemd; ``prefix`` is put before every ``systemctl``, to reach another one."""

    def __init__(
        self, unit: str, *, start_timeout: float = 60.0, stop_timeout: float = 60.0, prefix: tuple[str, ...] = ()
    ) -> None:
        self.unit = unit
        self.start_timeout = start_timeout
        self.stop_timeout = stop_timeout
        self.prefix = prefix

    @property
    def name(self) -> str:
        """The unit, without the suffix of a service."""
        return self.unit.removesuffix(".service")

    def state(self) -> ServiceState:
        """What systemd shows of it now; ``unknown`` with the reason where systemd cannot be asked."""
        try:
            return judge(self._show())
        except NoAnswer as error:
            return ServiceState("unknown", error.message)

    def start(self) -> str:
        """Start it, however often it failed before. RecoverError with its last state when systemd refuses.

        Its failures are forgotten first: the limit on starts (start-limit-hit) must not stand in the way of a recovery.
        """
        state = self.state()
        if state.activity == "absent":
            raise RecoverError(f"{safe(self.unit)} cannot be started: {state.detail}", self._remedy(state))
        try:
            self._systemctl(LOOK, "reset-failed")
            answer = self._systemctl(self.start_timeout, "start")
        except NoAnswer as error:
            raise RecoverError(
                f"{safe(self.unit)}: {error.message}; it is {self.state().detail}", self._log()
            ) from error
        if answer.code:
            state = self.state()
            hint = self._remedy(state) if state.activity == "absent" else self._log()
            raise RecoverError(f"{safe(self.unit)} did not start: {answer.complaint}; it is {state.detail}", hint)
        return f"{safe(self.unit)} started: {self.state().detail}"

    def stop(self) -> str:
        """Stop it and see that no process of it is left. RecoverError when it does not stop in time."""
        deadline = time.monotonic() + self.stop_timeout
        if self.state().activity == "absent":
            return f"{safe(self.unit)} is not installed"
        refused = self._ask_to_stop()
        while not _is_stopped(state := self.state()):
            if refused or time.monotonic() > deadline:
                raise RecoverError(
                    f"{safe(self.unit)} did not stop{refused or f' within {seconds(self.stop_timeout)}'}; "
                    f"it is {state.detail}",
                    f"see: systemctl status {safe(self.unit)}; its TimeoutStopSec says when systemd kills it",
                )
            time.sleep(POLL)
        return f"{safe(self.unit)} stopped: {state.detail}"

    def _ask_to_stop(self) -> str:
        """Why systemd refuses to; empty where it does not, even if it takes longer than we wait."""
        try:
            answer = self._systemctl(self.stop_timeout, "stop")
        except TooLate:
            return ""
        except NoAnswer as error:
            return f": {error.message}"
        return f": {answer.complaint}" if answer.code else ""

    def environment(self) -> dict[str, str] | None:
        """The variables that its processes get; None where a part of them cannot be read. Values are secrets.

        Later ones win: systemd's own, those of the user, Environment=, EnvironmentFile=; UnsetEnvironment= last.
        """
        try:
            shown = self._show()
            inherited = self._systemctl(LOOK, "show-environment", unit=False)
            files = _read_files(shown["EnvironmentFiles"].splitlines())
        except (NoAnswer, OSError, ValueError):
            return None
        if shown["LoadState"] != "loaded" or inherited.code:
            return None
        found = printed(inherited.output) | _of_user(shown["User"]) | printed(shown["Environment"]) | files
        if not set(shown["PassEnvironment"].split()) <= set(found):
            return None  # those come from systemd's own process, into which we do not look
        unset = shown["UnsetEnvironment"].split()
        return {name: value for name, value in found.items() if not {name, f"{name}={value}"} & set(unset)}

    def _show(self) -> dict[str, str]:
        """The unit's properties; one that is given several times holds a line for each. NoAnswer."""
        answer = self._systemctl(LOOK, "show", f"--property={STATE}")
        if answer.code:
            raise NoAnswer(f"systemd cannot be asked: {answer.complaint}")
        shown = dict.fromkeys(STATE.split(","), "")
        for line in answer.output.splitlines():
            name, _, value = line.partition("=")
            shown[name] = f"{shown[name]}\n{value}" if shown.get(name) else value
        return shown

    def _systemctl(self, limit: float, *words: str, unit: bool = True) -> Answer:
        argv = [
            *self.prefix,
            "systemctl",
            "--no-pager",
            "--no-ask-password",
            *words,
            *(["--", self.unit] if unit else []),
        ]
        return call(argv, limit, {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"})

    def _log(self) -> str:
        return f"see why: journalctl -u {safe(self.unit)}"

    def _remedy(self, state: ServiceState) -> str:
        if state.detail.startswith("masked"):
            return f"systemctl unmask {safe(self.unit)}"
        return "install the service first, or correct the unit's name in the site file"


def judge(shown: Mapping[str, str]) -> ServiceState:
    """What a unit's properties mean. What runs counts, even where its unit file is masked or gone."""
    pid = int(shown["MainPID"]) if shown["MainPID"].isdigit() else 0
    restarts = int(shown["NRestarts"]) if shown["NRestarts"].isdigit() else None
    activity = ACTIVITIES.get(shown["ActiveState"], "unknown")
    loaded = shown["LoadState"]
    if activity in ("stopped", "failed") and loaded != "loaded":
        activity = "absent" if loaded in ("not-found", "masked") else "unknown"
    return ServiceState(activity, ", ".join(_words(shown, pid)), restarts, pid or None)


def _words(shown: Mapping[str, str], pid: int) -> Iterator[str]:
    if shown["LoadState"] != "loaded":
        yield shown["LoadState"]
    yield f"{shown['ActiveState']}/{shown['SubState']}"
    if pid:
        yield f"pid {pid}"
    if shown["NRestarts"]:
        yield f"NRestarts={shown['NRestarts']}"
    if shown["Result"] not in ("", "success"):
        yield f"Result={shown['Result']}, exit status {shown['ExecMainStatus']}"
    if shown["TriggeredBy"]:
        yield f"triggered by {safe(shown['TriggeredBy'])}"


def _is_stopped(state: ServiceState) -> bool:
    return state.activity in ("stopped", "failed", "absent") and state.pid is None


def _of_user(user: str) -> dict[str, str]:
    """What systemd tells a process about the user that it runs as. ValueError where there is no such user."""
    if not user:
        return {}
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError as error:
        raise ValueError("no such user") from error
    found = {"LOGNAME": entry.pw_name, "USER": entry.pw_name, "HOME": entry.pw_dir, "SHELL": entry.pw_shell}
    login = entry.pw_shell.rpartition("/")[2] not in ("nologin", "false", "true")
    return {name: value for name, value in found.items() if value not in ("", "/") and (login or name != "SHELL")}


def _read_files(lines: Iterable[str]) -> dict[str, str]:
    """The assignments of all environment files, in order. OSError, ValueError for one that is needed and unreadable."""
    found: dict[str, str] = {}
    for line in lines:
        pattern, _, optional = line.rpartition(" (ignore_errors=")
        paths = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207 - absolute ones
        if not paths and optional != "yes)":
            raise FileNotFoundError(pattern)
        for path in paths:
            found |= _read_file(path, optional == "yes)")
    return found


def _read_file(path: str, optional: bool) -> dict[str, str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if optional:
            return {}
        raise
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a file")
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError("too large")
    return environment_file(content.decode())
