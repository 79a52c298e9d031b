"""A docker or podman container, controlled with the runtime's own command line and seen through ``inspect``."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

from pacs_recover.errors import RecoverError
from pacs_recover.model import Activity, ServiceState
from pacs_recover.services.calls import LOOK, Answer, NoAnswer, TooLate, call
from pacs_recover.text import safe, seconds

GRACE = 15.0
"""Seconds that the runtime gets beyond the container's own time, to kill it and to clean up."""
POLL = 0.1
STOPPED_BY_SIGNAL = (130, 137, 143)
"""Exit codes of a process that ended by SIGINT, SIGKILL or SIGTERM: what a stop looks like."""
ABSENT = re.compile(r"no such (container|object)", re.IGNORECASE)

ACTIVITIES: dict[str, Activity] = {
    "running": "active",
    "restarting": "starting",
    "stopping": "starting",
    "removing": "starting",
    "created": "stopped",
    "configured": "stopped",
    "initialized": "stopped",
    "exited": "stopped",
    "stopped": "stopped",
    "dead": "failed",
}
"""State.Status of docker and podman in our words; any other (``paused``) cannot be judged."""


class Container:
    """One container; ``prefix`` is put before every call of the runtime."""

    def __init__(
        self,
        container: str,
        runtime: str = "docker",
        *,
        start_timeout: float = 60.0,
        stop_timeout: float = 60.0,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.container = container
        self.runtime = runtime
        self.start_timeout = start_timeout
        self.stop_timeout = stop_timeout
        self.prefix = prefix

    @property
    def name(self) -> str:
        """The container, as the site names it."""
        return self.container

    def state(self) -> ServiceState:
        """What ``inspect`` shows now; ``unknown`` with the reason where the runtime cannot be asked."""
        try:
            document = self._inspect()
        except NoAnswer as error:
            return ServiceState("unknown", error.message)
        return ServiceState("absent", "no such container") if document is None else judge(document)

    def start(self) -> str:
        """Start it. RecoverError with its last state when the runtime refuses."""
        try:
            answer = self._call(self.start_timeout, "start", self.container)
        except NoAnswer as error:
            raise RecoverError(f"{safe(self.container)}: {error.message}", self._log()) from error
        state = self.state()
        if answer.code:
            raise RecoverError(
                f"{safe(self.container)} did not start: {answer.complaint}; it is {state.detail}", self._log()
            )
        return f"{safe(self.container)} started: {state.detail}"

    def stop(self) -> str:
        """Stop it (its restart policy does not bring it back) and see it stopped. RecoverError when it is not.

        After the stop time-out the runtime kills it; a container that would be removed by its own stop is refused.
        """
        if self.state().activity == "absent":
            return f"{safe(self.container)} is not there"
        self._refuse_to_lose_it()
        deadline = time.monotonic() + self.stop_timeout + GRACE
        refused = self._ask_to_stop()
        while (state := self.state()).activity not in ("stopped", "failed", "absent") or state.pid:
            if refused or time.monotonic() > deadline:
                late = f" within {seconds(self.stop_timeout + GRACE)}"
                raise RecoverError(
                    f"{safe(self.container)} did not stop{refused or late}; it is {state.detail}", self._log()
                )
            time.sleep(POLL)
        return f"{safe(self.container)} stopped: {state.detail}"

    def environment(self) -> dict[str, str] | None:
        """The variables that the container was made with; None where it cannot be inspected. Values are secrets."""
        try:
            document = self._inspect()
            pairs = [entry.partition("=") for entry in (document or {})["Config"]["Env"] or ()]
        except (NoAnswer, KeyError, TypeError, AttributeError):
            return None
        return {name: value for name, _, value in pairs}

    def _refuse_to_lose_it(self) -> None:
        try:
            document = self._inspect() or {}
        except NoAnswer:
            return  # the stop says it better
        if document.get("HostConfig", {}).get("AutoRemove") and judge(document).activity in ("active", "starting"):
            raise RecoverError(
                f"{safe(self.container)} was made with --rm: a stop removes it, and nothing could start it again",
                "make the container without --rm, then plan again",
            )

    def _ask_to_stop(self) -> str:
        """Why the runtime refuses to; empty where it does not, even if it takes longer than we wait."""
        try:
            answer = self._call(
                self.stop_timeout + GRACE, "stop", "-t", str(max(1, round(self.stop_timeout))), self.container
            )
        except TooLate:
            return ""
        except NoAnswer as error:
            return f": {error.message}"
        return f": {answer.complaint}" if answer.code else ""

    def _inspect(self) -> dict[str, Any] | None:
        """What the runtime knows of it; None where there is no such container. NoAnswer."""
        answer = self._call(LOOK, "container", "inspect", self.container)
        if answer.code and ABSENT.search(answer.errors):
            return None
        try:
            found = json.loads(answer.output) if not answer.code else None
        except ValueError:
            found = None
        if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
            raise NoAnswer(f"{safe(self.runtime)} cannot be asked: {answer.complaint}")
        return found[0]

    def _call(self, limit: float, *words: str) -> Answer:
        return call([*self.prefix, self.runtime, *words], limit, {**os.environ, "LC_ALL": "C"})

    def _log(self) -> str:
        return f"see why: {safe(self.runtime)} logs --tail 50 {safe(self.container)}"


def judge(document: dict[str, Any]) -> ServiceState:
    """What the document of ``inspect`` means."""
    try:
        state, restarts = document["State"], int(document.get("RestartCount") or 0)
        status, code, pid = str(state["Status"]), int(state["ExitCode"]), int(state.get("Pid") or 0)
    except (KeyError, TypeError, ValueError):
        return ServiceState("unknown", "inspect shows no state")
    activity = ACTIVITIES.get(status, "unknown")
    if state.get("Restarting"):
        activity = "starting"
    if activity == "stopped" and code not in (0, *STOPPED_BY_SIGNAL):
        activity = "failed"
    words = [safe(status), f"pid {pid}" if pid else f"exit code {code}", f"RestartCount={restarts}"]
    health = (state.get("Health") or state.get("Healthcheck") or {}).get("Status")
    return ServiceState(
        activity, ", ".join(words + ([f"health {safe(health)}"] if health else [])), restarts, pid or None
    )
