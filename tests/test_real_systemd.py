"""The tests' own systemd: it comes up fast, is private, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.real_systemd import _hierarchies, booted, needs_systemd

UNIT = "[Service]\nExecStart=/bin/sleep 1000\n"


@needs_systemd
def test_it_comes_up_in_private_and_leaves_nothing(tmp_path: Path) -> None:
    mounts, units = Path("/proc/self/mountinfo").read_text(), sorted(Path("/etc/systemd").rglob("*"))
    groups = _groups()
    began = time.monotonic()
    with booted(tmp_path / "log") as systemd:
        assert time.monotonic() - began < 10
        systemd.install_unit("bridge.service", UNIT)
        systemd.run(["systemctl", "start", "bridge"], check=True)
        inside = int(systemd.run(["systemctl", "show", "--property=MainPID", "--value", "bridge"]).stdout)
        assert systemd.run(["cat", f"/proc/{inside}/comm"]).stdout == "sleep\n"
        assert systemd.run(["systemd-run", "--scope", "--slice=system.slice", "--quiet", "true"]).returncode == 0
        assert systemd.run(["cat", str(tmp_path / "log")]).returncode == 0
        assert Path("/proc/self/mountinfo").read_text() == mounts
        outside = _processes_below(systemd.pid)
        assert len(outside) >= 1
        systemd.remove_unit("bridge.service")
        assert systemd.run(["systemctl", "show", "--property=LoadState", "--value", "bridge"]).stdout == "not-found\n"
    assert not any(_runs(pid) for pid in (systemd.pid, *outside))
    assert _groups() == groups
    assert sorted(Path("/etc/systemd").rglob("*")) == units


@needs_systemd
def test_it_does_not_outlive_tests_that_were_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.real_systemd import booted\n"
        "with booted(Path(sys.argv[1])) as systemd: print(systemd.pid, flush=True); time.sleep(1000)"
    )
    root = Path(__file__).parents[1]
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE, cwd=root)
    assert process.stdout
    pid = int(process.stdout.readline())
    assert _runs(pid)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for group in _groups(process.pid):
        for directory, _, _ in os.walk(group, topdown=False):
            Path(directory).rmdir()


def _groups(owner: int | None = None) -> list[Path]:
    name = f"pacs-recover-tests-{owner or os.getpid()}-*"
    return [group for mount in _hierarchies() for group in mount.glob(name)]


def _runs(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def _processes_below(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
