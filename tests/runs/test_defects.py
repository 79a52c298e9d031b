"""What the guide's own scripts get wrong, each as a restore here: good data stays, and success is not claimed."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest

from pacs_recover import arming, looks, worker
from pacs_recover import plan as plans
from pacs_recover.audit import checking, log
from pacs_recover.authority import Authority
from pacs_recover.errors import BadBackup, RecoverError, Refused, SourceError
from pacs_recover.events import Asked, Began, Effect, Passed
from pacs_recover.formats import openssl_enc
from pacs_recover.selection import select
from pacs_recover.sources import file
from pacs_recover.spawning import spawn
from tests.runs.small_site import SmallSite, events_of, outcome, rows


def good_queue(small: SmallSite) -> str:
    """The id of the newest good queue backup."""
    return small.demo.good["queue"]


def add_row(database: Path, name: str) -> None:
    """One more message that waits."""
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(
            "INSERT INTO message_queue (id, destination, payload, created_at, scheduled_at)"
            " VALUES (?, 'RIS', 'x', '2026-01-01 00:00:00.000', '2026-01-01 00:00:00.000')",
            (name,),
        )
    connection.close()


def test_a1_a_mistyped_path_or_an_empty_gz_never_becomes_an_empty_queue(small: SmallSite, tmp_path: Path) -> None:
    before = small.fingerprint()
    with pytest.raises(SourceError, match="no-such-file"):
        small.plan(str(tmp_path / "no-such-file.db.gz"), words=["queue"])
    with gzip.open(tmp_path / "queue_20260101_000000.db.gz", "wb"):
        pass
    with pytest.raises(BadBackup):
        small.plan(str(tmp_path / "queue_20260101_000000.db.gz"), words=["queue"])
    assert small.fingerprint() == before
    assert small.calls() == []


def test_a3_a_stale_wal_is_never_replayed_over_the_restored_file(small: SmallSite) -> None:
    (small.control / "running").unlink()
    holder = sqlite3.connect(small.queue)
    holder.execute("PRAGMA journal_mode=WAL")
    holder.execute("PRAGMA wal_autocheckpoint=0")
    with holder:
        holder.execute("DELETE FROM message_queue")
    wal = small.queue.with_name("queue.db-wal")
    kept = wal.read_bytes()
    holder.close()
    wal.write_bytes(kept)
    assert len(kept) > 32
    plan = small.plan(good_queue(small))
    code, _ = small.restore(plan)
    assert code == 0
    expected = {row["name"]: row["rows"] for row in plan.previews["queue"].details["tables"]}
    assert rows(small.queue) == expected
    assert expected["message_queue"] > 0


def test_a6_a_rollback_brings_the_wal_back_with_its_committed_rows(small: SmallSite) -> None:
    shutil.copy(small.queue, small.root / "copy.db")
    connection = sqlite3.connect(small.queue)
    connection.execute("PRAGMA journal_mode=WAL")
    with connection:
        connection.execute("UPDATE message_queue SET attempt_count = 77")
    files = {path.name: path.read_bytes() for path in small.queue.parent.glob("queue.db*") if "shm" not in path.name}
    connection.close()
    for name, content in files.items():
        (small.queue.parent / name).write_bytes(content)
    assert len(files) == 2
    small.on_start("exit 0\n")
    (small.control / "refuse-start").touch()
    code, run = small.restore(small.plan(good_queue(small)))
    assert code in (1, 4)
    (small.control / "refuse-start").unlink()
    if code == 4:
        assert worker.take_up(run, "rollback", "test", lambda: False) == 1
    for name, content in files.items():
        assert (small.queue.parent / name).read_bytes() == content, name


def test_a7_a_second_run_keeps_what_the_first_set_aside(small: SmallSite) -> None:
    original = small.queue.read_bytes()
    for _ in range(2):
        assert small.restore(small.plan(good_queue(small)))[0] == 0
    asides = list(small.root.rglob("aside/queue/queue.db"))
    assert len(asides) == 2
    assert original in [path.read_bytes() for path in asides]
    listed = [b for b in small.context().catalog("queue").backups if b.source == "aside"]
    assert len(listed) == 2


@pytest.mark.parametrize("component", ["config", "certs"])
def test_a8_a9_set_aside_trees_never_nest_and_the_newest_generation_comes_back(
    small: SmallSite, component: str
) -> None:
    assert small.restore(small.plan(small.demo.good[component]))[0] == 0
    second = small.fingerprint()
    (small.control / "refuse-start").touch()
    code, run = small.restore(small.plan(small.demo.good[component]))
    (small.control / "refuse-start").unlink()
    if code == 4:
        assert worker.take_up(run, "rollback", "test", lambda: False) == 1
    assert small.fingerprint() == second


def test_a10_the_keys_that_the_archive_lacks_stay(small: SmallSite) -> None:
    keys = {path: path.read_bytes() for path in small.config.rglob("*.key")}
    (small.config / "extra.key").write_bytes(b"extra")
    code, _ = small.restore(small.plan(small.demo.good["config"]))
    assert code == 0
    assert keys
    for path, content in {**keys, small.config / "extra.key": b"extra"}.items():
        assert path.read_bytes() == content
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a14_a_service_that_does_not_stop_is_noticed_before_anything_is_moved(small: SmallSite) -> None:
    before = small.fingerprint()
    (small.control / "refuse-stop").touch()
    code, run = small.restore(small.plan(good_queue(small)))
    assert code == 1
    assert small.fingerprint() == before
    assert small.running()
    moved = [e for e in events_of(run) if isinstance(e, Effect) and e.undo in ("bring_back", "take_out")]
    assert moved == []


def test_a14_a_process_that_still_holds_the_queue_is_named(small: SmallSite) -> None:
    code = (
        f"import sqlite3,time; c=sqlite3.connect({str(small.queue)!r}); "
        "c.execute('select 1 from message_queue').fetchone(); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as writer:
        time.sleep(0.5)
        try:
            exit_code, run = small.restore(small.plan(good_queue(small)))
        finally:
            writer.kill()
    assert exit_code == 1
    assert str(writer.pid) in outcome(run).evidence


def test_b1_b2_a_database_with_a_damaged_index_is_refused_by_the_full_check(small: SmallSite, tmp_path: Path) -> None:
    backup = tmp_path / "queue_20260101_000000.db"
    shutil.copy(small.queue, backup)
    connection = sqlite3.connect(backup, isolation_level=None)
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = replace(sql, '(state)', '(priority)') WHERE name='idx_queue_state'"
    )
    connection.close()
    with pytest.raises(BadBackup):
        small.plan(str(backup), words=["queue"])


def unnoticed(small: SmallSite, backup: Path, flips: int, word: str) -> bytes:
    """Flip single bits of a backup: with its recorded hash every one is refused; one that nothing else notices."""
    stored, sums, seeded = backup.read_bytes(), backup.with_name(backup.name + ".sha256"), random.Random(backup.suffix)
    recorded = hashlib.sha256(stored).hexdigest()
    missed = []
    for _ in range(flips):
        damaged = bytearray(stored)
        damaged[seeded.randrange(len(stored))] ^= 1 << seeded.randrange(8)
        backup.write_bytes(damaged)
        sums.write_text(f"{recorded}  {backup.name}\n")
        (fact,) = looks.preview(small.site, file.at(backup), small.state).facts
        assert fact.state == "bad"
        assert recorded in fact.value
        assert hashlib.sha256(damaged).hexdigest() in fact.value
        sums.unlink()
        if looks.preview(small.site, file.at(backup), small.state).state != "bad":
            missed.append(bytes(damaged))
    assert missed, "nothing is shown where every flip is found anyway"
    backup.write_bytes(missed[0])
    assert small.plan(str(backup), words=[word]).request.choices[0].manifest == "no recorded hash"
    sums.write_text(f"{recorded}  {backup.name}\n")
    return missed[0]


def test_b3_flipped_bits_that_no_check_of_sqlite_sees_are_found_by_the_recorded_hash(
    small: SmallSite, tmp_path: Path
) -> None:
    backup = tmp_path / "queue_20261110_020000.db"
    shutil.copy(small.queue, backup)
    damaged = unnoticed(small, backup, 60, "queue")
    with closing(sqlite3.connect(f"{backup.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with pytest.raises(BadBackup, match=hashlib.sha256(damaged).hexdigest()):
        small.plan(str(backup), words=["queue"])
    assert small.calls() == []


def test_b12_flipped_bits_that_decrypt_without_an_error_are_found_by_the_recorded_hash(
    small: SmallSite, tmp_path: Path
) -> None:
    backup, plain = tmp_path / "config_20261110_020000.tar.enc", io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.add(small.config / "config.yaml", "pacs_bridge/config.yaml")
    plain.seek(0)
    backup.write_bytes(openssl_enc.encrypting(plain, openssl_enc.password_from(small.site.key_file)).read())
    damaged = unnoticed(small, backup, 60, "config")
    with pytest.raises(BadBackup, match=hashlib.sha256(damaged).hexdigest()):
        small.plan(str(backup), words=["config"])
    assert small.calls() == []


def test_b4_a_queue_backup_with_one_flipped_bit_is_refused(small: SmallSite) -> None:
    before = small.fingerprint()
    with pytest.raises(BadBackup):
        small.plan(small.demo.corrupt)
    assert small.fingerprint() == before
    assert small.calls() == []


def test_b6_tables_are_found_not_assumed(small: SmallSite) -> None:
    plan = small.plan(good_queue(small))
    assert {row["name"] for row in plan.previews["queue"].details["tables"]} == {"message_queue", "dead_letter_queue"}


def test_b10_an_expired_certificate_is_refused_before_the_service_is_touched(small: SmallSite) -> None:
    with pytest.raises(BadBackup, match="EXPIRED"):
        small.plan(small.demo.expired)
    assert small.calls() == []


def test_b10_somebody_elses_key_is_refused(small: SmallSite, tmp_path: Path) -> None:
    foreign = tmp_path / "certs"
    shutil.copytree(small.config / "certs", foreign)
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    stranger = ec.generate_private_key(ec.SECP256R1())
    key = next(foreign.glob("server*.key"))
    key.write_bytes(stranger.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    archive = tmp_path / "certs_20260101_000000.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(foreign, "certs")
    with pytest.raises(BadBackup):
        small.plan(str(archive), words=["certs"])


@pytest.mark.needs("openssl", "tar", reason="the guide's own pipeline makes the backup")
def test_b11_a_wrong_key_is_a_failure_at_the_first_step_of_the_pipe(small: SmallSite, tmp_path: Path) -> None:
    (tmp_path / "other_key").write_text("another password\n")
    out = tmp_path / "certs_20260101_000000.tar.enc"
    subprocess.run(
        f"tar -cf - -C {small.config} certs | openssl enc -aes-256-cbc -salt -pbkdf2"
        f" -pass file:{tmp_path}/other_key -out {out}",
        shell=True,
        check=True,
    )
    with pytest.raises(BadBackup, match=r"(?i)key"):
        small.plan(str(out), words=["certs"])
    assert small.calls() == []


def test_b13_half_an_archive_is_refused_though_its_configuration_comes_first(small: SmallSite) -> None:
    with pytest.raises(BadBackup):
        small.plan(small.demo.truncated)


def test_b14_a_service_that_starts_and_dies_is_rolled_back(small: SmallSite) -> None:
    before = small.fingerprint()
    plan = small.plan(good_queue(small))
    small.on_start(f"rm -f {small.control}/running\nrm -f {small.control}/on-start\n")
    code, run = small.restore(plan)
    assert code == 1
    assert outcome(run).outcome == "rolled_back"
    assert small.fingerprint() == before
    assert small.running()


def test_c1_the_worker_ignores_a_hangup(small: SmallSite) -> None:
    run = small.arm(small.plan(good_queue(small)))
    process = spawn(run, "restore", Authority())
    while not (run / "journal.jsonl").exists():
        time.sleep(0.01)
    while process.poll() is None:
        process.send_signal(1)
        time.sleep(0.02)
    assert process.wait(60) == 0
    assert outcome(run).outcome == "restored"


def test_c2_a_second_run_is_refused_while_one_goes_on_and_after_one_that_was_cut(small: SmallSite) -> None:
    plan = small.plan(good_queue(small))
    small.on_start("sleep 1\n")
    first = small.arm(plan)
    going = threading.Thread(target=lambda: worker.restore(first, lambda: False))
    going.start()
    time.sleep(0.5)
    second = small.arm(plan)
    assert worker.restore(second, lambda: False) == 5
    going.join()
    assert outcome(first).outcome == "restored"
    assert outcome(second).outcome == "failed_untouched"


def test_c3_a_filesystem_without_room_is_found_before_the_stop(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small.plan(good_queue(small))
    usage = shutil.disk_usage(small.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    code, _ = small.restore(plan)
    assert code == 1
    assert small.calls() == []


def test_c4_files_are_synced_before_they_go_live_and_directories_after(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def noting(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", noting)
    assert small.restore(small.plan(good_queue(small)))[0] == 0
    staged = next(place for place, path in enumerate(synced) if path.endswith("sealed/queue.db"))
    live = len(synced) - 1 - synced[::-1].index(str(small.queue.parent))
    assert staged < live


def test_c5_the_backup_is_proven_before_the_outage_begins(small: SmallSite) -> None:
    code, run = small.restore(small.full())
    assert code == 0
    titles = [event.title for event in events_of(run) if isinstance(event, Began)]
    stop = next(place for place, title in enumerate(titles) if title.startswith("Stop "))
    checks = [
        place for place, title in enumerate(titles) if "integrity" in title or "valid" in title or "match" in title
    ]
    assert checks
    assert max(checks) < stop


def test_d1_nothing_that_holds_messages_or_keys_can_be_read_by_others(small: SmallSite) -> None:
    open_to_others: list[str] = []
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.is_set():
            for base in (small.root / "state", small.live):
                for pattern in (".pacs_recover", "pacs_recover-scratch-*", "runs/*"):
                    with suppress(OSError):
                        open_to_others.extend(str(p) for p in base.rglob(pattern) if p.stat().st_mode & 0o077)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code, run = small.restore(small.full())
    stopping.set()
    watcher.join()
    assert code == 0
    assert open_to_others == []
    assert stat.S_IMODE(small.queue.stat().st_mode) == 0o600
    assert stat.S_IMODE((run / "journal.jsonl").stat().st_mode) == 0o600


def test_d2_an_archive_that_escapes_writes_nothing(small: SmallSite, tmp_path: Path) -> None:
    archive = tmp_path / "config_20260101_000000.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(small.config / "config.yaml", "pacs_bridge/config.yaml")
        tar.add(small.config / "config.yaml", "pacs_bridge/../../../../escaped")
    with pytest.raises(BadBackup):
        small.plan(str(archive), words=["config"])
    assert not any(path.name == "escaped" for path in small.root.rglob("*"))


def test_d5_a_key_that_lies_only_on_the_host_to_be_recovered_is_a_finding_of_status_and_plan(
    small: SmallSite, tmp_path: Path
) -> None:
    alone = msgspec.structs.replace(small.site, key_copy=None)
    plan = plans.make(alone, select(small.context().catalog(), ("config",), ()), small.state)
    assert any("only known copy of the key" in fact.value and fact.state == "warn" for fact in plan.findings)
    told = looks.status(alone, small.context().catalog(), small.state)["findings"]
    assert [(finding["label"], finding["state"]) for finding in told] == [("key copy", "warn")]
    assert not any(fact.label == "key copy" for fact in small.plan(small.demo.good["config"]).findings)


def test_d6_every_look_and_every_change_is_recorded_and_no_record_is_lost_unseen(small: SmallSite) -> None:
    looks.preview(small.site, small.find(small.demo.good["certs"]), small.state)
    plan = small.plan(good_queue(small))
    assert spawn(small.arm(plan), "restore", Authority()).wait(60) == 0
    home = small.state.audit.home
    whats = [record.what for record in checking.records(home)]
    assert whats == ["preview"] * 2 + ["plan"] * 2 + ["run", "question", "answer", "run"]
    assert checking.verify(home, ()).findings == ()
    (segment,) = log.segments(home)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert [finding.kind for finding in checking.verify(home, ()).findings] == ["removed"]


def test_a_question_that_the_plan_did_not_print_counts_as_declined(small: SmallSite) -> None:
    plan = small.plan(good_queue(small))
    assert plan.request.questions
    run = small.arm(plan)
    request = msgspec.json.decode((run / worker.REQUEST).read_bytes())
    request["assume_yes"] = False
    request["site"]["question_timeout"] = 0.2
    (run / worker.REQUEST).write_bytes(msgspec.json.encode(request))
    assert worker.restore(run, lambda: False) == 5
    assert small.calls() == []
    assert any(isinstance(event, Asked) for event in events_of(run))
    assert not any(isinstance(event, Passed) and event.title.startswith("Stop") for event in events_of(run))


def test_rows_acknowledged_before_the_soak_failed_are_kept_and_named(small: SmallSite) -> None:
    before = small.fingerprint()
    plan = small.plan(good_queue(small))
    add = (
        f"import sqlite3; c=sqlite3.connect({str(small.queue)!r}); c.execute('PRAGMA journal_mode=WAL'); "
        'c.execute("INSERT INTO message_queue (id,destination,payload,created_at,scheduled_at) VALUES '
        "('acknowledged','RIS','x','2026-01-01 00:00:00.000','2026-01-01 00:00:00.000')\"); c.commit()"
    )
    adding = add.replace('"', '\\"')
    dying = f"rm -f {small.control}/running {small.control}/on-start"
    small.on_start(f'{sys.executable} -c "{adding}"\n{dying}\n')
    code, run = small.restore(plan)
    assert code == 1
    assert small.fingerprint() == before
    withdrawn = next(path for path in small.root.rglob("withdrawn/*/queue.db"))
    connection = sqlite3.connect(withdrawn)
    assert connection.execute("SELECT count(*) FROM message_queue WHERE id='acknowledged'").fetchone() == (1,)
    connection.close()
    assert any(str(withdrawn.parent.parent.parent) in place for place in outcome(run).kept)


def test_a_stale_plan_is_refused_by_what_changed(small: SmallSite) -> None:
    plan = small.plan(good_queue(small))
    arming.refuse_stale(plan, arming.inputs_now(plan, small.site, small.state))
    add_row(small.queue, "one-more")
    arming.refuse_stale(plan, arming.inputs_now(plan, small.site, small.state))
    (small.config / "config.yaml").write_text("server: {name: other}\n")
    with pytest.raises(Refused, match="live config"):
        arming.refuse_stale(plan, arming.inputs_now(plan, small.site, small.state))


def test_a_plan_arms_one_run(small: SmallSite) -> None:
    plan = small.plan(good_queue(small))
    arming.save(plan, small.state, Authority())
    arming.use_up(plan, small.state, small.state.new_run())
    with pytest.raises(RecoverError):
        arming.load(plan.plan_id, small.state)
