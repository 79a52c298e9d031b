"""What is fuzzed: functions of bytes that may raise RecoverError and nothing else, and sound bytes to begin with."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import struct
import tarfile
import tempfile
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pacs_recover import report
from pacs_recover.errors import RecoverError
from pacs_recover.formats import (
    age,
    archive,
    gz,
    ltx,
    lz4_frame,
    manifest,
    masking,
    openssl_enc,
    queue_db,
    replay,
    settings,
    settings_rules,
    sqlite_set,
    wal,
    wrapping,
    x509,
)
from pacs_recover.formats.streams import Reader, chunks, finished
from pacs_recover.formats.suffixes import RECORDS
from pacs_recover.journal import SUM, SUM_BYTES, read
from pacs_recover.model import Preview
from pacs_recover.report import writers
from pacs_recover.site import problems
from pacs_recover.sources import git_history, git_objects, names
from pacs_recover.sources.s3.place import place_of
from pacs_recover.text import UNSAFE

Target = Callable[[bytes], None]
NOW = datetime(2026, 11, 10, 2, tzinfo=UTC)
LIMITS = archive.Limits(members=200, total=1 << 20, file=1 << 18)
IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
"""Of age's own tests (https://c2sp.org/CCTV/age): a key that nobody has to keep."""
MOST = 4 << 20
"""Bytes that any content may grow to."""


def drain(reader: Reader, most: int = MOST) -> int:
    """Read to the end, or as far as is enough."""
    total = 0
    for chunk in chunks(reader, 1 << 16):
        total += len(chunk)
        if total > most:
            break
    return total


def shown(texts: Iterable[str]) -> None:
    """See that nothing among these could move a cursor."""
    for text in texts:
        odd = {char for char in text if unicodedata.category(char) in UNSAFE} - {"\n"}
        assert not odd, f"would reach a terminal: {odd!r}"


def shown_preview(seen: Preview) -> None:
    """The same of a preview."""
    shown(text for fact in seen.facts for text in (fact.label, fact.value))


def enc(data: bytes) -> None:
    """An encrypted backup; one round of key derivation, as thousands would only take time."""
    rounds, openssl_enc.ROUNDS = openssl_enc.ROUNDS, 1
    try:
        drain(openssl_enc.Decrypting(io.BytesIO(data), b"password"))
    finally:
        openssl_enc.ROUNDS = rounds


def aged(data: bytes) -> None:
    """A backup that age encrypted."""
    drain(age.Decrypting(io.BytesIO(data), IDENTITY))


def gzipped(data: bytes) -> None:
    """gzip, to its end or its limit."""
    drain(gz.Unzipping(io.BytesIO(data), MOST))


def wrapped(data: bytes) -> None:
    """Whatever a file holds, told by its first bytes."""
    rounds, openssl_enc.ROUNDS = openssl_enc.ROUNDS, 1
    try:
        for format in ("", "tar.gz", "db.gz.enc"):
            with _only_errors():
                drain(wrapping.unwrap(io.BytesIO(data), format, lambda: b"password"))
    finally:
        openssl_enc.ROUNDS = rounds


@contextmanager
def _only_errors() -> Iterator[None]:
    """Let what comes after be tried as well."""
    try:
        yield
    except RecoverError as error:
        shown((error.message, error.hint))


def tar(data: bytes) -> None:
    """An archive, as it is."""
    archive.check(io.BytesIO(data), LIMITS)


def unpacked(data: bytes) -> None:
    """An archive whose headers' checksums are right again, unpacked: nothing may appear beside the tree."""
    with _directory() as home:
        into = home / "into"
        into.mkdir()
        try:
            extracted = finished(archive.extract(io.BytesIO(resummed(data)), into, LIMITS))
            shown(repr(entry.name) for entry in extracted.entries)
        finally:
            assert os.listdir(home) == ["into"]
            for path in into.rglob("*"):
                assert path.resolve().is_relative_to(into) or path.is_symlink()
                assert not path.lstat().st_mode & 0o6000


def resummed(data: bytes) -> bytes:
    """Every block that begins like a member's header with the checksum that it should have."""
    out = bytearray(data)
    for start in range(0, len(out) - 511, 512):
        if out[start + 257 : start + 262] == b"ustar":
            out[start + 148 : start + 156] = b" " * 8
            out[start + 148 : start + 156] = b"%06o\0 " % sum(out[start : start + 512])
    return bytes(out)


def ltx_file(data: bytes) -> None:
    """A file of a Litestream 0.5 replica."""
    for _ in ltx.Pages(io.BytesIO(data), "ltx/0/file"):
        pass


def lz4_file(data: bytes) -> None:
    """A snapshot of a Litestream 0.3 replica."""
    drain(lz4_frame.reader(io.BytesIO(data), "snapshot"))


def wal_segment(data: bytes) -> None:
    """A segment of a Litestream 0.3 replica."""
    for _ in wal.Log().frames(lz4_frame.reader(io.BytesIO(data), "segment"), "segment"):
        pass


def wal_frames(data: bytes) -> None:
    """What is in a segment."""
    log = wal.Log()
    for half in (data[:568], data[568:]):  # after the header and one frame of the seed
        for _ in log.frames(io.BytesIO(half), "segment"):
            pass


def database(data: bytes) -> None:
    """A queue database: previewed, compared, outlined."""
    with _directory() as home:
        path = home / "queue.db"
        path.write_bytes(data)
        shown_preview(queue_db.preview(path))
        shown((replay.compare(path, None, NOW, 86400.0).sentence(),))
        replay.outline(path, home / "outline.db")


def database_set(data: bytes) -> None:
    """A queue database with its write-ahead log, which the first four bytes cut in two."""
    with _directory() as home:
        size = int.from_bytes(data[:4]) % (len(data) + 1)
        (home / "queue.db").write_bytes(data[4 : 4 + size])
        (home / "queue.db-wal").write_bytes(data[4 + size :])
        sqlite_set.fold(home / "queue.db")
        assert os.listdir(home) == ["queue.db"]


def journal(data: bytes) -> None:
    """A run's journal, and the report that is made of it."""
    with _directory() as home:
        (home / "journal.jsonl").write_bytes(data)
        events, damage = read(home / "journal.jsonl")
        told = report.fold(events, damage, alive=False, run="run")
        shown((writers.as_text(told), *(found.reason for found in damage)))
        writers.as_html(told)
        writers.as_markdown(told)
        writers.as_json(told)


def journal_lines(data: bytes) -> None:
    """A journal each of whose lines has the checksum that it should have."""
    bodies = [line[: 1 - SUM_BYTES] for line in data.split(b"\n")]
    journal(b"".join(body + SUM % zlib.crc32(body + b"}") for body in bodies if body))


def site_file(data: bytes) -> None:
    """A site file's text."""
    shown(str(problem) for problem in problems(data.decode(errors="replace")))


def configuration(data: bytes) -> None:
    """A configuration of the service: previewed, and compared with another."""
    for name in ("config.yaml", "config.json"):
        with _only_errors():
            tree = settings.load(data, name)
            shown_preview(settings_rules.preview(tree, {"PACS_HOST": "x"}))
            settings.tls_pairs(settings.expand(tree, None).tree)
            settings.message_ttl(tree)
    text = data.decode(errors="replace")
    shown(masking.diff("a: 1\npassword: x\n", text, "config.yaml"))


def certificates(data: bytes) -> None:
    """A directory with one file of certificates and keys, under three names."""
    with _directory() as home:
        for name in ("server.crt", "server.key", "ca.der"):
            (home / name).write_bytes(data)
        shown_preview(x509.preview(home, NOW))


def manifest_file(data: bytes) -> None:
    """A manifest, and a file of sha256sum."""
    for end in RECORDS:
        record = manifest.read(io.BytesIO(data), "queue.db" + end, "queue.db")
        shown(text for fact in record.facts("queue", {}) for text in (fact.label, fact.value))


def git(data: bytes) -> None:
    """A tree and a commit of Git."""
    with _only_errors():
        list(git_objects.items(data, 20, "0" * 40))
    shown(fact.value for fact in git_history.facts(git_history.parsed(data), NOW))


def file_name(data: bytes) -> None:
    """A file's name and time, and an object's URL."""
    name = os.fsdecode(data.replace(b"/", b"").replace(b"\0", b""))
    for home in ("", "queue"):
        if said := names.read(name, home):
            shown((names.backup_id(said, ("a", name), "local"),))
            status = os.stat_result((0, 0, 0, 0, 0, 0, len(data), 0, int.from_bytes(data[:9]), 0))
            shown(fact.value for fact in names.taken(said, status, UTC, NOW)[1])
    shown((str(place_of(data.decode(errors="replace"))),))


TARGETS: dict[str, Target] = {
    function.__name__: function
    for function in (
        *(enc, aged, gzipped, wrapped, tar, unpacked, ltx_file, lz4_file, wal_segment, wal_frames),
        *(database, database_set),
        *(journal, journal_lines, site_file, configuration, certificates, manifest_file, git, file_name),
    )
}


@contextmanager
def _directory() -> Iterator[Path]:
    shm = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(prefix="fuzz-", dir=shm if shm.is_dir() and os.access(shm, os.W_OK) else None))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def small_tar() -> bytes:
    """An archive with every kind of member that is taken."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as made:
        for name, kind, target in (
            ("pacs_bridge", tarfile.DIRTYPE, ""),
            ("pacs_bridge/config.yaml", tarfile.REGTYPE, ""),
            ("pacs_bridge/hard", tarfile.LNKTYPE, "pacs_bridge/config.yaml"),
            ("pacs_bridge/soft", tarfile.SYMTYPE, "config.yaml"),
            ("pacs_bridge/" + "long/" * 25 + "name", tarfile.REGTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            content = b"name: bridge\n" * 50 if kind == tarfile.REGTYPE else b""
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def pax_tar() -> bytes:
    """An archive with pax headers."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        info = tarfile.TarInfo("pacs_bridge/" + "ä" * 90)
        info.mtime = 1.5
        made.addfile(info)
    return out.getvalue()


def small_database(rows: int = 3) -> bytes:
    """A queue database of a few pages."""
    from tests.formats.queue_files import many, queue

    with _directory() as home:
        return queue(home / "queue.db", many(rows), ["dead"]).read_bytes()


def small_set() -> bytes:
    """A database with a write-ahead log that is not folded in, as ``database_set`` takes them."""
    from tests.formats.queue_files import many, queue

    with _directory() as home:
        path = queue(home / "queue.db", many(2))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            with connection:
                connection.execute("UPDATE message_queue SET state = 1")
            base, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    return struct.pack(">I", len(base)) + base + log
