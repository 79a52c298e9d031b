"""Carrying over: the restored queue also has what only the old one had, or the old one is back as it was."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from pacs_recover import arming, looks, worker
from pacs_recover.components import carry_over
from pacs_recover.errors import Refused, UsageError
from pacs_recover.events import Began, Ended, Passed, Request
from pacs_recover.formats import carrying, sqlite_set
from pacs_recover.formats.sqlite_set import Unknown
from tests.formats.queue_files import SYNTHETIC, execute
from tests.formats.replay_by_hand import Message, by_hand, completed, read, write
from tests.runs.small_site import SmallSite, events_of, outcome
from tests.runs.test_killed import LIMIT, in_child, never, resume, roll_back, staged_leftovers
from tests.runs.test_replay_risk import BACKUP, LIVE, TTL, ago, backup_of, make_live, sentence, stopped_at

PROCESSING = Message("arrived-and-being-sent", 1, ago(0.2), "EMR")
LIVE_NOW = [*LIVE, PROCESSING]
COPY = "Copy the restored database, to add them to"
ADD = "Add the messages that only the stopped queue has"
KILLED_AT = (
    (carrying, "_prove"),
    (carrying, "_make_durable"),
    (carry_over, "_copy"),
    (carry_over, "_proven"),
)
"""Where a kill finds a copy half filled, full, or just made."""


def evidence(run: Path, title: str) -> str:
    """What a step of this title found."""
    return next(e.evidence for e in events_of(run) if isinstance(e, Passed) and e.title == title)


def same(path: Path, messages: list[Message]) -> bool:
    """Whether a queue holds just these."""
    return Counter(read(path)) == Counter(messages)


def test_the_restored_queue_has_what_only_the_old_one_had(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE_NOW)
    plan = small.plan(backup_of(tmp_path, BACKUP), carry_over=True)
    expected = by_hand(BACKUP, LIVE_NOW, plan.made_at, TTL, carry_over=True)
    assert plan.replay == expected.numbers()
    assert (expected.lost_since, expected.carried) == (0, 4)
    (question,) = plan.request.questions
    assert "0 messages that arrived since would be lost" in question.details
    assert "4 messages only in the live queue would be carried over [to EMR 2, RIS 2" in question.details
    (told,) = [fact for fact in plan.findings if fact.label == "carry-over"]
    assert told.state == "ok"
    assert "3 messages (1 in processing, which the service will send anew) and 1 dead letter" in told.value
    assert "2 in both stay as in the backup; tried on copies: adds about" in told.value
    late = [*LIVE_NOW, Message("arrived-after-the-plan", 0, ago(0.01), "PACS")]
    make_live(small, late)
    small.on_start(f"cp {small.queue} {tmp_path}/started.db\n")
    code, run = small.restore(plan)
    assert code == 0, outcome(run)
    assert same(tmp_path / "started.db", completed(BACKUP, late))
    assert "4 messages (1 in processing, which the service will send anew) and 1 dead letter" in evidence(run, ADD)
    assert sentence(run).startswith(by_hand(BACKUP, late, stopped_at(run), TTL, carry_over=True).sentence(final=True))
    assert same(next(small.root.rglob("aside/queue/queue.db")), late)
    assert small.queue.stat().st_mode & 0o777 == 0o600
    assert not [*small.root.rglob("carried"), *small.root.rglob("count"), *staged_leftovers(small)]
    report = looks.report_of(run)
    assert report.carry_over_seconds is not None
    assert 0 < report.carry_over_seconds < report.downtime_seconds
    assert plan.carry_over_seconds is not None
    steps = [line.title for line in plan.steps]
    assert steps.index(ADD) > steps.index("Set the live database aside with its -wal")
    everything = (run / "journal.jsonl").read_text() + json.dumps(looks.plan_json(plan))
    assert SYNTHETIC[:8] not in everything
    assert "arrived-and-being-sent" not in everything


def test_without_carrying_over_nothing_of_it_is_in_plan_or_report(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE)
    code, run = small.restore(plan := small.plan(backup_of(tmp_path, BACKUP)))
    assert code == 0
    assert same(small.queue, BACKUP)
    assert (plan.carry_over_seconds, looks.report_of(run).carry_over_seconds) == (None, None)
    assert not [line for line in plan.steps if line.phase == "carry"]


def test_rows_in_a_wal_that_an_unclean_stop_left_are_carried_too(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE[:3])
    added = Message("in-the-wal", 0, ago(0.1), "PACS", "SIU^S12")
    with closing(sqlite3.connect(small.queue)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        with writer:
            writer.execute(
                "INSERT INTO message_queue(id, destination, payload, state, created_at, scheduled_at, message_type)"
                " VALUES (?1, ?2, 'x', 0, ?3, ?3, ?4)",
                (added.id, added.destination, added.created, added.type),
            )
        files = {p.name: p.read_bytes() for p in small.queue.parent.glob("queue.db*") if not p.name.endswith("-shm")}
    for name, content in files.items():
        (small.queue.parent / name).write_bytes(content)
    code, run = small.restore(small.plan(backup_of(tmp_path, BACKUP), carry_over=True))
    assert code == 0, outcome(run)
    assert same(small.queue, completed(BACKUP, [*LIVE[:3], added]))
    aside = next(small.root.rglob("aside/queue"))
    assert {p.name: p.read_bytes() for p in aside.iterdir()} == files
    assert not list(small.root.rglob("look-*"))


def test_a_set_of_all_three_and_a_site_without_a_queue(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE)
    good, backup = small.demo.good, backup_of(tmp_path, BACKUP)
    code, run = small.restore(small.plan(good["config"], good["certs"], backup, carry_over=True))
    assert code == 0, outcome(run)
    assert same(small.queue, completed(BACKUP, LIVE))
    small.queue.unlink()
    code, run = small.restore(small.plan(backup, carry_over=True))
    assert code == 0, outcome(run)
    assert same(small.queue, BACKUP)
    assert evidence(run, ADD) == "no queue lived before: there is nothing to carry over"


def test_only_a_restore_of_the_queue_can_carry_over(small: SmallSite) -> None:
    with pytest.raises(UsageError, match="only a restore of the queue"):
        small.plan(small.demo.good["config"], carry_over=True)


@pytest.mark.parametrize("fault", ["not a database", "another shape"])
def test_a_live_queue_that_cannot_be_carried_from_forbids_the_plan(
    small: SmallSite, tmp_path: Path, fault: str
) -> None:
    if fault == "another shape":
        make_live(small, LIVE)
        execute(small.queue, "ALTER TABLE message_queue ADD COLUMN tenant TEXT")
    else:
        small.queue.write_bytes(b"no database" * 500)
    backup = backup_of(tmp_path, BACKUP)
    plan = small.plan(backup, carry_over=True)
    (refusal,) = plan.refusals
    assert refusal.label == "carry-over"
    assert "plan again without carrying over" in refusal.value
    assert not small.plan(backup).refusals
    before = small.fingerprint()
    code, run = small.restore(plan)
    assert (code, outcome(run).outcome) == (1 if fault == "another shape" else code, "failed_untouched")
    assert small.fingerprint() == before
    assert small.calls() == []


def test_a_live_queue_that_cannot_be_read_any_more_is_seen_before_the_stop(
    small: SmallSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_live(small, LIVE)
    plan = small.plan(backup_of(tmp_path, BACKUP), carry_over=True)
    monkeypatch.setattr(sqlite_set, "copy_live", lambda *_: Unknown("it is written all the time"))
    code, run = small.restore(plan)
    assert (code, outcome(run).outcome, small.calls()) == (1, "failed_untouched", [])
    assert "it is written all the time" in outcome(run).evidence


@pytest.mark.parametrize(
    "change",
    [
        "import pathlib; pathlib.Path(r'{}').write_bytes(b'torn' * 4096)",
        "import sqlite3; d = sqlite3.connect(r'{}'); d.execute('ALTER TABLE message_queue ADD COLUMN x'); d.close()",
    ],
)
def test_an_old_queue_that_turns_bad_as_it_stops_is_back_as_it_was(
    small: SmallSite, tmp_path: Path, change: str
) -> None:
    make_live(small, LIVE)
    plan = small.plan(backup_of(tmp_path, BACKUP), carry_over=True)
    small.on_stop(f'{sys.executable} -c "{change.format(small.queue)}"\nsha256sum {small.queue} >{tmp_path}/stopped\n')
    code, run = small.restore(plan)
    assert (code, outcome(run).outcome) == (1, "rolled_back")
    assert outcome(run).left == ()
    (small.control / "on-stop").unlink()
    assert small.running()
    import hashlib

    assert hashlib.sha256(small.queue.read_bytes()).hexdigest() == (tmp_path / "stopped").read_text().split()[0]
    assert not staged_leftovers(small)


def test_a_copy_that_is_not_sound_after_the_carrying_is_never_put_in_place(
    small: SmallSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_live(small, LIVE)
    before = small.fingerprint()
    plan = small.plan(backup_of(tmp_path, BACKUP), carry_over=True)
    real = carrying.carry

    def bad(into: Path, live: Path) -> carrying.Carried:
        found = real(into, live)
        data = bytearray(into.read_bytes())
        data[-4096:] = b"\xff" * 4096
        into.write_bytes(data)
        return found

    monkeypatch.setattr(carrying, "carry", bad)
    code, run = small.restore(plan)
    assert (code, outcome(run).outcome) == (1, "rolled_back")
    assert "is not a sound SQLite database" in outcome(run).evidence
    assert small.fingerprint() == before
    assert small.running()


def test_a_rollback_keeps_what_the_restored_service_took_in(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE)
    before = small.fingerprint()
    code, run = small.restore(small.plan(backup_of(tmp_path, BACKUP), carry_over=True))
    assert code == 0
    taken = Message("acknowledged-afterwards", 0, ago(0), "RIS")
    execute(
        small.queue,
        "INSERT INTO message_queue(id, destination, payload, created_at, scheduled_at, message_type)"
        f" VALUES ('{taken.id}', 'RIS', 'x', '{taken.created}', '{taken.created}', 'ORM^O01')",
    )
    assert roll_back(run) == 1
    assert small.fingerprint() == before
    kept = next(small.root.rglob("withdrawn/queue-1/queue.db"))
    assert same(kept, [*completed(BACKUP, LIVE), taken])


def test_what_is_carried_over_belongs_to_what_arms_the_plan(small: SmallSite, tmp_path: Path) -> None:
    plan = small.plan(backup_of(tmp_path, BACKUP), carry_over=True)
    arming.refuse_stale(plan, arming.inputs_now(plan, small.site, small.state))
    other = msgspec.structs.replace(plan, request=msgspec.structs.replace(plan.request, carry_over=False))
    with pytest.raises(Refused, match="what is carried over changed"):
        arming.refuse_stale(plan, arming.inputs_now(other, small.site, small.state))


def test_a_request_of_before_carries_nothing_over(small: SmallSite) -> None:
    data = msgspec.to_builtins(small.full().request)
    del data["carry_over"]
    assert msgspec.json.decode(msgspec.json.encode(data), type=Request).carry_over is False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_anywhere_a_rollback_or_a_resume_ends_it(small: SmallSite, tmp_path: Path) -> None:
    backup = backup_of(tmp_path, BACKUP)
    make_live(small, LIVE)
    small.queue.chmod(0o600)
    plan, before = small.plan(backup, carry_over=True), small.fingerprint()
    original = small.queue.read_bytes()
    ended = {roll_back: 0, resume: 0}
    for at in range(1, LIMIT):
        small.reset()
        small.queue.write_bytes(original)
        run = small.arm(plan)
        code = in_child(lambda run=run: worker.restore(run, never), at, KILLED_AT)  # type: ignore[misc]
        if code == 0:
            break
        assert code == -9, at
        events = events_of(run) if (run / "journal.jsonl").exists() else []
        copied = any(isinstance(event, Began) and event.title == COPY for event in events)
        if not copied or any(isinstance(event, Ended) for event in events):
            continue  # until it is copied, this is a run like any other
        way = (roll_back, resume)[at // 2 % 2]  # just before and just after one write end in the same way
        ended[way] += 1
        if way is roll_back:
            assert way(run) in (1, 130), at
            assert small.fingerprint() == before, at
            assert staged_leftovers(small) == [], at
        else:
            assert way(run) == 0, (at, outcome(run))
            assert same(small.queue, completed(BACKUP, LIVE)), at
        assert small.running(), at
    else:
        pytest.fail("the run was never let through")
    assert min(ended.values()) > 15


@pytest.mark.slow
def test_a_hundred_thousand_messages_are_carried_over_as_fast_as_foreseen(small: SmallSite, tmp_path: Path) -> None:
    rows = [Message(f"new-{n:06}", 0, ago(0.1)) for n in range(100_000)]
    small.queue.unlink()
    write(small.queue, rows)
    plan = small.plan(backup_of(tmp_path, BACKUP), carry_over=True)
    code, run = small.restore(plan)
    assert code == 0, outcome(run)
    report = looks.report_of(run)
    assert report.carry_over_seconds is not None
    assert plan.carry_over_seconds is not None
    assert report.carry_over_seconds < 10 * plan.carry_over_seconds + 1
    with closing(sqlite3.connect(small.queue)) as database:
        assert database.execute("SELECT count(*) FROM message_queue").fetchone()[0] == 100_000 + 6
