"""What is made here restores with the guide's own commands, and with this program; nothing of ours is needed."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from pyrage import x25519

from tests.cli.shell import Shell, with_site
from tests.cli.test_guide import digests
from tests.making.conftest import local, one, sh, stored
from tests.runs.small_site import SmallSite

pytestmark = [
    pytest.mark.needs(program, reason="the guide's restore commands")
    for program in ("tar", "openssl", "gunzip", "sqlite3", "git", "bash")
]
RESTORE = """
mkdir -p "$ETC/pacs_bridge"
tar -xzf "$CONFIG" -C "$ETC"
openssl enc -d -aes-256-cbc -pbkdf2 -pass "file:$KEY" -in "$CERTS" | tar -xf - -C "$ETC/pacs_bridge"
gunzip -c "$QUEUE" > "$DB"
sqlite3 "$DB" "PRAGMA integrity_check; SELECT count(*) FROM message_queue;"
"""
"""The guide's restore commands, with its fixed paths as variables."""


def count(db: Path) -> int:
    """Rows of the queue."""
    with closing(sqlite3.connect(db)) as database:
        return int(database.execute("SELECT count(*) FROM message_queue").fetchone()[0])


def test_the_guides_commands_restore_what_is_made_here(
    shell: Shell, small: SmallSite, store: Path, tmp_path: Path
) -> None:
    told = shell("backup", "full", code=0)
    assert told.err == ""
    names = stored(store)
    assert [name.partition("/")[0] for name in names] == ["certs", "config", "logs", "queue"]
    etc, db = tmp_path / "etc", tmp_path / "queue.db"
    given = {"CONFIG": one(store, "config"), "CERTS": one(store, "certs"), "QUEUE": one(store, "queue")}
    said = sh(RESTORE, ETC=etc, DB=db, KEY=small.demo.key_file, **given)
    assert said.split() == ["ok", str(count(small.queue))]
    assert digests(etc / "pacs_bridge") == digests(small.config)
    log = sh('gunzip -c "$LOG"', LOG=one(store, "logs"))
    assert log == (small.live / "var/log/pacs_bridge/bridge.log.1").read_text()
    for path in store.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert "server.key" not in sh('tar -tzf "$CONFIG"', **given)


def test_the_manifest_says_what_is_in_it_and_a_restore_is_held_against_it(
    shell: Shell, small: SmallSite, store: Path
) -> None:
    shell("backup", "full", code=0)
    queue = one(store, "queue")
    manifest = json.loads(Path(f"{queue}.manifest.json").read_text())
    assert manifest["rows"]["message_queue"] == count(small.queue)
    assert manifest["size"] == queue.stat().st_size
    assert sh('sha256sum < "$FILE"', FILE=queue).split()[0] == manifest["sha256"]
    assert manifest["made_by"]
    assert manifest["made_on"]
    certs = json.loads(Path(f"{one(store, 'certs')}.manifest.json").read_text())
    assert {"server.crt", "ca.crt"} <= {found["file"] for found in certs["certificates"]}
    before = digests(small.config)
    (small.config / "certs/server.crt").write_text("damaged")
    (small.config / "config.yaml").write_text("damaged: [\n")
    small.queue.write_bytes(b"damaged" * 1000)
    shell.restored("full")
    assert digests(small.config) == before
    assert count(small.queue) == manifest["rows"]["message_queue"]


def test_status_sees_the_new_backups_and_the_audit_has_them(shell: Shell, store: Path) -> None:
    assert shell("status", "--json").json["components"][2]["newest"] is None
    made = shell("backup", "full", "--json", code=0).json
    assert made["ok"]
    newest = {row["component"]: row["newest"] for row in shell("status", "--json").json["components"]}
    assert newest == {one["component"]: one["backup"] for one in made["backups"]}
    told = [record for record in shell("audit", "show", "--json").json["records"] if record["what"] == "backup"]
    assert {record["object"] for record in told} >= set(newest.values())


@pytest.fixture
def secret(small: SmallSite, store: Path) -> tuple[Shell, Path, x25519.Identity]:
    """A site that encrypts all with age, to the key file and to a key in a safe; and that file and key."""
    key, safe = small.root / "age-key", x25519.Identity.generate()
    key.write_text(f"old password of openssl\n# made with age-keygen\n{x25519.Identity.generate()}\n")
    key.chmod(0o600)
    backup = {"encrypt": ["config", "certs", "queue", "logs"], "recipients": [str(safe.to_public())]}
    return with_site(small, sources=[local(store)], key_file=str(key), backup=backup), key, safe


@pytest.mark.needs("age", reason="what opens them without us")
def test_d4_queue_and_configuration_can_be_encrypted_and_age_itself_opens_them(
    secret: tuple[Shell, Path, x25519.Identity], small: SmallSite, store: Path, tmp_path: Path
) -> None:
    shell, key, safe = secret
    shell("backup", "full", code=0)
    assert [name[name.index("/") + 1 :].partition(".")[2] for name in stored(store)] == [
        "tar.age", "tar.gz.age", stored(store)[2].partition(".")[2], "db.gz.age"
    ]  # fmt: skip
    for name in stored(store):
        raw = (store / name).read_bytes()
        assert raw.startswith(b"age-encryption.org/v1\n")
        assert b"SQLite format" not in raw
    own, offline = tmp_path / "identity", tmp_path / "in-the-safe"
    own.write_text(sh('grep AGE-SECRET-KEY "$KEY"', KEY=key))
    offline.write_text(f"{safe}\n")
    for identity in (own, offline):
        given = {"I": identity, "CONFIG": one(store, "config"), "CERTS": one(store, "certs")}
        etc = tmp_path / f"of-{identity.name}"
        etc.mkdir()
        sh('age -d -i "$I" "$CONFIG" | tar -xzf - -C "$ETC"', ETC=etc, **given)
        sh('age -d -i "$I" "$CERTS" | tar -xf - -C "$ETC/pacs_bridge"', ETC=etc, **given)
        assert digests(etc / "pacs_bridge") == digests(small.config)
    db = tmp_path / "queue.db"
    sh('age -d -i "$I" "$QUEUE" | gunzip > "$DB"', I=own, QUEUE=one(store, "queue"), DB=db)
    assert count(db) == count(small.queue)
    log = sh('age -d -i "$I" "$LOG" | gunzip', I=own, LOG=one(store, "logs"))
    assert log == (small.live / "var/log/pacs_bridge/bridge.log.1").read_text()


def test_d4_encrypted_ones_restore_here_and_damage_or_another_key_is_told(
    secret: tuple[Shell, Path, x25519.Identity], small: SmallSite, store: Path
) -> None:
    shell, key, _ = secret
    shell("backup", "full", code=0)
    listed = shell("catalog", "--json").json["backups"]
    assert all(one["encrypted"] and one["recorded"] for one in listed if one["source"] == "local")
    before, rows = digests(small.config), count(small.queue)
    small.queue.write_bytes(b"damaged" * 1000)
    (small.config / "config.yaml").write_text("damaged: [\n")
    shell.restored("full")
    assert (digests(small.config), count(small.queue)) == (before, rows)
    queue = one(store, "queue")
    raw = bytearray(queue.read_bytes())
    raw[len(raw) // 2] ^= 1
    queue.write_bytes(raw)
    Path(f"{queue}.manifest.json").unlink()
    found = shell("preview", str(queue), "--json", code=6).json
    assert any("encryption layer is damaged" in fact["value"] for fact in found["facts"]), found
    bad = shell("verify", str(queue), "--json", code=6).json["results"][0]["checks"]
    assert [check["name"] for check in bad if check["state"] == "bad"] == ["Backup can be decrypted"]
    key.write_text(f"another\n{x25519.Identity.generate()}\n")
    config = next(one["id"] for one in listed if one["component"] == "config")
    facts = shell("preview", config, "--json", code=6).json["facts"]
    assert any("another key" in fact["value"] for fact in facts)
    key.write_text("only a password\n")
    assert "age-keygen" in shell("backup", "config", code=3).err
    assert len(stored(store)) == 4


def test_a_busy_queue_is_copied_whole_between_two_transactions(shell: Shell, small: SmallSite, store: Path) -> None:
    script = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("CREATE TABLE pairs (n INTEGER)")
print("ready", flush=True)
n = 0
while True:
    n += 1
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO pairs VALUES (?)", (n,))
    db.execute("INSERT INTO pairs VALUES (?)", (-n,))
    db.execute("COMMIT")
"""
    writer = subprocess.Popen(["python3", "-c", script, str(small.queue)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    with writer:
        assert writer.stdout.readline() == b"ready\n"
        shell("backup", "queue", code=0)
        assert writer.poll() is None
        writer.kill()
    db = store / "queue.db"
    sh('gunzip -c "$QUEUE" > "$DB"', QUEUE=one(store, "queue"), DB=db)
    with closing(sqlite3.connect(db)) as database:
        ((rows, total),) = database.execute("SELECT count(*), sum(n) FROM pairs")
        assert rows > 0
        assert total == 0
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_queue_that_nobody_has_open_is_left_as_it_was(shell: Shell, small: SmallSite, store: Path) -> None:
    beside = sorted(os.listdir(small.queue.parent))
    shell("backup", "queue", code=0)
    assert sorted(name for name in os.listdir(small.queue.parent) if name != ".pacs_recover") == [
        name for name in beside if name != ".pacs_recover"
    ]
