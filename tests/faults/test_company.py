"""Others at the same time: a second operator, a backup job, a vanishing source, signals, a terminal that is hung up."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pacs_recover import arming
from pacs_recover.authority import Authority
from pacs_recover.journal import is_written
from pacs_recover.runs import last_end
from pacs_recover.state import JOURNAL
from tests.faults.conftest import ALL
from tests.faults.lab import KILLED, PLANS, Lab, few
from tests.faults.preload import Injection
from tests.faults.table import COMPANY, CompanyFault

pytestmark = [
    pytest.mark.needs("gcc", "sqlite3", reason="the shim that lets others act at a system call is compiled"),
    pytest.mark.timeout(1800),
]
RECOVER = f"{sys.executable} -P -m pacs_recover"
CASES = [(name, plan) for name, fault in COMPANY.items() for plan in (fault.plans if ALL else ("full",))]


@pytest.mark.parametrize(("name", "plan"), CASES)
def test_somebody_else_acts_at_a_call(lab: Lab, name: str, plan: str, tmp_path: Path) -> None:
    lab.row, fault = name, COMPANY[name]
    lab.choose(*PLANS[plan])
    script = tmp_path / "script"
    injection = Injection("script", roots=(lab.site.root,), script=script)
    for at in few(lab.points(injection), fault.each if ALL else 1)[:: 1 if ALL else fault.quick]:
        with lab.case(at):
            lab.tally[one(lab, fault, injection.placed(at), tmp_path)] += 1
    assert lab.broken == []
    assert set(lab.tally) <= fault.ends


def one(lab: Lab, fault: CompanyFault, injection: Injection, scratch: Path) -> str:
    """One restore in which somebody acts at one call; then what is promised of what they did, and the end."""
    lab.site.reset()
    armed = lab.site.arm(lab.plan)
    said = scratch / "said"
    said.unlink(missing_ok=True)
    site = lab.site
    backups = site.demo.directory / "backups"
    words = {"site": site.demo.site_file, "state": site.root / "state", "run": armed.name, "live": site.live}
    arming.save(lab.plan, site.state, Authority())
    assert injection.script is not None
    text = fault.script.format(
        recover=RECOVER, said=said, backups=backups, queue=site.queue, plan=lab.plan.plan_id, **words
    )
    injection.script.write_text(f"export PYTHONPATH={Path(__file__).parents[2]}\n{text}\n")
    try:
        worked = lab.workers.work("restore", armed, injection)
    finally:
        subprocess.run(["sh", "-c", fault.after.format(backups=backups, said=said, queue=site.queue)], check=True)
    assert worked.struck
    assert worked.code in fault.codes, (worked, last_end(lab.told(armed)))
    if fault.told:
        assert said.read_text().split() == fault.told.split(), (said.read_text(), Path(f"{said}.err").read_text())
    for copy in scratch.glob("said.db"):
        with sqlite3.connect(copy) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        copy.unlink()
    return lab.finish(armed, lab.judge(armed, worked))


# ---- the front end ----


def command(lab: Lab, plan_id: str) -> list[str]:
    """An unattended restore by the real command."""
    site = ["--site", str(lab.site.demo.site_file), "--state", str(lab.site.root / "state")]
    return [*RECOVER.split(), *site, "restore", "--yes", "--plan", plan_id]


def the_run(lab: Lab) -> Path | None:
    """The one run that there is, once nobody works on it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        runs = lab.site.state.runs()
        if runs and last_end(lab.told(runs[0])) and not is_written(runs[0] / JOURNAL):
            return runs[0]
        time.sleep(0.05)
    return None


def on_a_terminal(argv: list[str], environment: dict[str, str]) -> tuple[int, int]:
    """Start a command on a terminal of its own, whose other end a process holds that can be killed; both pids."""
    read, write = os.pipe()
    holder = os.fork()
    if holder == 0:
        front, master = pty.fork()
        if front == 0:
            os.execvpe(argv[0], argv, environment)
        os.write(write, f"{front}\n".encode())
        with suppress(OSError):
            while os.read(master, 65536):
                pass
        os.waitpid(front, 0)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        return holder, int(said.readline())


@pytest.mark.parametrize("plan", PLANS if ALL else ("full",))
def test_the_terminal_is_hung_up_at_a_call_of_the_worker(lab: Lab, plan: str, tmp_path: Path) -> None:
    lab.row = "hang-up"
    lab.choose(*PLANS[plan])
    script = tmp_path / "script"
    injection = Injection("script", roots=(lab.site.root,), script=script)
    for at in few(lab.points(injection), 1)[:: 2 if ALL else 20]:
        lab.site.reset()
        fresh = lab.site.plan(*(lab.site.demo.good[name] for name in PLANS[plan]))
        arming.save(fresh, lab.site.state, Authority())
        environment = lab.workers.environment("pacs_recover.worker", injection.placed(at))
        said = tmp_path / f"holder-{at}"
        script.write_text(f"while [ ! -s {said} ]; do sleep 0.01; done; kill -9 $(cat {said})\n")
        holder, front = on_a_terminal(command(lab, fresh.plan_id), environment)
        said.write_text(str(holder))
        assert os.waitstatus_to_exitcode(os.waitpid(holder, 0)[1]) == KILLED
        run = the_run(lab)
        assert run is not None, at
        assert lab.workers.count()[1]
        assert last_end(lab.told(run)).outcome == "restored"  # type: ignore[union-attr]
        lab.tally[lab.standing("restored")] += 1
        assert not Path(f"/proc/{front}").exists() or b"restore" not in Path(f"/proc/{front}/cmdline").read_bytes()


def test_the_front_end_is_killed_at_any_of_its_own_calls(lab: Lab) -> None:
    lab.row = "kill-front"
    lab.choose("config", "certs", "queue")
    injection = Injection("kill", roots=(lab.site.root,))
    calls = 0
    for at in range(1, 200, 1 if ALL else 20):
        lab.site.reset()
        fresh = lab.site.plan(*(lab.site.demo.good[name] for name in PLANS["full"]))
        arming.save(fresh, lab.site.state, Authority())
        environment = lab.workers.environment("pacs_recover", injection.placed(at))
        done = subprocess.run(
            command(lab, fresh.plan_id), env=environment, capture_output=True, check=False, timeout=120
        )
        if done.returncode != KILLED:
            calls = at
            break
        run = the_run(lab) if lab.site.state.runs() else None
        lab.tally[lab.standing("restored" if run else "interrupted")] += 1
        if run is None:  # it never came to a worker: nothing stands in the way of another try
            again = lab.site.plan(*(lab.site.demo.good[name] for name in PLANS["full"]))
            arming.save(again, lab.site.state, Authority())
            assert (
                subprocess.run(command(lab, again.plan_id), capture_output=True, check=False, timeout=120).returncode
                == 0
            )
    assert calls > 1
