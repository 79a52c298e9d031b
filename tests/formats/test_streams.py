from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup, RecoverError
from pacs_recover.formats.streams import CHUNK, Hashing, Peeking, Pieces, chunks, copy, exactly, finished, leave_room
from tests.formats.samples import Dribble, unhurried
from tests.runs.test_mounts import mounted

data = st.binary(max_size=200)
sizes = st.integers(min_value=1, max_value=50)


@unhurried
@given(st.lists(data), sizes)
def test_pieces_are_read_in_any_size(pieces: list[bytes], size: int) -> None:
    reader = Pieces(iter(pieces))
    assert b"".join(chunks(reader, size)) == b"".join(pieces)
    assert reader.read(size) == b""


@unhurried
@given(st.lists(data), st.integers(min_value=0, max_value=60))
def test_a_negative_size_reads_all_that_is_left(pieces: list[bytes], first: int) -> None:
    reader = Pieces(iter(pieces))
    head = exactly(reader, first)
    assert head + reader.read() == b"".join(pieces)


def test_an_error_between_pieces_is_never_taken_for_the_end() -> None:
    def broken() -> Iterator[bytes]:
        yield b"whole"
        raise BadBackup("The layer is damaged")

    reader = Pieces(broken())
    assert reader.read(5) == b"whole"
    for _ in range(2):
        with pytest.raises(BadBackup, match="damaged"):
            reader.read(5)


@unhurried
@given(data, st.integers(min_value=0, max_value=250), sizes, sizes)
def test_what_was_peeked_at_is_read_again(content: bytes, ahead: int, most: int, size: int) -> None:
    reader = Peeking(Dribble(content, most))
    assert reader.peek(ahead) == content[:ahead]
    assert reader.peek(ahead // 2) == content[: ahead // 2]
    first = reader.read(size)
    assert reader.peek(3) == content[len(first) :][:3]
    assert first + reader.read() == content


@unhurried
@given(data, sizes)
def test_exactly_gathers_short_reads_and_is_short_only_at_the_end(content: bytes, most: int) -> None:
    reader = Dribble(content, most)
    assert exactly(reader, 70) == content[:70]
    assert exactly(reader, 1000) == content[70:]


@unhurried
@given(data, st.integers(min_value=0, max_value=220))
def test_hashing_counts_and_hashes_what_was_read_and_drains_the_rest(content: bytes, first: int) -> None:
    reader = Hashing(io.BytesIO(content))
    head = reader.read(first)
    assert (reader.size, reader.sha256) == (len(head), hashlib.sha256(head).hexdigest())
    reader.drain()
    assert (reader.size, reader.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_copy_writes_everything_and_tells_how_far_it_is(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    with (tmp_path / "out").open("wb", buffering=0) as out:
        assert list(copy(io.BytesIO(content), out)) == [CHUNK, 2 * CHUNK, len(content)]
    assert (tmp_path / "out").read_bytes() == content


def test_copy_writes_on_where_a_write_was_short() -> None:
    class Short(io.BytesIO):
        def write(self, some: object, /) -> int:
            return super().write(bytes(some)[:7])  # type: ignore[call-overload]

    out = Short()
    assert list(copy(io.BytesIO(b"sixteen bytes..."), out)) == [16]
    assert out.getvalue() == b"sixteen bytes..."


def test_work_is_run_to_its_end_for_its_result() -> None:
    def work() -> Generator[int, None, str]:
        yield 1
        yield 2
        return "evidence"

    assert finished(work()) == "evidence"


@pytest.mark.needs("root", reason="only root can mount")
@pytest.mark.needs("mount", "umount", reason="a small filesystem of its own")
def test_unpacking_stops_before_the_filesystem_is_full(tmp_path: Path) -> None:
    with mounted(tmp_path, "size=128m"):
        with (tmp_path / "out").open("wb") as out:
            work = (leave_room(out.fileno()) for _ in copy(io.BytesIO(bytes(256 << 20)), out))
            with pytest.raises(RecoverError, match="fill the disk") as failure:
                list(work)
        assert "decompression bomb" in failure.value.hint
        assert shutil.disk_usage(tmp_path).free > 1 << 20
