"""The clocks of a run: which of its two clocks to trust when, and what downtime, recovery and waiting are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pacs_recover.events import (
    Answered,
    AnyEvent,
    Asked,
    Began,
    Effect,
    Ended,
    Failed,
    Passed,
    Planned,
    Resumed,
    Undone,
)
from pacs_recover.model import Phase


@dataclass(frozen=True)
class Moment:
    """An event and when it was."""

    time: float
    """Seconds since the first event of the run."""
    event: AnyEvent


def moments(events: Sequence[AnyEvent]) -> list[Moment]:
    """Every event with its time: by the boot clock within one boot, by the wall clock across a reboot.

    A boot clock that runs backwards is a reboot too (the line that said so is damaged); time itself never does.
    """
    found: list[Moment] = []
    boot, elapsed = "", 0.0
    for event in events:
        before, boot = boot, event.boot if isinstance(event, Planned | Resumed) else boot
        if found:
            last = found[-1].event
            same = boot == before and event.clock >= last.clock
            elapsed += max(0.0, event.clock - last.clock if same else (event.at - last.at).total_seconds())
        found.append(Moment(elapsed, event))
    return found


@dataclass(frozen=True)
class Passage:
    """A stretch of a run in which the site was worked on, or lay as it was left: from a start to a rest."""

    moments: Sequence[Moment]
    phases: Mapping[int, Phase]
    """By the number of the step."""
    returns: frozenset[int]
    """Numbers of the effects whose undoing returns a service to its prior state."""
    until: float
    """Its last event, or now while somebody works on it."""

    @property
    def ended(self) -> Ended | None:
        """How it ended; None while it has not."""
        last = self.moments[-1].event
        return last if isinstance(last, Ended) else None

    @property
    def seconds(self) -> float:
        """How long it took, or takes so far."""
        return self.until - self.moments[0].time

    @property
    def going_back(self) -> bool:
        """Whether it is a rollback by now."""
        return any(
            isinstance(moment.event, Failed)
            or (isinstance(moment.event, Resumed) and moment.event.purpose == "rollback")
            for moment in self.moments
        )

    @property
    def recovered(self) -> float | None:
        """When the restored site first ran and answered; None where it has not, or did not stay so."""
        if self.going_back:
            return None
        if (answered := self._last(Passed, "up")) is not None:
            return answered
        return self.until if self.ended and self.ended.outcome == "restored" else None

    @property
    def downtime(self) -> float:
        """From the stop to the first answer, or to the return of the services; 0 where nothing was stopped."""
        stopped = self._stopped()
        return 0.0 if stopped is None else max(0.0, self._up_again() - stopped)

    @property
    def human_wait(self) -> float:
        """Time inside questions; one that nobody is left to hear the answer of is not counted."""
        asked = {m.event.question: m.time for m in self.moments if isinstance(m.event, Asked)}
        answered = [
            (asked.get(m.event.question, m.time), m.time) for m in self.moments if isinstance(m.event, Answered)
        ]
        last = self.moments[-1]
        open_since = last.time if isinstance(last.event, Asked) else self.until
        return sum(end - begin for begin, end in answered) + self.until - open_since

    def _stopped(self) -> float | None:
        """When the first service was stopped: by a step, or before the first undoing of a finished run."""
        stops = [m.time for m in self.moments if self._stops(m.event)]
        if stops:
            return stops[0]
        taken_up = isinstance(self.moments[0].event, Resumed)
        undone = any(isinstance(m.event, Undone) for m in self.moments)
        return self.moments[0].time if taken_up and undone else None

    def _stops(self, event: AnyEvent) -> bool:
        begins = isinstance(event, Began) and self._is(event, "down")
        return begins or (isinstance(event, Effect) and event.n in self.returns)

    def _up_again(self) -> float:
        if not self.going_back:
            return self.until if self.recovered is None else self.recovered
        returned = [m.time for m in self.moments if isinstance(m.event, Undone) and m.event.effect in self.returns]
        rolled_back = self.ended is not None and self.ended.outcome == "rolled_back"
        return returned[-1] if rolled_back and returned else self.until

    def _last(self, kind: type[AnyEvent], phase: Phase) -> float | None:
        times = [m.time for m in self.moments if isinstance(m.event, kind) and self._is(m.event, phase)]
        return times[-1] if times else None

    def _is(self, event: AnyEvent, phase: Phase) -> bool:
        return event.step is not None and self.phases.get(event.step) == phase


def passages(told: Sequence[Moment], phases: Mapping[int, Phase], idle: float) -> list[Passage]:
    """The run cut at its rests; ``idle`` is how long ago its last event was, where somebody still works on it."""
    returns = frozenset(m.event.n for m in told if isinstance(m.event, Effect) and m.event.undo == "return_to")
    parts = list(_parts(told))
    ends = [part[-1].time + (idle if part is parts[-1] else 0.0) for part in parts]
    return [Passage(part, phases, returns, end) for part, end in zip(parts, ends, strict=True)]


def _parts(told: Sequence[Moment]) -> Iterator[Sequence[Moment]]:
    """After an incomplete rollback the site does not rest: what follows belongs to the same passage."""
    begin = 0
    for number, moment in enumerate(told, start=1):
        event = moment.event
        rests = isinstance(event, Ended) and event.outcome != "rollback_incomplete"
        if rests or number == len(told):
            yield told[begin:number]
            begin = number
