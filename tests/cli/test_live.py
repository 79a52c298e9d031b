"""What lives now, as ``status`` tells it: numbers where they can be had, else that they are unknown and why."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pacs_recover import live
from pacs_recover.events import LivePath
from pacs_recover.site import Site
from tests.cli.shell import Shell
from tests.formats.openssl_ca import Authority, key
from tests.runs.small_site import SmallSite

UNKNOWN_QUEUE = {"waiting": None, "oldest_waiting": None, "states": None, "dead_letters": None}
UNKNOWN_CERTS = {"days_left": None, "not_after": None, "certificates": None}


def queue(small: SmallSite, **options: Any) -> dict[str, Any]:
    """What is told of the live queue."""
    return dict(live.read(small.site, small.state, **options)["queue"])


def certs(small: SmallSite) -> dict[str, Any]:
    """What is told of the live certificates."""
    return dict(live.read(small.site, small.state)["certs"])


def unknown(found: dict[str, Any], keys: dict[str, None], state: str = "warn") -> str:
    """Why nothing is known."""
    assert {name: found[name] for name in keys} == keys
    assert found["state"] == state
    return str(found["sentence"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs what the tests put in place."""
    return Authority(tmp_path_factory.mktemp("authority") / "ca", end="20480101000000Z")


@pytest.fixture
def directory(small: SmallSite, authority: Authority) -> Path:
    """The live certificates, with nothing in them but the authority's."""
    found = small.config / "certs"
    shutil.rmtree(found)
    found.mkdir()
    shutil.copy(authority.certificate, found / "ca.crt")
    return found


def after(days: float) -> str:
    """So many days from now, as openssl takes it."""
    return f"{datetime.now(UTC) + timedelta(days=days):%Y%m%d%H%M%SZ}"


def test_the_numbers_are_those_of_the_rows_also_while_the_service_writes(small: SmallSite) -> None:
    with closing(sqlite3.connect(small.queue)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("UPDATE message_queue SET state = 1 WHERE rowid = (SELECT min(rowid) FROM message_queue)")
        writer.commit()
        counted = dict(writer.execute("SELECT state, count(*) FROM message_queue GROUP BY state"))
        oldest = writer.execute("SELECT min(created_at) FROM message_queue WHERE state IN (0, 1, 2)").fetchone()[0]
        dead = writer.execute("SELECT count(*) FROM dead_letter_queue").fetchone()[0]
        before = {path.name: path.stat() for path in small.queue.parent.glob("queue.db*")}
        found = queue(small)
        now = {path.name: path.stat() for path in small.queue.parent.glob("queue.db*")}
        assert {name: (at.st_ino, at.st_mtime_ns, at.st_size) for name, at in now.items()} == {
            name: (at.st_ino, at.st_mtime_ns, at.st_size) for name, at in before.items()
        }
        assert "queue.db-wal" in now
    assert found["state"] == "ok"
    assert found["waiting"] == counted[0] + counted[1] + counted.get(2, 0)
    assert (found["states"]["pending"], found["states"]["processing"]) == (counted[0], 1)
    assert found["dead_letters"] == dead
    assert datetime.fromisoformat(found["oldest_waiting"]) == datetime.fromisoformat(oldest[:19]).replace(tzinfo=UTC)
    assert f"{found['waiting']} waiting ({counted[0]} pending, 1 processing" in found["sentence"]


def test_a_queue_that_is_empty_says_so(small: SmallSite) -> None:
    with closing(sqlite3.connect(small.queue)) as database:
        database.execute("DELETE FROM message_queue")
        database.execute("DELETE FROM dead_letter_queue")
        database.commit()
    found = queue(small)
    assert (found["state"], found["waiting"], found["oldest_waiting"]) == ("ok", 0, None)
    assert found["sentence"] == "nothing waits; 0 dead letters"


def test_a_queue_too_large_for_a_look_is_unknown_and_nothing_is_copied(small: SmallSite) -> None:
    small.state.prepare()
    with small.queue.open("r+b") as file:
        file.truncate(3 << 30)
    why = unknown(queue(small), UNKNOWN_QUEUE)
    assert "it has 3.2 GB; a look copies 268.4 MB at most" in why
    assert [path.name for path in small.state.path.glob("pacs_recover-scratch-*")] == []


def test_a_disk_that_does_not_answer_in_time_makes_both_unknown(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, resolve = threading.Event(), live.live_paths

    def hanging(of: Site) -> tuple[LivePath, ...]:
        answers.wait(60)
        return resolve(of)

    monkeypatch.setattr(live, "live_paths", hanging)
    found = live.read(small.site, small.state, patience=0.1)
    answers.set()
    assert "could not be read within 0.1 s" in unknown(found["queue"], UNKNOWN_QUEUE)
    assert "could not be read within 0.1 s" in unknown(found["certs"], UNKNOWN_CERTS)


def test_a_damaged_queue_is_bad_and_so_is_one_that_is_not_there(small: SmallSite) -> None:
    data = bytearray(small.queue.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    small.queue.write_bytes(data)
    assert "its copy is not sound" in unknown(queue(small), UNKNOWN_QUEUE, "bad")
    with closing(sqlite3.connect(small.root / "other.db")) as database:
        database.execute("CREATE TABLE patients(name)")
    (small.root / "other.db").rename(small.queue)
    assert "not a PACS Bridge queue" in unknown(queue(small), UNKNOWN_QUEUE, "bad")
    small.queue.unlink()
    assert f"there is none: {small.queue}" in unknown(queue(small), UNKNOWN_QUEUE, "bad")


@pytest.mark.needs("openssl", reason="makes the certificates")
@pytest.mark.parametrize(
    ("days", "state", "said"),
    [(200.5, "ok", "valid until"), (12.5, "warn", "expires soon"), (-3.5, "bad", "EXPIRED on")],
)
def test_the_certificate_that_expires_first_decides(
    small: SmallSite, authority: Authority, directory: Path, days: float, state: str, said: str
) -> None:
    authority.server(directory, "later", end=after(300))
    authority.server(directory, "server", start="20200101000000Z", end=after(days))
    found = certs(small)
    assert (found["state"], found["days_left"], found["certificates"]) == (state, int(days // 1), 2)
    assert found["sentence"].startswith(f"server.crt {said}")
    assert abs(datetime.fromisoformat(found["not_after"]) - datetime.now(UTC) - timedelta(days=days)) < timedelta(
        minutes=1
    )


@pytest.mark.needs("openssl", reason="makes the certificates")
def test_what_a_service_would_stumble_over_is_told_worst_first(
    small: SmallSite, authority: Authority, directory: Path
) -> None:
    authority.server(directory, "client", end=after(20))
    authority.server(directory, "server", end=after(300))
    key(directory / "server.key")
    found = certs(small)
    assert found["state"] == "bad"
    assert found["days_left"] == 19
    assert "server.crt: MISMATCHED: server.key is the key of another certificate (and" in found["sentence"]
    (directory / "server.key").unlink()
    found = certs(small)
    assert found["state"] == "warn"
    assert "its private key is not beside it" in found["sentence"]


@pytest.mark.needs("openssl", reason="makes the certificates")
def test_an_issuer_that_lies_elsewhere_is_no_trouble(small: SmallSite, authority: Authority, directory: Path) -> None:
    (directory / "ca.crt").unlink()
    authority.server(directory, end=after(300))
    assert certs(small)["state"] == "ok"


@pytest.mark.needs("openssl", reason="makes the certificates")
def test_certificates_that_are_not_looked_into_are_unknown_and_none_at_all_is_bad(
    small: SmallSite, authority: Authority, directory: Path, tmp_path: Path
) -> None:
    (directory / "ca.crt").unlink()
    assert "there is no certificate in it" in unknown(certs(small), UNKNOWN_CERTS, "bad")
    authority.server(tmp_path, "elsewhere", end=after(300))
    (directory / "server.crt").symlink_to(tmp_path / "elsewhere.crt")
    assert "server.crt is a link that leads out of the directory" in unknown(certs(small), UNKNOWN_CERTS)
    shutil.rmtree(directory)
    assert "is not a directory" in unknown(certs(small), UNKNOWN_CERTS, "bad")


def test_status_tells_both_in_words_and_as_json(shell: Shell, small: SmallSite) -> None:
    out = shell("status", code=0).out
    assert "✓ live queue: " in out
    assert "✓ live certs: " in out
    small.queue.unlink()
    assert "✗ BAD live queue: there is none" in shell("status", code=0).out
    told = shell("status", "--json", code=0).json["live"]
    assert (told["queue"]["state"], told["certs"]["state"]) == ("bad", "ok")
