"""The power goes at any moment: by the strict rules of POSIX as a model, and for real on an ext4 that is shut down."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pacs_recover.events import Effect
from pacs_recover.runs import last_end
from tests.faults.conftest import ALL
from tests.faults.durable import cut
from tests.faults.lab import KILLED, PLANS, Lab, few
from tests.faults.preload import Injection

pytestmark = [
    pytest.mark.needs("gcc", reason="the shim that records what a worker does is compiled"),
    pytest.mark.timeout(1800),
]


def recording(lab: Lab) -> Injection:
    """A kill, with a fresh record of what was done until then."""
    home = lab.site.root.parent / "record"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    return Injection("kill", roots=(lab.site.root,), record=home)


def after_the_cut(lab: Lab, run: Path, at: int, way: str) -> str:
    """What the disk kept, the host up again with its service or without; then what an operator does."""
    cut(lab.site.root, lab.site.root.parent / "record", None if at % 2 else at)
    lab.reboot()
    lab.nothing_is_lost()
    events = lab.told(run)
    changed, ended = any(isinstance(event, Effect) for event in events), last_end(events)
    up = not changed or ended is not None or at % 3 == 0
    (lab.site.control / "running").touch() if up else (lab.site.control / "running").unlink(missing_ok=True)
    return lab.finish(run, "cut" if ended is None else lab.standing(ended.outcome), way)


@pytest.mark.parametrize("plan", PLANS if ALL else ("full",))
def test_the_power_goes_during_a_restore(lab: Lab, plan: str) -> None:
    lab.row = "power-restore"
    lab.choose(*PLANS[plan])
    points = lab.points(Injection(roots=(lab.site.root,)))
    for at in few(points, 4 if ALL else 1)[:: 1 if ALL else 2]:
        run, worked = lab.restore(recording(lab).placed(at))
        assert worked.code == KILLED
        with lab.case(at):
            lab.tally[after_the_cut(lab, run, at, "resume" if at % 5 == 0 else "roll_back")] += 1
    assert lab.broken == []


@pytest.mark.parametrize("plan", PLANS if ALL else ("full",))
def test_the_power_goes_during_a_rollback(lab: Lab, plan: str) -> None:
    lab.row = "power-rollback"
    lab.choose(*PLANS[plan])
    run, _ = lab.restore(Injection())
    points = lab.points(Injection(roots=(lab.site.root,)), "rollback", run)
    for at, _ in points[:: 2 if ALL else 15]:
        run, _ = lab.restore(Injection())
        assert lab.workers.work("rollback", run, replace(recording(lab), at=at)).code == KILLED
        with lab.case(at):
            cut(lab.site.root, lab.site.root.parent / "record", None if at % 2 else at)
            lab.reboot()
            lab.nothing_is_lost()
            lab.tally[lab.roll_back(run)] += 1
    assert lab.broken == []


ARMED = """
import sys
from pathlib import Path
from pacs_recover.journal import Journal
from pacs_recover.state import State
state = State(Path(sys.argv[1]))
state.prepare()
Journal(state.new_run() / "journal.jsonl", create=True).close()
"""


def test_a_run_whose_journal_was_begun_is_found_after_a_cut(lab: Lab, tmp_path: Path) -> None:
    root, record = tmp_path / "root", tmp_path / "record"
    root.mkdir()
    record.mkdir()
    environment = lab.workers.environment("-c", Injection(roots=(root,), record=record))
    subprocess.run([sys.executable, "-c", ARMED, root / "new/state"], check=True, env=environment)
    cut(root, record, None)
    assert len(list(root.glob("new/state/runs/*/journal.jsonl"))) == 1
