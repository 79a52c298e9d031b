"""Every fault that can come at a system call, at the system calls of every step of every component."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest

from pacs_recover.runs import last_end
from tests.faults.conftest import ALL
from tests.faults.lab import KILLED, PLANS, Lab, few
from tests.faults.preload import Injection
from tests.faults.table import POINTS, Fault

pytestmark = [
    pytest.mark.needs("gcc", reason="the shim that brings faults at system calls is compiled"),
    pytest.mark.timeout(1800),
]
CASES = [(name, plan) for name, fault in POINTS.items() for plan in (fault.plans if ALL else ("full",))]


def roots(lab: Lab, fault: Fault) -> tuple[Path, ...]:
    """The directories that a fault is about."""
    site = lab.site
    return {"live": (site.live,), "state": (site.root / "state",), "site": (site.root,)}[fault.where]


def chosen(fault: Fault, plan: str, points: list[tuple[int, str]]) -> list[int]:
    """The calls to strike: as the table says, or for a quick look one of every few steps."""
    if not ALL:
        return few(points, 1)[crc32(fault.name.encode()) % 6 :: 6]
    if fault.each == 0 and (plan != "full" or fault.purpose != "restore"):
        return [number for number, _ in points]
    return few(points, fault.each or 6)


@pytest.mark.parametrize(("name", "plan"), CASES)
def test_a_fault_at_a_call(lab: Lab, name: str, plan: str) -> None:
    lab.row, fault = name, POINTS[name]
    lab.choose(*PLANS[plan])
    injection = replace(fault.injection, roots=roots(lab, fault))
    strike = {"restore": restore, "rollback": roll_back, "resume": resume}[fault.purpose]
    for at in chosen(fault, plan, points(lab, fault, injection)):
        with lab.case(at):
            lab.tally[strike(lab, fault, injection.placed(at))] += 1
    assert lab.broken == []
    assert set(lab.tally) <= fault.ends
    if ALL and plan == "full":
        assert set(lab.tally) == fault.ends


def points(lab: Lab, fault: Fault, injection: Injection) -> list[tuple[int, str]]:
    """Where this fault can come: in a restore, in the rollback of one, or in the resume of one that was cut."""
    if fault.purpose == "restore":
        return lab.points(injection)
    return lab.points(injection, fault.purpose, begun(lab, fault))


def begun(lab: Lab, fault: Fault) -> Path:
    """A run to be rolled back or resumed: ended well, or cut between the stop and the start."""
    if fault.purpose == "rollback":
        return lab.restore(Injection())[0]
    puts = [at for at, step in lab.points(Injection(roots=(lab.site.live,))) if step.startswith("Put the restored")]
    return lab.restore(Injection("kill", roots=(lab.site.live,), at=puts[-1]))[0]


def restore(lab: Lab, fault: Fault, injection: Injection) -> str:
    """One restore that is struck at one call, and what comes after it."""
    run, worked = lab.restore(injection)
    assert worked.struck
    return lab.finish(run, lab.judge(run, worked), fault.way)


def roll_back(lab: Lab, fault: Fault, injection: Injection) -> str:
    """A rollback that is struck; then another one."""
    run = begun(lab, fault)
    worked = lab.workers.work("rollback", run, injection)
    assert worked.struck
    lab.nothing_is_lost()
    if worked.code in (1, 130):
        lab.standing("rolled_back")
    else:
        assert worked.code in (KILLED, 4, 5), worked
        ended = last_end(lab.told(run))
        assert worked.code != 4 or ended is None or ended.left, ended
    return lab.roll_back(run)


def resume(lab: Lab, fault: Fault, injection: Injection) -> str:
    """A resume that is struck; then another one, or the rollback."""
    run = begun(lab, fault)
    worked = lab.workers.work("resume", run, injection)
    assert worked.struck
    return lab.finish(run, lab.judge(run, worked), "resume" if injection.at % 2 else "roll_back")
