from __future__ import annotations

import gzip
import hashlib
import io
import os
import sqlite3
import subprocess
import tarfile
from pathlib import Path

import pytest

from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.formats.archive import check
from pacs_recover.formats.openssl_enc import encrypting, password_from
from pacs_recover.formats.streams import Hashing, Reader
from pacs_recover.formats.suffixes import format_of
from pacs_recover.formats.wrapping import ENOUGH, sniff, unwrap
from pacs_recover.model import Backup
from tests.formats.samples import Dribble


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("config_20261110_020000.tar.gz", "tar.gz"),
        ("config_20261110_020000.tgz", "tar.gz"),
        ("certs_20261108_030000.tar.enc", "tar.enc"),
        ("queue_20261110_020000.db.gz", "db.gz"),
        ("app.log.1.gz", "gz"),
        ("queue.db", "db"),
        ("x.tar", "tar"),
        ("x.enc", "enc"),
        ("X.TAR.GZ", "tar.gz"),
        ("x.tar.gz.enc", "tar.gz.enc"),
        ("x.tgz.enc", "tar.gz.enc"),
        ("x.tar.enc.gz", "tar.enc.gz"),
        ("x.gz.gz", "gz.gz"),
        ("db.tar.gz", "tar.gz"),
        (".gz", "gz"),
        ("gz", ""),
        ("", ""),
        ("config.yaml", ""),
        ("x.tar.gz.partial", ""),
        ("x.tar.xz", ""),
        ("queue.db-wal", ""),
        ("old.tar.gz/config.yaml", ""),
    ],
)
def test_a_name_says_how_it_is_wrapped(name: str, format: str) -> None:
    assert format_of(name) == format


def tar_of(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            made = tarfile.TarInfo(name)
            made.size = len(content)
            archive.addfile(made, io.BytesIO(content))
    return out.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as made:
        made.execute("CREATE TABLE message_queue (id TEXT PRIMARY KEY)")
        content: bytes = made.serialize()
    made.close()
    return content


def encrypted(content: bytes, password: bytes = b"secret") -> bytes:
    return encrypting(io.BytesIO(content), password).read()


def never() -> bytes:
    raise AssertionError("nothing here is encrypted")


TAR, DB, TEXT = tar_of(config=b"a: 1\n"), database(), b"2026-11-10 02:00:00 started\n"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (TAR, "tar"),
        (DB, "db"),
        (gzip.compress(TAR), "gz"),
        (encrypted(TAR), "enc"),
        (TEXT, ""),
        (b"", ""),
        (bytes(512), ""),
        (b"SQLite format 2", ""),
        (TAR[:500], ""),
    ],
)
def test_the_first_bytes_show_what_it_is(content: bytes, found: str) -> None:
    assert sniff(content[:ENOUGH]) == found


WRAPPED = [
    (TAR, "tar", TAR),
    (gzip.compress(TAR), "tar.gz", TAR),
    (encrypted(TAR), "tar.enc", TAR),
    (encrypted(gzip.compress(TAR)), "tar.gz.enc", TAR),
    (gzip.compress(encrypted(TAR)), "tar.enc.gz", TAR),
    (DB, "db", DB),
    (gzip.compress(DB), "db.gz", DB),
    (encrypted(gzip.compress(DB)), "db.gz.enc", DB),
    (gzip.compress(TEXT), "gz", TEXT),
    (encrypted(TEXT), "enc", TEXT),
    (encrypted(gzip.compress(DB)), "enc", DB),
    (gzip.compress(encrypted(TAR)), "gz", TAR),
    (gzip.compress(b""), "gz", b""),
]


@pytest.mark.parametrize(("stored", "format", "content"), WRAPPED)
@pytest.mark.parametrize("most", [1 << 20, 100])
def test_layers_are_unwrapped_as_the_name_says(stored: bytes, format: str, content: bytes, most: int) -> None:
    password = (lambda: b"secret") if b"Salted__" in (stored[:8], gzip_content(stored)[:8]) else never
    assert unwrap(Dribble(stored, most), format, password).read() == content


@pytest.mark.parametrize(("stored", "format", "content"), WRAPPED)
def test_a_file_of_any_name_is_unwrapped_as_its_bytes_say(stored: bytes, format: str, content: bytes) -> None:
    reader = unwrap(Dribble(stored, 100), "", lambda: b"secret")
    assert reader.peek(20) == content[:20]
    assert reader.read() == content


def gzip_content(stored: bytes) -> bytes:
    return gzip.decompress(stored) if stored.startswith(b"\x1f\x8b") else b""


@pytest.mark.parametrize("format", ["gz.gz", "tar.gz.gz", "tar.enc.enc", "gz", "enc", ""])
def test_no_layer_is_unwrapped_twice(format: str) -> None:
    stored = encrypted(encrypted(TAR)) if "enc" in format else gzip.compress(gzip.compress(TAR))
    with pytest.raises(BadBackup, match="more than once"):
        unwrap(io.BytesIO(stored), format, lambda: b"secret")


def test_a_format_that_nobody_knows_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="zip"):
        unwrap(io.BytesIO(b""), "tar.zip", never)


@pytest.mark.parametrize("format", ["tar.enc", "db.gz.enc", "enc"])
def test_a_wrong_key_is_told_as_wrong_key_or_damaged_for_every_content(format: str) -> None:
    content = {"tar.enc": TAR, "db.gz.enc": gzip.compress(DB), "enc": TEXT}[format]
    stored = encrypted(content, b"other")
    with pytest.raises(BadBackup) as caught:
        unwrap(io.BytesIO(stored), format, lambda: b"secret").read()
    assert "wrong key" in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("stored", "format", "why"),
    [
        (b"", "db", "does not hold a SQLite database, as its name says: there is nothing in it"),
        (gzip.compress(b""), "db.gz", "does not hold a SQLite database, as its name says: there is nothing in it"),
        (gzip.compress(TAR), "db.gz", "does not hold a SQLite database"),
        (DB, "tar", "does not hold a tar archive"),
        (TAR, "tar.gz", "does not hold gzip data"),
        (b"\x1f", "db.gz", "does not hold gzip data"),
        (gzip.compress(TAR), "tar.enc.gz", "does not hold data of `openssl enc`"),
        (TAR, "tar.enc", "does not hold data of `openssl enc`"),
        (gzip.compress(os.urandom(3000))[:20], "db.gz", "gzip layer is cut short"),
    ],
)
def test_a1_what_does_not_hold_what_its_name_says_is_refused(stored: bytes, format: str, why: str) -> None:
    with pytest.raises(BadBackup, match=why) as caught:
        unwrap(io.BytesIO(stored), format, lambda: b"secret")
    assert caught.value.hint


@pytest.mark.needs("gzip", reason="a1's 20-byte file is what gzip makes of nothing")
def test_a1_the_20_byte_gz_of_an_empty_database_is_refused() -> None:
    stored = subprocess.run(["gzip", "-c"], input=b"", capture_output=True, check=True).stdout
    assert len(stored) == 20
    with pytest.raises(BadBackup, match="nothing in it"):
        unwrap(io.BytesIO(stored), "db.gz", never)


@pytest.mark.parametrize("packed", [tar_of(), bytes(1024)])
def test_an_empty_archive_says_so_itself(packed: bytes) -> None:
    with pytest.raises(BadBackup, match="holds nothing"):
        check(unwrap(io.BytesIO(encrypted(packed)), "tar.enc", lambda: b"secret"))


@pytest.mark.parametrize(
    ("stored", "format"),
    [
        (TAR, "tar"),
        (gzip.compress(TAR) + bytes(5000), "tar.gz"),
        (encrypted(TAR), "tar.enc"),
        (encrypted(gzip.compress(TAR) + bytes(100)), "tar.gz.enc"),
    ],
)
def test_a_hash_beneath_the_layers_is_of_the_whole_file_once_the_archive_is_read(stored: bytes, format: str) -> None:
    raw = Hashing(io.BytesIO(stored))
    check(unwrap(raw, format, lambda: b"secret"))
    assert (raw.size, raw.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())


def test_a_missing_key_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no-key"):
        unwrap(io.BytesIO(encrypted(TAR)), "tar.enc", lambda: password_from(tmp_path / "no-key"))


def test_the_formats_are_those_of_the_vocabulary() -> None:
    made = [format_of(name) for name in ("certs_20261108_030000.tar.enc", "config_20261110_020000.tar.gz")]
    fields = {"id": "", "component": "", "source": "", "key": "", "taken_at": None}
    assert [Backup(format=format, **fields).encrypted for format in made] == [True, False]  # type: ignore[arg-type]


@pytest.mark.needs("tar", "gzip", "openssl", "sqlite3", reason="the guide's own commands make the backups")
def test_backups_made_by_the_guides_commands_are_read_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "etc" / "pacs_bridge" / "certs").mkdir(parents=True)
    (tmp_path / "etc" / "pacs_bridge" / "config.yaml").write_bytes(b"server:\n  name: bridge\n")
    (tmp_path / "etc" / "pacs_bridge" / "certs" / "server.crt").write_bytes(os.urandom(3000))
    script = """
        set -e
        echo secret > key
        tar -czf config_20261110_020000.tar.gz --exclude='*.key' -C etc pacs_bridge
        tar -cf - -C etc/pacs_bridge certs |
            openssl enc -aes-256-cbc -salt -pbkdf2 -pass file:key -out certs_20261108_030000.tar.enc
        sqlite3 queue.db "CREATE TABLE message_queue (id TEXT PRIMARY KEY); INSERT INTO message_queue VALUES ('a')"
        sqlite3 queue.db ".backup 'queue_20261110_020000.db'"
        cp queue_20261110_020000.db copy.db
        gzip queue_20261110_020000.db
    """
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True)

    def opened(name: str) -> Reader:
        stored = io.BytesIO((tmp_path / name).read_bytes())
        return unwrap(stored, format_of(name), lambda: password_from(tmp_path / "key"))

    assert check(opened("config_20261110_020000.tar.gz")).files == 2
    assert [entry.name for entry in check(opened("certs_20261108_030000.tar.enc")).entries] == [
        "certs",
        "certs/server.crt",
    ]
    assert opened("queue_20261110_020000.db.gz").read() == (tmp_path / "copy.db").read_bytes()
