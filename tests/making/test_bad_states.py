"""What must not become a backup, does not; what goes wrong is said, and spoils nothing else."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pacs_recover import looks
from pacs_recover.errors import RecoverError
from pacs_recover.formats.sqlite import tables
from pacs_recover.making import directory, live, run
from pacs_recover.making.artifact import Artifact, Title
from pacs_recover.model import Backup
from pacs_recover.site import LocalConfig, Site
from pacs_recover.sources.local import LocalSource
from pacs_recover.target import places
from tests.cli.shell import Gate, Shell, edited, until, with_site
from tests.making.conftest import local, one, sh, stored
from tests.runs.small_site import SmallSite


@pytest.mark.parametrize("component", ["config", "certs", "logs"])
def test_a11_an_archive_of_nothing_is_a_failure_and_no_backup(
    shell: Shell, small: SmallSite, store: Path, component: str
) -> None:
    shell("backup", component, code=0)
    before = stored(store)
    place = {"config": small.config, "certs": small.config / "certs", "logs": small.live / "var/log/pacs_bridge"}[
        component
    ]
    shutil.rmtree(place)
    if component != "logs":
        place.mkdir()
    done = shell("backup", component)
    assert done.code in (3, 6), done
    assert f"NOT BACKED UP: {component}" in done.err
    assert done.out == ""
    assert stored(store) == before, "what was good stays, and nothing was added"


def test_a11_a_configuration_that_no_restore_would_take_is_no_backup(
    shell: Shell, small: SmallSite, store: Path
) -> None:
    (small.config / "config.yaml").write_text("hl7: [\n")
    assert "nothing was stored" in shell("backup", "config", code=6).err
    assert stored(store) == []


def test_b5_a_valid_queue_is_verified_and_from_a_real_file(shell: Shell, small: SmallSite, store: Path) -> None:
    found = shell("backup", "queue", "--json", code=0).json["backups"][0]
    assert found["ok"]
    queue = one(store, "queue")
    guides = sh('gunzip -c "$Q" | sqlite3 /dev/stdin "SELECT COUNT(*) FROM message_queue" 2>&1 || true', Q=queue)
    assert "unable to open" in guides or "rror" in guides, "what the guide does fails on every valid one"
    verified = shell("verify", found["backup"], "--json", code=0).json["results"][0]
    assert verified["sha256"] == found["sha256"]


def test_b7_a_missing_queue_is_not_created(shell: Shell, small: SmallSite, store: Path) -> None:
    small.queue.unlink()
    assert "there is no queue" in shell("backup", "queue", code=3).err
    assert not small.queue.exists()
    small.queue.touch()
    assert "0 bytes" in shell("backup", "queue", code=6).err
    assert (small.queue.stat().st_size, stored(store)) == (0, [])


def test_b7_a_half_restored_site_is_not_backed_up(small: SmallSite, store: Path) -> None:
    gate = Gate(small)
    own_file = small.root / "own.yaml"
    own_file.write_bytes(edited(small, sources=[local(store)]).read_bytes())
    own_file.chmod(0o600)
    own = Shell(small, ("--site", str(own_file), "--state", str(small.root / "state")))
    slow = gate.shell
    going = slow.start("restore", "--yes", "--plan", slow.plan("config"), "--json")
    gate.reached()
    refused = own("backup", "full", "--wait", "0.2", code=5)
    assert "is going on" in refused.err
    assert stored(store) == []
    waiting = own.start("backup", "config", "--wait", "50")
    gate.open()
    assert "config/" in waiting.communicate(timeout=60)[0]
    going.communicate(timeout=60)
    assert one(store, "config")


def test_a_damaged_queue_gives_no_backup(shell: Shell, small: SmallSite, store: Path) -> None:
    with closing(sqlite3.connect(small.queue)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page, root = (
            database.execute(question).fetchone()[0]
            for question in ("PRAGMA page_size", "SELECT rootpage FROM sqlite_master WHERE type = 'index' LIMIT 1")
        )
    with small.queue.open("r+b") as file:
        file.seek((root - 1) * page + 8)  # its cell pointers
        file.write(b"\xa5" * 60)
    done = shell("backup", "queue", code=6)
    assert "nothing was stored" in done.err or "restore it" in done.err
    assert stored(store) == []


def test_a_queue_that_a_writer_keeps_locked_is_given_up_in_time(small: SmallSite, tmp_path: Path) -> None:
    look = looks.look(small.site)
    with closing(sqlite3.connect(small.queue, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=DELETE")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RecoverError, match="locked"):
            live.queue(look, tmp_path, patience=0.4)
        writer.execute("ROLLBACK")
        taken = live.queue(look, tmp_path, patience=0.4)
    assert dict(tables(taken.path))["message_queue"] > 0


def test_one_place_that_fails_does_not_spoil_the_other(small: SmallSite, store: Path, tmp_path: Path) -> None:
    dead = {"kind": "s3", "name": "dead", "bucket": "none", "endpoint": "http://127.0.0.1:9", "region": "us-east-1"}
    gone = local(tmp_path / "not-mounted", "gone")
    own = with_site(small, sources=[gone, dead, local(store)], backup={"to": ["gone", "dead", "local"]})
    own.env |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_EC2_METADATA_DISABLED": "true"}
    done = own("backup", "queue", "--json", code=3).json
    told = {one["destination"]: one for one in done["backups"]}
    assert [(name, one["ok"]) for name, one in told.items()] == [("gone", False), ("dead", False), ("local", True)]
    assert "mounted" in told["gone"]["error"]["hint"]
    assert "refuses" in told["dead"]["error"]["message"]
    assert not (tmp_path / "not-mounted").exists(), "a disk that is not mounted is not made up for"
    assert one(store, "queue").name.startswith("queue_")
    errors = own("backup", "queue", code=3)
    assert errors.err.count("NOT BACKED UP: queue to") == 2


def test_a_full_disk_is_told_and_leaves_nothing(small: SmallSite, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = directory.Directory(LocalConfig(name="local", path=store), Site())
    made = artifact(store.parent, b"x" * 5_000_000)
    list(place.begin("queue"))

    def full(raw: object, out: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(directory.streams, "copy", full)
        with pytest.raises(OSError, match="No space"):
            place.store(made)
    assert stored(store) == []


@pytest.mark.needs("unshare", reason="a filesystem of a few blocks")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize(("full", "said"), [("backups", "the disk is full"), ("state", "make room")])
def test_a_real_disk_that_is_full(shell: Shell, small: SmallSite, store: Path, full: str, said: str) -> None:
    place = store if full == "backups" else small.root / "state"
    place.mkdir(exist_ok=True)
    inside = f'mount -t tmpfs -o size=8k,mode=700 none {place} && {{ "$@"; echo "code $?"; find {store} -type f; }}'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", inside, "sh", *shell.argv(("backup", "queue"))], capture_output=True, text=True
    )
    assert done.stdout == "code 1\n", done
    assert said in done.stderr


def test_two_backups_of_one_minute_take_turns(shell: Shell, store: Path) -> None:
    both = [shell.start("backup", name, "--wait", "50") for name in ("queue", "config")]
    told = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert len(stored(store)) == 2


def artifact(home: Path, content: bytes) -> Artifact:
    """A file that is to be stored as a queue; what is in it is not looked at there."""
    import hashlib

    path = home / "made"
    path.write_bytes(content)
    title = Title("queue", datetime(2026, 11, 10, 2, 0, tzinfo=UTC), "db.gz")
    return Artifact(title, path, len(content), hashlib.sha256(content).hexdigest())


def test_an_hour_that_comes_twice_costs_no_backup(store: Path) -> None:
    zone = "Europe/Berlin"
    place = directory.Directory(LocalConfig(name="local", path=store), Site(timezone=zone))
    list(place.begin("queue"))
    made = artifact(store.parent, b"content")
    for hour in (0, 1):  # 02:00 CEST and 02:00 CET
        title = Title("queue", datetime(2026, 10, 25, hour, 0, 1, tzinfo=UTC), "db.gz")
        place.store(run._numbered(replace(made, title=title), place))
    assert stored(store) == ["queue/queue_20261025_020001.2.db.gz", "queue/queue_20261025_020001.db.gz"]
    ids = [found.id for found in LocalSource("local", store, ZoneInfo(zone)).listing() if isinstance(found, Backup)]
    assert sorted(ids) == ["queue/20261025_020001.2@local", "queue/20261025_020001@local"]
    assert all(found.recorded for found in LocalSource("local", store, UTC).listing() if isinstance(found, Backup))


def _killed(store: Path, made: Artifact, when: str) -> None:
    """Store it, and die by kill -9 at this point."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if when == "before it is read back":
        directory._must_read_back = die
    elif when == "before the manifest is named":
        places.rename_free = die
    else:
        real, calls = places.rename_free, []

        def second(*given: object) -> None:
            calls.append(given)
            (die if len(calls) == 2 else real)(*given)  # type: ignore[arg-type]

        places.rename_free = second
    directory.Directory(LocalConfig(name="local", path=store), Site(timezone="UTC")).store(made)


@pytest.mark.parametrize("when", ["before it is read back", "before the manifest is named", "before it is named"])
def test_kill_9_leaves_nothing_under_a_good_name_and_the_next_backup_clears_it(store: Path, when: str) -> None:
    place = directory.Directory(LocalConfig(name="local", path=store), Site(timezone="UTC"))
    list(place.begin("queue"))
    made = artifact(store.parent, b"content")
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(store, made, when))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    left = os.listdir(store / "queue")
    assert any(name.endswith(".part") for name in left)
    assert "queue_20261110_020000.db.gz" not in left
    assert list(LocalSource("local", store, UTC).listing()) == []
    assert "that was cut" in " ".join(list(place.begin("queue")))
    assert os.listdir(store / "queue") == []
    assert place.store(made).id == "queue/20261110_020000@local"
    with pytest.raises(RecoverError, match="nothing is overwritten"):
        place.store(made)


def test_what_another_process_still_writes_is_left_alone(store: Path) -> None:
    place = directory.Directory(LocalConfig(name="local", path=store), Site())
    list(place.begin("queue"))
    made = artifact(store.parent, b"content")
    with (
        places.directory(store / "queue") as fd,
        made.path.open("rb") as raw,
        directory._written(fd, store / "queue", "queue_x.db.gz", raw, made.sha256) as unnamed,
    ):
        assert list(place.begin("queue")) == []
        assert os.listdir(store / "queue") == [unnamed]


def test_wrong_words_are_usage_errors(shell: Shell, small: SmallSite, store: Path) -> None:
    assert "one of" in shell("backup", "nothing", code=2).err
    shell("backup", code=2)
    assert "one of: local" in shell("backup", "config", "--to", "nowhere", code=2).err
    assert "--remove is about logs" in shell("backup", "config", "--remove", code=2).err
    replica = {"kind": "litestream", "name": "replica", "path": str(small.root / "replica")}
    none = with_site(small, sources=[replica])
    assert "not said where" in none("backup", "config", code=2).err
    assert "Litestream writes" in none("backup", "config", "--to", "replica", code=2).err
    problems = with_site(small, sources=[local(store)], backup={"to": ["x"], "recipients": ["age1x"]})(
        "site", "check", "--json", code=2
    ).json["problems"]
    assert len(problems) == 2


def test_who_is_told_of_a_failure(small: SmallSite, store: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    notify = {"command": ["/bin/sh", "-c", f"cat >>{log}; echo >>{log}"]}
    own = with_site(small, sources=[local(store)], notify=notify)
    small.queue.unlink()
    own("backup", "config", "queue", code=3)
    until(log.exists)
    assert '"moment": "failure"' in log.read_text()
    assert "1 of 2 failed" in log.read_text()
