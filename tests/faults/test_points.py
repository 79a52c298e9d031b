"""Every fault that can come at a system call, at the system calls of every step of every component."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest

from tests.faults.conftest import ALL
from tests.faults.lab import PLANS, Lab, few
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
    return {
        "live": (site.live,),
        "state": (site.root / "state",),
        "backups": (site.demo.directory / "backups",),
        "site": (site.root,),
    }[fault.where]


def chosen(lab: Lab, fault: Fault, injection: Injection) -> list[int]:
    """The calls to strike: as the table says, or for a quick look one of every few steps."""
    points = lab.points(injection)
    if not ALL:
        return few(points, 1)[crc32(fault.name.encode()) % 6 :: 6]
    return [number for number, _ in points] if fault.each == 0 else few(points, fault.each)


@pytest.mark.parametrize(("name", "plan"), CASES)
def test_a_fault_at_a_call(lab: Lab, name: str, plan: str, record_property: object) -> None:
    fault = POINTS[name]
    lab.choose(*PLANS[plan])
    injection = replace(fault.injection, roots=roots(lab, fault))
    broken = []
    for at in chosen(lab, fault, injection):
        try:
            lab.tally[one(lab, fault, injection.placed(at))] += 1
        except AssertionError as error:
            broken.append(f"call {at}, step {lab.step!r}: {error}")
    assert broken == []
    assert set(lab.tally) <= fault.ends
    if ALL and plan == "full":
        assert set(lab.tally) == fault.ends


def one(lab: Lab, fault: Fault, injection: Injection) -> str:
    """One restore that is struck at one call, and what comes after it."""
    run, worked = lab.restore(injection)
    assert worked.struck
    return lab.finish(run, lab.judge(run, worked), fault.way)
