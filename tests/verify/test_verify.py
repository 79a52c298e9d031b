"""Verification by the guide's seven points: what is good, what is not, what is known and what was exchanged."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacs_recover.catalog import Catalog
from pacs_recover.errors import UsageError
from pacs_recover.proving import CONTENT, DECRYPTS, EXISTS, EXTRACTS
from pacs_recover.subjects import shard_of, subjects
from pacs_recover.verifying import CHANGED, Room
from tests.cli.shell import Done, Shell
from tests.runs.small_site import SmallSite

PARTS = ["config", "certs", "queue", "logs"]


@pytest.fixture
def own(small: SmallSite, tmp_path: Path) -> Shell:
    """A site whose backups are a copy, to be damaged."""
    text = yaml.safe_load(small.demo.site_file.read_text())
    backups = next(Path(one["path"]) for one in text["sources"] if one["kind"] == "local")
    shutil.copytree(backups, tmp_path / "backups")
    text["sources"] = [{"kind": "local", "name": "local", "path": str(tmp_path / "backups")}]
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(text))
    (tmp_path / "site.yaml").chmod(0o600)
    return Shell(small, ("--site", str(tmp_path / "site.yaml"), "--state", str(small.root / "state")))


def path_of(shell: Shell, id: str) -> Path:
    """Where a backup lies."""
    return next(Path(one["key"]) for one in shell("catalog", "--json").json["backups"] if one["id"] == id)


def checks(done: Done, backup: str) -> dict[str, str]:
    """State by name of one result."""
    result = next(one for one in done.json["results"] if one["backup"] == backup)
    return {check["name"]: check["state"] for check in result["checks"]}


def verdict(shell: Shell, id: str) -> str:
    """What the catalog says of a backup."""
    return next(str(one["verdict"]) for one in shell("catalog", "--json").json["backups"] if one["id"] == id)


def test_seven_points_and_an_unchanged_backup_is_not_read_twice(own: Shell) -> None:
    first = own("verify", "--json", code=0)
    assert [one["component"] for one in first.json["results"]] == PARTS
    certs = next(one["backup"] for one in first.json["results"] if one["component"] == "certs")
    assert list(checks(first, certs)) == [EXISTS, DECRYPTS, EXTRACTS, CONTENT["certs"]]
    assert not any(one["known"] for one in first.json["results"])
    again = own("verify", "--newest", "--json", code=0).json["results"]
    assert all(one["known"] for one in again)
    assert [one["sha256"] for one in again] == [one["sha256"] for one in first.json["results"]]
    assert not any(one["known"] for one in own("verify", "--again", "--json", code=0).json["results"])
    said = own("catalog", "certs", code=0).out
    assert "verified 20" in " ".join(said.split())
    assert "GOOD" in own("verify", certs, code=0).out


def test_tampering_flips_the_verdict(own: Shell) -> None:
    id = own("verify", "--component", "logs", "--json", code=0).json["results"][0]["backup"]
    path = path_of(own, id)
    status, data = path.stat(), bytearray(path.read_bytes())
    assert verdict(own, id) == "good"
    data[-5] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert verdict(own, id) == "stale"
    found = own("verify", id, "--json", code=6)
    assert checks(found, id)[EXTRACTS] == "bad"
    assert verdict(own, id) == "failed"
    path.write_bytes(gzip.compress(b"forged\n"))  # whole, and not what it was
    forged = own("verify", id, "--json", code=6)
    assert checks(forged, id)[CHANGED] == "bad"
    assert checks(own("verify", id, "--json", code=6), id)[CHANGED] == "bad"
    own("verify", id, "--accept-changed", code=0)
    assert verdict(own, id) == "good"


def test_defect_b8_no_backup_found_is_a_failure(own: Shell, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "backups")
    (tmp_path / "backups").mkdir()
    done = own("verify", "--json", code=6)
    assert not done.json["ok"]
    assert [checks(done, part) for part in PARTS] == [{EXISTS: "bad"}] * 4
    assert "no backup found" in own("verify", code=6).out
    (tmp_path / "backups").rmdir()
    names = [one["backup"] for one in own("verify", "--json", code=6).json["results"]]
    assert "@local" in names


def test_defect_b9_what_the_guide_calls_ok(own: Shell, tmp_path: Path) -> None:
    home = tmp_path / "backups"
    shutil.rmtree(home)
    for part in PARTS:
        (home / part).mkdir(parents=True)
    (home / "queue/queue_20261101_010000.db").touch()
    whole = tmp_path / "whole.db"
    with sqlite3.connect(whole) as connection:
        connection.execute("CREATE TABLE message_queue (id TEXT PRIMARY KEY, x TEXT)")
        connection.executemany("INSERT INTO message_queue VALUES (?, ?)", ((str(n), "x" * 50) for n in range(2000)))
    connection.close()
    data = bytearray(whole.read_bytes())
    (home / "queue/queue_20261102_010000.db.gz").write_bytes(gzip.compress(data)[:-3000])
    data[4096 * 20 : 4096 * 20 + 64] = bytes(64)
    (home / "queue/queue_20261103_010000.db.gz").write_bytes(gzip.compress(data))
    tarfile.open(home / "config/config_20261101_010000.tar.gz", "w:gz").close()
    (home / "certs/certs_20261101_010000.tar.enc").write_bytes(b"Salted__" + bytes(1000))
    (home / "logs/bridge.log.20261101.gz").write_bytes(gzip.compress(b"x" * 90000)[:-6])
    done = own("verify", "--all", "--jobs", "2", "--json", code=6)
    assert len(done.json["results"]) == 6
    assert not any(one["ok"] for one in done.json["results"])
    states = {one["backup"].split(".")[0].split("@")[0]: checks(done, one["backup"]) for one in done.json["results"]}
    assert states["queue/20261101_010000"][EXISTS] == "bad"
    assert states["queue/20261102_010000"][EXTRACTS] == "bad"
    assert states["queue/20261103_010000"][CONTENT["queue"]] == "bad"
    assert states["certs/20261101_010000"][DECRYPTS] == "bad"


def test_what_is_there_and_cannot_be_judged_is_not_good(own: Shell, small: SmallSite, tmp_path: Path) -> None:
    text = yaml.safe_load((tmp_path / "site.yaml").read_text())
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump({**text, "validator": ["/no/such/validator", "{config}"]}))
    done = own("verify", "--component", "config", "--json", code=6)
    assert "not available" in done.json["results"][0]["checks"][-1]["evidence"]
    path.write_text(yaml.safe_dump({**text, "key_file": str(tmp_path / "no-key")}))
    assert "key file" in own("verify", "--component", "certs", code=3).out


def test_read_only_keeps_no_verdict_and_a_damaged_one_counts_as_none(own: Shell, small: SmallSite) -> None:
    watching = Shell(small, ("--read-only", *own.options))
    watching("verify", code=0)
    watching("verify", "--start", code=5)
    assert not (small.root / "state/verdicts").exists()
    own("verify", "--component", "config", code=0)
    for path in (small.root / "state/verdicts").iterdir():
        path.write_bytes(b"{")
    assert "damaged" in own("catalog", "config", code=0).err
    assert not own("verify", "--component", "config", "--json", code=0).json["results"][0]["known"]


def test_what_excludes_each_other(own: Shell, tmp_path: Path) -> None:
    own("verify", "config", "--all", code=2)
    own("verify", "--newest", "--all", code=2)
    own("verify", "--shard", "4/4", code=2)
    own("verify", "--sites", str(tmp_path), code=2)
    assert "no shard has kept" in own("verify", "--merge", code=6).out


def test_status_stands_or_falls_with_the_newest_alone(own: Shell, small: SmallSite) -> None:
    own("verify", "--all", "--jobs", "2", code=6)
    assert own("status", "--json", code=0).json["verification"]["ok"] is True


def test_whose_part_it_is(small: SmallSite) -> None:
    assert shard_of("1/4", {}) == (1, 4)
    assert shard_of(None, {}) is None
    assert shard_of(None, {"JOB_COMPLETION_INDEX": "3", "PACS_RECOVER_SHARDS": "4"}) == (3, 4)
    slurm = {"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}
    assert shard_of(None, slurm) == (3, 4)
    for said in ("", "a/b", "4/4", "0/0", "-1/4", "1"):
        with pytest.raises(UsageError):
            shard_of(said or "/", {})
    with pytest.raises(UsageError):
        shard_of(None, {"JOB_COMPLETION_INDEX": "3"})
    assert [one.missing for one in subjects(small.site, Catalog((), ()))] == ["no backup found"] * 4


def test_work_waits_for_room_and_one_alone_never_does() -> None:
    room, order = Room(lambda: 100), list[Any]()
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with room.taking(1000):
            inside.set()
            leave.wait(10)
            order.append("first")

    def second() -> None:
        with room.taking(10):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    assert order == []
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]
