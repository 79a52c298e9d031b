"""Disks that fail for real, in the middle of a restore by a real worker."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.conftest import ALL
from tests.faults.disks import Disk, live_disk, run
from tests.faults.lab import KILLED, PLANS, Lab, few, site_in
from tests.faults.preload import Injection
from tests.faults.table import DISKS, DiskFault

pytestmark = [
    pytest.mark.needs("root", "gcc", "mkfs.ext4", "mount", "umount", reason="a real ext4 that fails"),
    pytest.mark.needs("loop devices", reason="a real ext4 that fails"),
    pytest.mark.timeout(1800),
]


@pytest.fixture
def disk(lab: Lab, tmp_path: Path) -> Iterator[Disk]:
    """The live directories on a disk of their own."""
    with live_disk(lab, tmp_path) as made:
        yield made
    lab.forget()


@pytest.mark.parametrize("plan", PLANS if ALL else ("full",))
@pytest.mark.parametrize("name", DISKS)
def test_a_live_disk_fails_for_real(lab: Lab, disk: Disk, name: str, plan: str, tmp_path: Path) -> None:
    lab.row, fault = name, DISKS[name]
    lab.choose(*PLANS[plan], fresh=True)
    points = lab.points(Injection(roots=(lab.site.live,)))
    for at in few(points, 2 if ALL else 1)[:: 1 if ALL else 7]:
        with lab.case(at):
            lab.tally[one(lab, disk, fault, at, tmp_path)] += 1
    assert lab.broken == []


def one(lab: Lab, disk: Disk, fault: DiskFault, at: int, scratch: Path) -> str:
    """One restore whose live disk fails at one call; it is mended, and the operator goes on."""
    lab.site.reset()
    script = scratch / "strike"
    script.write_text(fault.script.format(live=lab.site.live, device=disk.device))
    how = "script" if fault.script else "unplug"
    armed = lab.site.arm(lab.plan)
    injection = Injection(how, roots=(lab.site.live,), script=script, disk=lab.site.live, at=at)
    worked = lab.workers.work("restore", armed, injection)
    assert worked.struck
    mend(lab, disk, fault)
    return lab.finish(armed, lab.judge(armed, worked))


def mend(lab: Lab, disk: Disk, fault: DiskFault) -> None:
    """What the host's administrator does."""
    if fault.mend:
        subprocess.run(["sh", "-c", fault.mend.format(live=lab.site.live)], check=True)
    else:
        disk.mend()


def test_the_power_goes_for_real(lab: Lab, tmp_path: Path) -> None:
    """Site, backups and state on one ext4 whose journal is not flushed when it is shut down."""
    lab.row = "power-real"
    place = tmp_path / "disk"
    place.mkdir()
    disk = Disk(tmp_path, place)
    disk.make()
    disk.mount()
    try:
        with site_in(place) as site:
            own = Lab(site, lab.workers)
            own.site.reset = resetting(disk, site.reset)  # type: ignore[method-assign]
            own.choose("config", "certs", "queue")
            for at in few(own.points(Injection(roots=(site.root,))), 3 if ALL else 1)[:: 1 if ALL else 5]:
                with lab.case(at):
                    lab.tally[cut_for_real(own, disk, at)] += 1
            disk.mend()
    finally:
        with suppress(subprocess.CalledProcessError):
            disk.unmount()
    assert lab.broken == []


def resetting(disk: Disk, whole: Callable[[], None]) -> Callable[[], None]:
    """A reset that also brings a disk back that was shut down."""

    def reset() -> None:
        disk.mend()
        whole()

    return reset


def cut_for_real(lab: Lab, disk: Disk, at: int) -> str:
    """One restore whose power goes at one call; the host is up again, and the operator goes on."""
    lab.site.reset()
    armed = lab.site.arm(lab.plan)
    run("sync", "-f", lab.site.root)
    injection = Injection("cut", roots=(lab.site.root,), disk=lab.site.root, at=at)
    worked = lab.workers.work("restore", armed, injection)
    assert (worked.code, worked.struck) == (KILLED, True)
    disk.mend()
    lab.reboot()
    return lab.finish(armed, lab.judge(armed, worked), "resume" if at % 2 else "roll_back")
