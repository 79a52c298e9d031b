"""One small backup of every format, and how the product reads it to its end."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from pacs_recover import looks
from pacs_recover.components import Look, component, judge, read_backup
from pacs_recover.formats import openssl_enc
from pacs_recover.formats.manifest import Opened, Record
from pacs_recover.formats.streams import finished
from pacs_recover.jobs import opener
from pacs_recover.model import Backup
from pacs_recover.plan import refuse_bad
from pacs_recover.sources import file
from pacs_recover.sources.litestream import LitestreamSource
from pacs_recover.sources.litestream_store import FileStore
from tests.runs.small_site import SmallSite
from tests.sources.make_replica import golden


@dataclass(frozen=True)
class Sample:
    """A sound backup."""

    format: str
    files: tuple[Path, ...]
    """What is damaged, one at a time."""
    read: Callable[[], str]
    """Read it with nothing recorded, as a plan does; a digest of what would be restored. RecoverError where refused."""
    recorded: Callable[[], str] | None
    """The same with its hash recorded beside it; None where the source has no place for one."""


def samples(small: SmallSite, home: Path) -> Iterator[Sample]:
    """All of them, in a directory of their own."""
    look = looks.look(small.site)
    scratch = home / "scratch"
    scratch.mkdir()
    opened = opener(small.site, (), scratch)
    for path in _files(small, home):
        yield _file(path, look, scratch, opened)
    for version, format in (("0.5", "Litestream 0.5 (LTX)"), ("0.3", "Litestream 0.3 (WAL segments)")):
        yield _replica(version, format, home / version, look, scratch)


def _files(small: SmallSite, home: Path) -> Iterator[Path]:
    """The guide's three, and what else operators keep: a bare database, an encrypted configuration, packed or not."""
    stored = {backup.id: Path(backup.key) for backup in small.context().catalog().backups}
    good = {name: stored[small.demo.good[name]] for name in ("config", "certs", "queue")}
    for name in ("queue", "config", "certs"):
        yield Path(shutil.copy(good[name], home))
    database = home / "queue_20261110_020000.db"
    database.write_bytes(gzip.decompress(good["queue"].read_bytes()))
    yield database
    packed, password = good["config"].read_bytes(), openssl_enc.password_from(small.site.key_file)
    for suffix, plain in (("tar.enc", gzip.decompress(packed)), ("tar.gz.enc", packed)):
        encrypted = home / f"config_20261110_020000.{suffix}"
        encrypted.write_bytes(openssl_enc.encrypting(io.BytesIO(plain), password).read())
        yield encrypted


def _file(path: Path, look: Look, scratch: Path, opened: Callable[[Backup], AbstractContextManager[Opened]]) -> Sample:
    path.with_name(path.name + ".sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    with_hash = file.at(path)
    assert with_hash.recorded
    bare = replace(with_hash, recorded="")
    return Sample(
        f"{bare.component} {bare.format}",
        (path,),
        lambda: accepted(bare, opened(bare), look, scratch),
        lambda: accepted(with_hash, opened(with_hash), look, scratch),
    )


def _replica(version: str, format: str, home: Path, look: Look, scratch: Path) -> Sample:
    """The point of a replica that is made of most files, and these."""
    home.mkdir()
    root, _ = golden(version, home)
    store = _Noting(root)
    source = LitestreamSource("litestream", store)

    @contextmanager
    def opened(point: Backup) -> Iterator[Opened]:
        with source.open(point, scratch) as raw:
            yield Opened(raw, Record(source.proof))

    def read(point: Backup) -> str:
        store.read.clear()
        return accepted(point, opened(point), look, scratch)

    made_of: dict[str, tuple[Backup, set[str]]] = {}
    for point in [found for found in source.listing() if isinstance(found, Backup)]:
        read(point)
        made_of[point.id] = point, set(store.read)
    chosen, keys = max(made_of.values(), key=lambda one: len(one[1]))
    return Sample(format, tuple(root / key for key in sorted(keys)), lambda: read(chosen), None)


class _Noting(FileStore):
    """A replica that notes which of its files were read whole."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: set[str] = set()

    def open(self, key: str, length: int | None = None) -> AbstractContextManager[object]:  # type: ignore[override]
        if length is None:
            self.read.add(key)
        return super().open(key, length)


def accepted(backup: Backup, opened: AbstractContextManager[Opened], look: Look, scratch: Path) -> str:
    """Read and judge as a plan does: a digest of what would be restored. RecoverError where it is refused."""
    content, part = scratch / "content", component(backup.component)
    content.mkdir()
    try:
        with opened as raw:
            read = finished(read_backup(part, backup, raw, content, look))
        refuse_bad(backup, judge(part, backup, read, content, look))
        return _rows(content / "queue.db") if backup.component == "queue" else _tree(content)
    finally:
        shutil.rmtree(content)


def _rows(path: Path) -> str:
    """All that a database says, whatever its unused bytes are."""
    digest = hashlib.sha256()
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        database.text_factory = bytes
        tables = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        digest.update(repr(tables).encode())
        for name, sql in tables:
            if sql and sql.upper().startswith(b"CREATE TABLE"):
                for row in database.execute(f'SELECT * FROM "{name.decode()}" NOT INDEXED ORDER BY rowid'):
                    digest.update(repr(row).encode())
    return digest.hexdigest()


def _tree(content: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(content.rglob("*")):
        digest.update(f"{path.relative_to(content)} {path.lstat().st_mode:o}\n".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()
