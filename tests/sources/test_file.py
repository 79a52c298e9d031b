"""A file that is named by its path."""

from __future__ import annotations

import gzip
import io
import os
import sqlite3
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pacs_recover.errors import SourceError, UsageError
from pacs_recover.sources.file import FileSource, at, opened
from tests.sources.places import backup_file

TAKEN = datetime(2026, 11, 10, 1, tzinfo=UTC)


def test_a_file_named_by_its_path_is_a_backup_with_that_path_as_its_id(tmp_path: Path) -> None:
    path = backup_file(tmp_path / "queue_20261110_020000.db.gz", TAKEN)
    found = at(path, None, ZoneInfo("Europe/Berlin"))
    assert (found.id, found.key, found.source) == (str(path), str(path), "file")
    assert (found.component, found.format, found.taken_at, found.size) == ("queue", "db.gz", TAKEN, 7)
    with FileSource().open(found, tmp_path) as file:
        assert file.read() == b"content"


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = backup_file(tmp_path / "certs_20261110_020000.tar.enc", TAKEN)
    monkeypatch.chdir(tmp_path)
    assert at(Path(path.name)).id == str(path)


def test_the_component_can_be_said_where_the_name_does_not(tmp_path: Path) -> None:
    path = backup_file(tmp_path / "old.bin", TAKEN)
    assert at(path, "certs").component == "certs"


def test_a_name_that_says_another_component_is_refused(tmp_path: Path) -> None:
    path = backup_file(tmp_path / "certs_20261110_020000.tar.enc", TAKEN)
    with pytest.raises(UsageError, match="certs, not of config"):
        at(path, "config")


def database(path: Path) -> bytes:
    with sqlite3.connect(path) as connection:
        connection.execute("create table message_queue (id)")
    connection.close()
    return path.read_bytes()


def tar(top: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(f"{top}/config.yaml"), io.BytesIO())
    return raw.getvalue()


def test_the_content_tells_the_component_where_neither_name_nor_caller_does(tmp_path: Path) -> None:
    contents = {
        "a": ("queue", database(tmp_path / "q")),
        "b": ("queue", gzip.compress(database(tmp_path / "r"))),
        "c": ("config", tar("pacs_bridge")),
        "d": ("certs", gzip.compress(tar("certs"))),
    }
    for name, (component, content) in contents.items():
        assert at(backup_file(tmp_path / name, TAKEN, content)).component == component


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b garbage", tar("other")])
def test_content_that_tells_nothing_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match="unknown") as failure:
        at(backup_file(tmp_path / "unknown", TAKEN, content))
    assert failure.value.hint


def test_a1_a_mistyped_path_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"queue_20261110_020000\.db\.gz") as failure:
        at(tmp_path / "queue_20261110_020000.db.gz")
    assert failure.value.exit_code == 3
    assert failure.value.hint


def test_a_directory_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a directory"):
        at(tmp_path)


def test_a_fifo_or_device_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "queue_20261110_020000.db.gz")
    began = time.monotonic()
    for path in (tmp_path / "queue_20261110_020000.db.gz", Path("/dev/zero")):
        with pytest.raises(SourceError, match="no regular file"), opened(path):
            pass
    assert time.monotonic() - began < 5


def test_a_name_with_an_escape_sequence_is_shown_harmless(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as failure:
        at(tmp_path / "queue_\x1b[2J.db.gz")
    assert "\x1b" not in failure.value.message


def test_a_name_that_is_not_utf8_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/queue_\xff.db.gz"))
    path.write_bytes(b"x")
    with pytest.raises(SourceError, match="UTF-8"):
        at(path, "queue")


def test_an_error_in_mid_read_names_the_file(tmp_path: Path) -> None:
    path = backup_file(tmp_path / "queue_20261110_020000.db.gz", TAKEN, b"x" * 3_000_000)
    with opened(path) as file:
        file.read(1)
        replacement = os.open(tmp_path, os.O_RDONLY)
        os.dup2(replacement, file.fileno())  # reads of a directory fail as those of a broken disk do
        os.close(replacement)
        with pytest.raises(SourceError, match="queue_20261110_020000"):
            file.read()


def test_it_lists_nothing() -> None:
    assert list(FileSource().listing()) == []
