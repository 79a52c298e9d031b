"""A directory as a tar archive: what is in it, and nothing that is not."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from pacs_recover.errors import SourceError
from pacs_recover.formats import archive
from pacs_recover.formats.streams import finished
from pacs_recover.sources import tarball
from pacs_recover.sources.tarball import Tarball


def made(directory: Path) -> bytes:
    with Tarball(directory) as stream:
        return stream.read()


def described(top: Path) -> list[tuple[str, int, int, bytes | str]]:
    """Names, modes, times and contents of a tree."""
    found: list[tuple[str, int, int, bytes | str]] = []
    for path in sorted(top.rglob("*")):
        status, name = path.lstat(), str(path.relative_to(top))
        if path.is_symlink():
            found.append((name, 0, 0, str(path.readlink())))
        else:
            found.append((name, status.st_mode, int(status.st_mtime), path.read_bytes() if path.is_file() else b""))
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A configuration tree with a little of everything."""
    top = tmp_path / "slot/pacs_bridge"
    (top / "certs").mkdir(parents=True)
    (top / "empty").mkdir(mode=0o750)
    (top / "config.yaml").write_text("server: {}\n")
    (top / "config.yaml").chmod(0o600)
    (top / "certs/server.key").write_bytes(b"k" * 512)
    (top / "certs/current").symlink_to("server.key")
    long = top / ("l" * 120)
    (long / ("m" * 150)).mkdir(parents=True)
    (long / ("m" * 150) / "näme with\nline").write_bytes(b"")
    (top / os.fsdecode(b"latin\xe9")).write_bytes(b"1")
    return top.parent


@pytest.mark.needs("tar", reason="the archive must be one for other programs, too")
def test_tar_itself_unpacks_it_to_the_same_tree(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xpf", "-", "-C", out], input=made(tree), check=True)
    assert described(out) == described(tree)


def test_the_projects_own_reader_takes_it(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with Tarball(tree) as stream:
        extracted = finished(archive.extract(stream, tmp_path / "out"))
    assert extracted.files == 4
    assert (tmp_path / "out/pacs_bridge/certs/server.key").read_bytes() == b"k" * 512


def test_its_size_is_known_before_it_is_read(tree: Path) -> None:
    assert tarball.size(tree) == len(made(tree))


def test_an_empty_directory_has_no_size(tmp_path: Path) -> None:
    assert tarball.size(tmp_path) == 0


def test_it_is_the_same_every_time(tree: Path) -> None:
    assert hashlib.sha256(made(tree)).digest() == hashlib.sha256(made(tree)).digest()


def test_sockets_and_fifos_and_setuid_bits_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "program").write_bytes(b"x")
    (tmp_path / "program").chmod(0o4755)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        with Tarball(tmp_path) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
            assert [(member.name, member.mode) for member in members] == [("program", 0o755)]


def test_the_shared_memory_of_a_database_is_left_out(tmp_path: Path) -> None:
    for name in ("queue.db", "queue.db-wal", "queue.db-shm", "queue.db-journal"):
        (tmp_path / name).write_bytes(b"x")
    with Tarball(tmp_path) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
        assert members.getnames() == ["queue.db", "queue.db-journal", "queue.db-wal"]


def test_a_link_is_kept_as_a_link_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "slot").mkdir()
    (tmp_path / "slot/link").symlink_to(tmp_path / "secret")
    assert b"secret" not in made(tmp_path / "slot").replace(os.fsencode(tmp_path / "secret"), b"")


def test_a_directory_reached_through_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real/slot").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(SourceError, match="link"):
        made(tmp_path / "link/slot")


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.write_bytes(b"x" * 3_000_000)
    with Tarball(tmp_path) as stream:
        stream.read(1024)
        path.write_bytes(b"y")
        with pytest.raises(SourceError, match=r"queue\.db changed"):
            stream.read()
        with pytest.raises(SourceError, match=r"queue\.db changed"):
            stream.read()


def test_a_file_swapped_for_a_link_while_it_is_read_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "slot").mkdir()
    (tmp_path / "secret").write_bytes(b"TOP SECRET")
    (tmp_path / "slot/a").write_bytes(b"a" * 100)
    (tmp_path / "slot/b").write_bytes(b"b" * 100)
    with Tarball(tmp_path / "slot") as stream:
        seen = stream.read(1024)
        (tmp_path / "slot/b").unlink()
        (tmp_path / "slot/b").symlink_to(tmp_path / "secret")
        seen += stream.read()
    assert b"TOP SECRET" not in seen


def test_a_tree_deeper_than_any_reader_takes_is_an_error(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * (tarball.DEEPEST + 2))
    deep.mkdir(parents=True)
    with pytest.raises(SourceError, match="deep"):
        made(tmp_path)


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        made(tmp_path / "nowhere")


def test_memory_does_not_grow_with_the_size(tmp_path: Path) -> None:
    with (tmp_path / "queue.db").open("wb") as file:
        file.truncate(200_000_000)
    tracemalloc.start()
    try:
        with Tarball(tmp_path) as stream:
            while stream.read(1 << 20):
                pass
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
