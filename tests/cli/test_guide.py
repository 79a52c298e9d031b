"""Backups made by the guide's own commands restore byte for byte; previews equal what openssl and sqlite3 say."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.shell import Shell, with_site
from tests.runs.small_site import SmallSite

pytestmark = [
    pytest.mark.needs("tar", reason="the guide's configuration backup"),
    pytest.mark.needs("openssl", reason="the guide's certificate backup"),
    pytest.mark.needs("sqlite3", reason="the guide's queue backup"),
    pytest.mark.needs("gzip", reason="the guide's queue backup"),
    pytest.mark.needs("bash", reason="the guide's scripts"),
]
STATES = ("pending", "processing", "retry_scheduled", "delivered", "dead_letter")
TAKEN = "20261110_020000"

SCRIPTS = f"""
set -euo pipefail
mkdir -p "$BACKUPS"
tar -czf "$BACKUPS/config_{TAKEN}.tar.gz" --exclude='*.key' --exclude='*.pem' -C "$ETC" pacs_bridge
tar -cf - -C "$ETC/pacs_bridge" certs |
    openssl enc -aes-256-cbc -salt -pbkdf2 -pass "file:$KEY" -out "$BACKUPS/certs_{TAKEN}.tar.enc"
sqlite3 "$QUEUE" ".backup '$BACKUPS/queue_{TAKEN}.db'"
cp "$BACKUPS/queue_{TAKEN}.db" "$BACKUPS/../queue-as-backed-up.db"
gzip "$BACKUPS/queue_{TAKEN}.db"
"""
"""The guide's backup commands, with its fixed paths as variables."""


@pytest.fixture
def guided(small: SmallSite, tmp_path: Path) -> Shell:
    """The site with backups that the guide's commands made of it, and nothing else."""
    backups = tmp_path / "guide/backups"
    variables = {
        "BACKUPS": backups,
        "ETC": small.config.parent,
        "KEY": small.demo.key_file,
        "QUEUE": small.queue,
    }
    subprocess.run(
        ["bash", "-c", SCRIPTS], check=True, env={"PATH": "/usr/bin:/bin", **{k: str(v) for k, v in variables.items()}}
    )
    return with_site(small, sources=[{"kind": "local", "name": "guide", "path": str(backups)}])


def digests(tree: Path) -> dict[str, str]:
    """Every file of a tree by its hash."""
    files = (path for path in tree.rglob("*") if path.is_file())
    return {str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_all_three_restore_byte_for_byte(guided: Shell, small: SmallSite, tmp_path: Path) -> None:
    before = digests(small.config)
    for path in small.config.rglob("*.yaml"):
        path.write_text("damaged: [\n")
    (small.config / "certs/server.crt").write_text("damaged")
    small.queue.write_bytes(b"damaged" * 1000)
    guided.restored("full")
    assert digests(small.config) == before
    assert small.queue.read_bytes() == (tmp_path / "guide/queue-as-backed-up.db").read_bytes()
    assert small.running()


@pytest.mark.parametrize("component", ["config", "certs", "queue"])
def test_each_restores_byte_for_byte_alone(guided: Shell, small: SmallSite, tmp_path: Path, component: str) -> None:
    before = digests(small.config)
    guided.restored(component)
    assert digests(small.config) == before
    wanted = (
        tmp_path / "guide/queue-as-backed-up.db"
        if component == "queue"
        else small.pristine / small.queue.relative_to(small.live)
    )
    assert small.queue.read_bytes() == wanted.read_bytes()


def test_the_ids_are_the_name_s_own_digits_and_extract_gives_the_same_bytes(
    guided: Shell, small: SmallSite, tmp_path: Path
) -> None:
    ids = {backup["id"] for backup in guided("catalog", "--json", code=0).json["backups"]}
    assert ids == {f"{name}/{TAKEN}@guide" for name in ("config", "certs", "queue")}
    guided("extract", f"queue/{TAKEN}", str(tmp_path / "out"), code=0)
    assert digests(tmp_path / "out") == {
        "queue.db": hashlib.sha256((tmp_path / "guide/queue-as-backed-up.db").read_bytes()).hexdigest()
    }


def _openssl(certificate: Path, *options: str) -> str:
    argv = ["openssl", "x509", "-in", str(certificate), "-noout", *options]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip().partition("=")[2]


def test_certificate_dates_serials_and_days_equal_openssl_x509(guided: Shell, small: SmallSite) -> None:
    certificates = guided("preview", f"certs/{TAKEN}", "--json", code=0).json["certificates"]
    firsts = {row["file"].rpartition("/")[2]: row for row in reversed(certificates)}
    for name in ("server.crt", "client.crt", "ca.crt", "intermediate.crt"):
        path, row = small.config / "certs" / name, firsts[name]
        for key, option in (("not_before", "-startdate"), ("not_after", "-enddate")):
            told = datetime.strptime(_openssl(path, option), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
            assert datetime.fromisoformat(row[key]) == told
        assert int(row["serial"].replace(":", ""), 16) == int(_openssl(path, "-serial"), 16)
        assert row["days_left"] == (datetime.fromisoformat(row["not_after"]) - datetime.now(UTC)).days
    assert firsts["server.crt"]["key_matches"] is True


def _sqlite(database: Path, sql: str) -> list[list[str]]:
    argv = ["sqlite3", "-separator", "|", str(database), sql]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [line.split("|") for line in text.splitlines()]


def test_row_counts_by_table_and_state_equal_sqlite3(guided: Shell, small: SmallSite, tmp_path: Path) -> None:
    database = tmp_path / "guide/queue-as-backed-up.db"
    found = guided("preview", f"queue/{TAKEN}", "--json", code=0).json
    names = [name for (name,) in _sqlite(database, "SELECT name FROM sqlite_master WHERE type='table'")]
    rows = {name: int(_sqlite(database, f"SELECT count(*) FROM {name}")[0][0]) for name in names}
    assert {table["name"]: table["rows"] for table in found["tables"]} == rows
    states = dict(_sqlite(database, "SELECT state, count(*) FROM message_queue GROUP BY state"))
    told = {name: number for name, number in found["states"].items() if number}
    assert told == {STATES[int(state)]: int(number) for state, number in states.items()}
    [[oldest, newest]] = _sqlite(database, "SELECT min(created_at), max(created_at) FROM message_queue")
    assert datetime.fromisoformat(found["oldest"]).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] == oldest
    assert datetime.fromisoformat(found["newest"]).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] == newest


def test_a_busy_live_queue_is_backed_up_by_sqlite3_and_restored_over_its_wal(
    guided: Shell, small: SmallSite, tmp_path: Path
) -> None:
    connection = sqlite3.connect(small.queue)
    connection.execute("PRAGMA journal_mode=WAL")
    with connection:
        connection.execute("DELETE FROM message_queue")
    wal = small.queue.with_name("queue.db-wal")
    kept = wal.read_bytes()
    connection.close()
    wal.write_bytes(kept)
    guided.restored("queue")
    assert small.queue.read_bytes() == (tmp_path / "guide/queue-as-backed-up.db").read_bytes()
    assert not wal.exists()
