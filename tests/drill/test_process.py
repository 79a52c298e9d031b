"""Drills in a process sandbox, with a service that shares no code with the product: what passes, and what must fail."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pacs_recover import drilling, looks, worker
from pacs_recover.authority import Authority
from pacs_recover.drill.sweeping import sweep
from pacs_recover.errors import Refused
from pacs_recover.events import Began, Passed
from pacs_recover.front import take_up
from pacs_recover.journal import read
from pacs_recover.state import JOURNAL
from pacs_recover.target.control import Control
from pacs_recover.target.sandbox import Sandbox
from tests.drill.conftest import FULL, Counted, Drilled, addresses

pytestmark = pytest.mark.needs("bwrap", "setpriv", reason="a real sandbox")


def test_a12_b16_a_drill_restores_all_times_all_and_leaves_production_as_it_was(drilled: Drilled) -> None:
    before, calls = drilled.small.fingerprint(), drilled.small.calls()
    code, report = drilled(participants=("A. Engineer",), observations=("Seen",), actions=("Do it",))
    assert code == 0, report.failure
    assert (report.mode, report.outcome, report.rto_met) == ("drill", "restored", True)
    assert report.components == FULL
    assert all(check.state == "passed" for check in report.checks)
    assert "Service starts with restored data" in {check.name for check in report.checks}
    drill = report.drill
    assert drill is not None
    assert drill.sandbox == "process"
    assert drill.production_equal
    assert "equal before and after: SHA-256" in drill.production
    assert [r.title for r in drill.results if r.topic == "message"] == ["ADT^A01", "ORM^O01", "ORU^R01"]
    assert all(r.evidence.startswith("AA after") for r in drill.results if r.topic == "message")
    counts = [int(r.evidence.split()[0]) for r in drill.results if r.topic == "queue"]
    assert counts[1] == counts[0] + 3, "the queue before and after"
    assert (drill.participants, drill.observations, drill.actions) == (("A. Engineer",), ("Seen",), ("Do it",))
    assert {age.component for age in drill.ages} == set(FULL)
    assert all(len(backup.sha256) == 64 for backup in report.backups)
    assert drilled.small.fingerprint() == before
    assert drilled.small.calls() == calls, "nothing was asked of the live service but what it does"
    assert list(drilled.sandbox.iterdir()) == []


FAULTS = {
    "ae": ("Test messages are acknowledged over MLLP", "ADT^A01: it was answered with AE (application error)"),
    "wrong-id": ("Test messages are acknowledged over MLLP", "MSA-2 is not its control id"),
    "half": ("Test messages are acknowledged over MLLP", "(only "),
    "silent": ("Test messages are acknowledged over MLLP", "no answer within 1.0 s"),
    "unhealthy": ("Every health path answers", "GET /health/deep at 127.0.0.1:"),
    "lost": ("What was acknowledged is in the queue", "acknowledged, but not in the queue: ADT^A01, ORM^O01, ORU^R01"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_injected_fault_fails_the_drill_with_its_own_finding(drilled: Drilled, fault: str) -> None:
    url = drilled.small.demo.health_url
    drilled.configure("--fault", fault, health=[url, url.replace("ready", "deep")])
    before = drilled.small.fingerprint()
    code, report = drilled()
    title, words = FAULTS[fault]
    assert code == 1
    assert report.outcome == "rolled_back", "the rollback is rehearsed too"
    assert report.failure is not None
    assert report.failure.title == title
    assert words in report.failure.evidence
    assert report.drill is not None
    assert (report.drill.findings[0].label, report.drill.findings[0].state) == (title, "bad")
    assert report.drill.production_equal
    assert "are gone" in report.drill.removed
    assert drilled.small.fingerprint() == before
    assert list(drilled.sandbox.iterdir()) == []


def test_b15_a_404_is_not_healthy_and_neither_is_the_hl7_port(drilled: Drilled) -> None:
    ready = drilled.small.demo.health_url
    hl7 = f"http://127.0.0.1:{drilled.port}/health"
    drilled.configure(health=[ready, ready.removesuffix("/ready"), hl7])
    code, report = drilled("config", "certs")
    assert code == 1
    assert report.drill is not None
    states = [(result.state, result.evidence) for result in report.drill.results if result.topic == "health"]
    assert [state for state, _ in states] == ["ok", "bad", "bad"]
    assert ": 404" in states[1][1]
    assert report.failure is not None
    assert report.failure.title == "Every health path answers"


def test_an_acknowledgement_that_arrives_in_pieces_is_put_together(drilled: Drilled) -> None:
    drilled.configure("--fault", "pieces")
    assert drilled("config", "certs")[0] == 0


def test_a_peer_that_the_restored_configuration_names_receives_no_connection_at_all(drilled: Drilled) -> None:
    peers = [Counted(address) for address in addresses()]
    dial = ",".join(peer.address for peer in peers)
    live = drilled.small.config / "certs"
    argv = [sys.executable, str(Path(__file__).with_name("peer.py")), "--certs", str(live), "--port", "0"]
    with subprocess.Popen([*argv, "--health", "0", "--queue", "", "--dial", dial]) as outside:
        end = time.monotonic() + 30
        while not all(peer.calls for peer in peers) and time.monotonic() < end:
            time.sleep(0.05)
        outside.kill()
    assert all(peer.calls for peer in peers), "outside of a sandbox the same service does call them"
    time.sleep(0.2)
    seen = [peer.calls for peer in peers]
    drilled.configure("--dial", dial)
    code, report = drilled()
    assert code == 0, report.failure
    assert [peer.calls for peer in peers] == seen


def test_the_sandboxed_service_sees_copies_and_nothing_of_the_live_site(
    drilled: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = drilled.small
    hidden = [small.demo.key_file, small.root / "backups", small.root / "state", small.root / "sandbox", Path("/root")]
    shown = [small.config / "config.yaml", small.queue]
    paths = [str(path) for path in (*hidden, *shown)]
    drilled.configure("--seen", ",".join(paths))
    run = drilled.arm()
    tree = drilled.sandbox / run.name / "tree"
    found = tree / small.queue.parent.relative_to("/") / "seen.json"
    told: list[str] = []
    tidy = Sandbox.tidy
    monkeypatch.setattr(Sandbox, "tidy", lambda self: (told.append(found.read_text()), tidy(self))[1])
    assert worker.restore(run, lambda: False) == 0
    tried = json.loads(told[0])
    home = Path(sys.base_prefix).is_relative_to("/root") or Path(sys.prefix).is_relative_to("/root")
    assert {path: tried[path] for path in map(str, hidden)} == {
        str(path): path == Path("/root") and home for path in hidden
    }
    assert all(tried[str(path)] for path in shown)
    assert set(tried["interfaces"]) <= {"lo"}


def test_b16_a_killed_drill_leaves_no_copy_of_a_message_once_the_next_one_begins(drilled: Drilled) -> None:
    small = drilled.small
    drilled.settings = {"soak": "60s"}
    drilled.configure()
    run = drilled.arm()
    with subprocess.Popen([sys.executable, "-m", "pacs_recover.worker", "restore", str(run)]) as process:
        service = int(soaking(run).split("sandbox, pid ")[1].split(";")[0])
        assert sweep(drilled.sandbox) == [], "a living drill is left alone"
        os.kill(process.pid, signal.SIGKILL)
    assert list(drilled.sandbox.rglob("queue.db")), "the copy is there"
    end = time.monotonic() + 10
    while _is_alive(service) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _is_alive(service), "what ran in the sandbox ended with the worker"
    assert looks.report_of(run).outcome == "unfinished"
    with pytest.raises(Refused, match="was a drill"):
        take_up(run, "rollback", Authority())
    assert small.restore(small.plan(small.demo.good["certs"]))[0] == 0, "a killed drill blocks no restore"
    drilled.settings = {}
    drilled.configure()
    assert drilled("config", "certs")[0] == 0
    assert list(drilled.sandbox.iterdir()) == []
    report = looks.report_of(run)
    assert report.outcome == "interrupted"
    assert "removed by a later drill" in report.reason


def soaking(run: Path) -> str:
    """Wait until the service of a drill is soaked: what was said of it."""
    end = time.monotonic() + 60
    while True:
        events = read(run / JOURNAL)[0] if (run / JOURNAL).exists() else []
        if any(isinstance(event, Began) and event.title == "PACS Bridge stays up" for event in events):
            return next(
                e.evidence for e in events if isinstance(e, Passed) and e.title == "PACS Bridge runs and answers"
            )
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_drill_of_one_part_starts_with_copies_of_the_others(drilled: Drilled) -> None:
    code, report = drilled("queue")
    assert code == 0, report.failure
    made = next(step for step in report.steps if step.title.startswith("Make the sandbox"))
    assert "config: a copy of" in made.evidence
    assert report.rto_seconds == 900


def test_production_that_changes_meanwhile_fails_the_drill(drilled: Drilled, monkeypatch: pytest.MonkeyPatch) -> None:
    run = drilled.arm("config", "certs")
    soak = Control.soak

    def meddling(self: Control):  # type: ignore[no-untyped-def]
        (drilled.small.config / "config.yaml").write_text("changed: true\n")
        return soak(self)

    monkeypatch.setattr(Control, "soak", meddling)
    assert worker.restore(run, lambda: False) == 1
    report = looks.report_of(run)
    assert report.drill is not None
    assert report.drill.production_equal is False
    assert report.failure is not None
    assert "the live config is not what it was" in report.failure.evidence


def test_the_queue_of_a_running_site_may_go_on(drilled: Drilled, monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Control.soak

    def busy(self: Control):  # type: ignore[no-untyped-def]
        with sqlite3.connect(drilled.small.queue) as live:
            live.execute("DELETE FROM message_queue WHERE id = (SELECT min(id) FROM message_queue)")
        live.close()
        return soak(self)

    monkeypatch.setattr(Control, "soak", busy)
    code, report = drilled("config", "certs")
    assert code == 0, report.failure
    assert report.drill is not None
    assert "went on being written by the running service" in report.drill.production
    (drilled.small.control / "running").unlink()
    code, report = drilled("config", "certs")
    assert code == 1
    assert report.failure is not None
    assert "though no service ran" in report.failure.evidence


def test_b8_no_backup_at_all_is_a_failed_drill_with_evidence(drilled: Drilled, tmp_path: Path) -> None:
    drilled.settings = {"sources": [{"kind": "local", "name": "local", "path": str(tmp_path)}]}
    drilled.configure()
    run = drilled.arm()
    report = looks.report_of(run)
    assert (report.outcome, report.exit_code) == ("failed_untouched", 3)
    assert report.failure is not None
    assert report.failure.title == drilling.READ
    assert "there is no backup of" in report.failure.evidence
    assert report.drill is not None
    assert report.drill.findings[0].state == "bad"


def test_a_bad_backup_is_what_the_drill_found(drilled: Drilled) -> None:
    run = drilled.arm("queue", backups=(drilled.small.demo.corrupt,))
    report = looks.report_of(run)
    assert (report.outcome, report.exit_code) == ("failed_untouched", 6)
    assert drilled.small.demo.corrupt in report.reason


def test_where_no_sandbox_can_be_had_nothing_is_started_and_that_fails_the_drill(
    drilled: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pacs_recover.services.sandboxed.missing", lambda: "bwrap is not installed (package bubblewrap)"
    )
    code, report = drilled("config", "certs")
    assert code == 1
    assert report.failure is not None
    assert report.failure.evidence == "not started: bwrap is not installed (package bubblewrap)"
    assert [check.state for check in report.checks if check.name.startswith("Service")] == ["failed"]


def test_files_alone_prove_the_files_and_say_that_the_service_was_not_started(drilled: Drilled) -> None:
    code, report = drilled(sandbox="root")
    assert code == 0, report.failure
    assert (report.recovery_seconds, report.rto_met) == (None, None)
    assert not [step for step in report.steps if step.title.startswith(("Start", "Stop", "PACS Bridge"))]
    assert report.drill is not None
    assert any("not proven" in finding.value for finding in report.drill.findings)


def test_a_termination_ends_the_drill_and_removes_its_sandbox(drilled: Drilled) -> None:
    asked: list[int] = []

    def stopping() -> bool:
        asked.append(1)
        return len(asked) > 8

    run = drilled.arm()
    worker.restore(run, stopping)
    events, _ = read(run / JOURNAL)
    assert events[-1].outcome in ("interrupted", "rolled_back")  # type: ignore[union-attr]
    assert list(drilled.sandbox.iterdir()) == []
