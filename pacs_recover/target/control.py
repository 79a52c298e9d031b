"""The services of the site, as a restore needs them: stopped, started, seen to answer, watched, returned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from pacs_recover.errors import RecoverError, RollbackIncomplete
from pacs_recover.events import Effect
from pacs_recover.journal import Journal
from pacs_recover.model import Activity, Amount, Service, ServiceState, Work
from pacs_recover.services.health import Health
from pacs_recover.services.steady import steady
from pacs_recover.site import Site
from pacs_recover.target.undo import ReturnTo, StopAgain, journalled
from pacs_recover.text import safe, seconds

POLL = 0.5
"""Seconds between two looks at a service."""


def answer_timeout(site: Site) -> float:
    """Seconds that the services of a site get to run and answer once they are started."""
    return max(site.start_timeout, site.health.timeout if site.health else 0.0)


class Control:
    """All services of one site; every change journals its inverse first."""

    def __init__(
        self,
        site: Site,
        services: Iterable[Service],
        journal: Journal,
        probe: Callable[[], Health] | None = None,
    ) -> None:
        self.site = site
        self.services = tuple(services)
        self.journal = journal
        self.probe = probe
        self._baseline: dict[str, ServiceState] = {}

    def stop(self) -> str:
        """Stop every service, last started first, and see that each is stopped and lets its files go."""
        evidence = []
        for service in reversed(self.services):
            state = service.state()
            journalled(
                self.journal,
                ReturnTo(service=service.name, activity=state.activity, detail=state.detail),
                f"Stop {service.name}",
            )
            evidence.append(service.stop() if state.activity not in ("absent",) else f"{service.name} is not installed")
        return "; ".join(evidence) or "this site controls no service"

    def start(self) -> str:
        """Start every service in the site's order; that they stay up is another check."""
        if not self.services:
            return "this site controls no service: start it yourself"
        journalled(self.journal, StopAgain(services=tuple(s.name for s in self.services)), "Start the services")
        evidence = []
        for service in self.services:
            evidence.append(service.start())
            self._baseline[service.name] = service.state()
        return "; ".join(evidence)

    def was_started(self) -> bool:
        """Whether this run ever started a service on the restored files."""
        return any(isinstance(e, Effect) and e.undo == "stop_again" for e in self.journal.events)

    def answering(self) -> Work:
        """Wait until every service runs and the health endpoint answers, for at most the site's start time-out."""
        patience = answer_timeout(self.site)
        deadline = time.monotonic() + patience
        while True:
            reason = self._not_answering()
            if not reason:
                return "; ".join(self._answers())
            if any(service.state().activity == "failed" for service in self.services):
                raise RecoverError(f"not up: {reason}", "see the service's own log")
            if time.monotonic() > deadline:
                raise RecoverError(f"not up within {seconds(patience)}: {reason}", "see the service's own log")
            yield Amount(patience - (deadline - time.monotonic()), patience, "seconds")
            time.sleep(POLL)

    def _answers(self) -> list[str]:
        states = [f"{service.name}: {service.state().detail}" for service in self.services]
        return [*states, *([self.probe().detail] if self.probe else [])] or ["this site has nothing to ask"]

    def _not_answering(self) -> str:
        if reason := self._not_running():
            return reason
        health = self.probe() if self.probe else None
        return health.detail if health and not health.ok else ""

    def _not_running(self) -> str:
        """Why a service is not up; where its state cannot be told, only a health endpoint can prove it."""
        for service in self.services:
            state = service.state()
            reason = steady(self._baseline.setdefault(service.name, state), state)
            up = state.activity == "active" or (state.activity == "unknown" and self.probe)
            if not up or reason:
                return f"{service.name}: {reason or state.detail}"
        return ""

    def soak(self) -> Work:
        """Watch the services for the site's soak time: no restart, no other process, still answering. RecoverError.

        One unanswered health request in a row is forgiven; the last one is not.
        """
        began, missed = time.monotonic(), False
        while (passed := time.monotonic() - began) < self.site.soak:
            running, answering = self._not_running(), self._not_answering()
            if running or (answering and missed):
                raise RecoverError(f"after {seconds(passed)}: {running or answering}", "see the service's own log")
            missed = bool(answering)
            yield Amount(passed, self.site.soak, "seconds")
            time.sleep(min(POLL, max(0.0, self.site.soak - passed)))
        if reason := self._not_answering():
            raise RecoverError(f"after {seconds(self.site.soak)}: {reason}", "see the service's own log")
        return f"up for {seconds(self.site.soak)}: " + "; ".join(self._answers())

    def ensure_stopped(self) -> str:
        """Stop whatever runs, whoever started it; nothing is moved under a running service. RecoverError."""
        running = [s for s in reversed(self.services) if s.state().activity in ("active", "starting", "unknown")]
        return "; ".join(service.stop() for service in running)

    def stop_again(self, names: Iterable[str]) -> str:
        """Stop what this run started, also what seems stopped: between two crashes of a loop it does. RecoverError."""
        wanted = set(names)
        started = [s for s in reversed(self.services) if s.name in wanted and s.state().activity != "absent"]
        return "; ".join(service.stop() for service in started)

    def return_to(self, name: str, activity: Activity) -> str:
        """Bring one service back to what it did before the run. RollbackIncomplete where it does not come."""
        service = next((s for s in self.services if s.name == name), None)
        if service is None:
            raise RollbackIncomplete(f"the site no longer names {safe(name)}", (f"bring {safe(name)} to: {activity}",))
        try:
            return self._return(service, activity)
        except RollbackIncomplete:
            raise
        except RecoverError as error:
            left = (f"the files are as they were; see why, then start {safe(name)}",)
            raise RollbackIncomplete(
                f"{safe(name)} did not return to {activity}: {error.message}", left, error.hint
            ) from error

    def _return(self, service: Service, activity: Activity) -> str:
        now = service.state()
        if activity in ("stopped", "failed", "absent"):
            if now.activity in ("active", "starting"):
                service.stop()
            return f"{service.name} stopped, as it was ({activity})"
        if now.activity != "active":
            service.start()
        if activity == "active":
            self._see_active(service)
        return f"{service.name}: {service.state().detail}"

    def _see_active(self, service: Service) -> None:
        deadline = time.monotonic() + self.site.start_timeout
        while service.state().activity != "active":
            if time.monotonic() > deadline:
                raise RecoverError(f"it is {service.state().detail}")
            time.sleep(POLL)
