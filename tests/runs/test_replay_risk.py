"""What a restored queue sends again and loses: foreseen in the plan, agreed to, counted once more when it is done."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import sys
import tarfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from pacs_recover import looks, report
from pacs_recover import plan as plans
from pacs_recover.events import Effect, Passed
from pacs_recover.formats import replay as replaying
from pacs_recover.formats import sqlite_set
from pacs_recover.formats.replay import Replay
from pacs_recover.formats.sqlite_set import Unknown
from pacs_recover.selection import select
from pacs_recover.site.services import CommandConfig
from tests.formats.queue_files import SYNTHETIC
from tests.formats.replay_by_hand import Message, by_hand, read, write
from tests.runs.small_site import SmallSite, events_of, outcome

COUNT = "Count what is sent again and what is lost"
TTL = 48 * 3600.0
"""Of the small site's configuration."""


def ago(hours: float) -> str:
    """A time as the service writes it."""
    return (datetime.now(UTC) - timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def backup_of(path: Path, messages: Sequence[Message]) -> str:
    """A queue backup by its path."""
    plain = write(path / "backup.db", messages)
    packed = path / "queue_20260101_000000.db.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    return str(packed)


def make_live(small: SmallSite, messages: Sequence[Message]) -> None:
    """The live queue holds just these."""
    small.queue.unlink()
    write(small.queue, messages)


BACKUP = [
    Message("sent-since", 0, ago(5), "RIS"),
    Message("processed-then", 1, ago(5), "EMR", "ADT^A08"),
    Message("retried-then", 2, ago(30), "EMR", "ADT^A08"),
    Message("waits-still", 0, ago(5), "RIS"),
    Message("too-old", 0, ago(100), "RIS"),
    Message("delivered", 3, ago(5), "RIS"),
    Message("dead", None, ago(90), "RIS"),
]
LIVE = [
    Message("waits-still", 2, ago(5), "RIS"),
    Message("sent-since", 3, ago(5), "RIS"),
    Message("arrived", 0, ago(0.5), "EMR"),
    Message("arrived-and-sent", 3, ago(2), "RIS", None),
    Message("arrived-and-died", None, ago(2), "RIS", "ORU^R01"),
]


def sentence(run: Path) -> str:
    """What the last step found."""
    return next(e.evidence for e in events_of(run) if isinstance(e, Passed) and e.title == COUNT)


def stopped_at(run: Path) -> datetime:
    """When the old queue was set aside."""
    return next(e.at for e in events_of(run) if isinstance(e, Effect) and e.undo == "bring_back")


def test_a_plan_foresees_just_what_plain_sets_give(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE)
    plan = small.plan(backup_of(tmp_path, BACKUP))
    expected = by_hand(BACKUP, LIVE, plan.made_at, TTL)
    assert plan.replay == expected.numbers()
    assert (expected.resent, expected.dead_lettered, expected.lost_since) == (3, 1, 3)
    told = json.loads(msgspec.json.encode(looks.plan_json(plan)))["replay_risk"]
    assert told["by_destination"] == {
        "RIS": {"resent": 1, "dead_lettered": 1, "lost_since": 2, "carried": 0},
        "EMR": {"resent": 2, "dead_lettered": 0, "lost_since": 1, "carried": 0},
    }
    (question,) = plan.request.questions
    assert question.title == "The replay risk is accepted"
    assert (
        "3 messages would be sent again [to EMR 2, RIS 1 / type ADT^A08 2, ORM^O01 1 / age under 1 day 2, older 1]"
        in (question.details)
    )
    assert "1 of them not yet sent [to RIS 2, EMR 1 / type" in question.details


def test_it_is_counted_again_against_what_was_set_aside_though_the_service_works_on(
    small: SmallSite, tmp_path: Path
) -> None:
    make_live(small, LIVE)
    plan = small.plan(backup_of(tmp_path, BACKUP))
    late = [*LIVE, Message("late", 0, ago(0.01), "PACS", "SIU^S12")]
    make_live(small, late)
    emptied = (
        "import sqlite3; d = sqlite3.connect(r'{}'); d.execute('DELETE FROM message_queue'); d.commit(); d.close()"
    )
    small.on_start(f'{sys.executable} -c "{emptied.format(small.queue)}"\n')
    code, run = small.restore(plan)
    assert code == 0, outcome(run)
    assert read(small.queue) == [m for m in BACKUP if m.state is None]
    expected = by_hand(BACKUP, late, stopped_at(run), TTL)
    assert sentence(run).startswith(expected.sentence(final=True))
    assert expected.lost_since == 4
    assert "PACS 1" in sentence(run)
    aside = next(small.root.rglob("aside/queue/queue.db"))
    assert str(aside) in sentence(run)
    assert set(read(aside)) == set(late)


def test_the_final_numbers_are_in_every_report_and_no_message_is(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE)
    _, run = small.restore(small.plan(backup_of(tmp_path, BACKUP)))
    told = looks.report_of(run)
    assert told.steps[-1].title == COUNT
    assert told.steps[-1].evidence == sentence(run)
    everything = (run / "journal.jsonl").read_text() + json.dumps(report.to_json(told))
    assert "3 messages sent again" in everything
    assert SYNTHETIC[:8] not in everything
    assert "arrived-and-died" not in everything


def test_counting_takes_no_downtime_and_leaves_nothing_behind(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE)
    code, run = small.restore(small.plan(backup_of(tmp_path, BACKUP)))
    assert code == 0
    steps = [e.title for e in events_of(run) if isinstance(e, Passed)]
    assert steps.index(COUNT) > steps.index("PACS Bridge stays up")
    assert not [*small.root.rglob("outline.db"), *small.root.rglob("count"), *small.root.rglob("look-*")]


def test_a_set_aside_wal_counts_and_stays_as_it_is(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE[:3])
    with closing(sqlite3.connect(small.queue)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        with writer:
            writer.execute(
                "INSERT INTO message_queue(id, destination, payload, created_at, scheduled_at, message_type)"
                " VALUES ('in-the-wal', 'PACS', 'x', ?1, ?1, 'SIU^S12')",
                (ago(0.1),),
            )
        files = {p.name: p.read_bytes() for p in small.queue.parent.glob("queue.db*") if not p.name.endswith("-shm")}
    for name, content in files.items():
        (small.queue.parent / name).write_bytes(content)
    assert len(files["queue.db-wal"]) > 0
    code, run = small.restore(small.plan(backup_of(tmp_path, BACKUP)))
    assert code == 0, outcome(run)
    assert "2 messages arrived since and lost, 2 of them not yet sent [to EMR 1, PACS 1" in sentence(run)
    aside = next(small.root.rglob("aside/queue"))
    assert {p.name: p.read_bytes() for p in aside.iterdir()} == files
    assert not list(small.root.rglob("look-*"))


def test_without_an_old_queue_all_that_waits_is_sent(small: SmallSite, tmp_path: Path) -> None:
    small.queue.unlink()
    code, run = small.restore(small.plan(backup_of(tmp_path, BACKUP)))
    assert code == 0
    assert sentence(run).startswith("4 messages sent again [to EMR 2, RIS 2")
    assert sentence(run).endswith("no queue lived before")


def test_a_restore_from_what_was_set_aside_is_counted_too(small: SmallSite, tmp_path: Path) -> None:
    make_live(small, LIVE)
    assert small.restore(small.plan(backup_of(tmp_path, BACKUP)))[0] == 0
    (aside,) = [b for b in small.context().catalog("queue").backups if b.source == "aside"]
    plan = small.plan(aside.id)
    assert plan.replay == by_hand(LIVE, BACKUP, plan.made_at, TTL).numbers()
    code, run = small.restore(plan)
    assert code == 0
    assert sentence(run).startswith(by_hand(LIVE, BACKUP, stopped_at(run), TTL).sentence(final=True))


def boom(*_: object, **__: object) -> Replay:
    """A fault that nobody thought of."""
    raise ZeroDivisionError("a value that must not be told")


def test_a_count_that_fails_never_touches_a_good_restore(
    small: SmallSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small.plan(backup_of(tmp_path, BACKUP))
    monkeypatch.setattr(replaying, "compare", boom)
    code, run = small.restore(plan)
    assert (code, outcome(run).outcome) == (0, "restored")
    assert sentence(run) == "unknown what was sent again or lost: ZeroDivisionError"


def test_a_backup_that_cannot_be_listed_is_restored_and_the_count_says_why_it_is_unknown(
    small: SmallSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small.plan(backup_of(tmp_path, BACKUP))
    monkeypatch.setattr(replaying, "ROOM", 1 << 60)
    code, run = small.restore(plan)
    assert code == 0
    assert sentence(run) == "unknown what was sent again or lost: the backup's messages were not listed before the stop"


def test_a_wal_that_cannot_be_copied_makes_the_count_unknown(
    small: SmallSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small.plan(backup_of(tmp_path, BACKUP))
    small.queue.with_name("queue.db-wal").write_bytes(b"not a log, but there")
    monkeypatch.setattr(sqlite_set, "copy_live", lambda *_: Unknown("no room"))
    code, run = small.restore(plan)
    assert code == 0
    assert sentence(run) == "unknown what was sent again or lost: no room"


@pytest.mark.parametrize(("written", "hours"), [("90h", 90), ("${BRIDGE_TTL:-24h}", 90), ("${NOT_SET:-6h}", 6)])
def test_the_time_to_live_is_that_of_the_configuration_that_is_restored_with_it(
    small: SmallSite, tmp_path: Path, written: str, hours: int
) -> None:
    site, service = small.site, small.site.services[0]
    assert isinstance(service, CommandConfig)
    service = msgspec.structs.replace(service, environment={**(service.environment or {}), "BRIDGE_TTL": "90h"})
    site = msgspec.structs.replace(site, services=(service,))
    tree = tmp_path / "pacs_bridge"
    shutil.copytree(small.config, tree)
    file = tree / site.live.config_file
    text = file.read_text()
    assert "message_ttl: 48h" in text
    file.write_text(text.replace("message_ttl: 48h", f"message_ttl: {written}"))
    archive = tmp_path / "config_20260101_000000.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tree, "pacs_bridge")
    make_live(small, LIVE)
    context = small.context()
    found = context.catalog()
    backup = [*BACKUP, Message("sixty-hours", 0, ago(60))]
    queue, config = select(found, (), (backup_of(tmp_path, backup), str(archive)))
    alone = plans.make(site, [queue], context.state)
    together = plans.make(site, [queue, config], context.state)
    assert alone.replay == by_hand(backup, LIVE, alone.made_at, TTL).numbers()
    assert together.replay == by_hand(backup, LIVE, together.made_at, hours * 3600.0).numbers()
    assert together.replay != alone.replay
