from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup
from pacs_recover.formats.gz import Unzipping
from pacs_recover.formats.streams import CHUNK, chunks
from tests.formats.samples import Dribble, damaged, refusal, unhurried

needs_gzip = pytest.mark.needs("gzip", reason="the backups are made with it")


def unzipped(stored: bytes) -> bytes:
    return Unzipping(io.BytesIO(stored)).read()


@needs_gzip
@pytest.mark.parametrize("length", [0, 1, CHUNK // 4, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
@pytest.mark.parametrize("level", ["-1", "-9"])
def test_what_gzip_compresses_is_read_byte_for_byte(length: int, level: str, tmp_path: Path) -> None:
    content = os.urandom(length // 2) + bytes(length - length // 2)
    (tmp_path / "app.log").write_bytes(content)
    subprocess.run(["gzip", level, tmp_path / "app.log"], check=True)  # stores the name too, as backups do
    assert unzipped((tmp_path / "app.log.gz").read_bytes()) == content


@unhurried
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.integers(1, 40), st.integers(1, 40))
def test_members_one_after_the_other_are_one_content(members: list[bytes], most: int, size: int) -> None:
    stored = b"".join(gzip.compress(member) for member in members)
    assert b"".join(chunks(Unzipping(Dribble(stored, most)), size)) == b"".join(members)


def test_zeros_after_the_end_are_padding() -> None:
    assert unzipped(gzip.compress(b"content") + bytes(10_000)) == b"content"


@pytest.mark.parametrize("garbage", [b"x", bytes(600) + b"x", b"\x1f", b"\x1f\x8b", b"\x1f\x8bgarbage that goes on"])
def test_anything_else_after_the_end_is_refused(garbage: bytes) -> None:
    with pytest.raises(BadBackup, match="gzip layer"):
        unzipped(gzip.compress(b"content") + garbage)


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (b"", "no bytes"),
        (b"\x1f", "does not begin as gzip does"),
        (b"PK\3\4 something else", "does not begin as gzip does"),
        (b"\x1f\x8b\x09" + bytes(20), "unsupported compress method"),
    ],
)
def test_what_is_no_gzip_is_refused_with_the_reason(stored: bytes, why: str) -> None:
    with pytest.raises(BadBackup, match=why) as caught:
        unzipped(stored)
    assert caught.value.hint


def test_a1_a_gz_cut_to_20_bytes_is_refused() -> None:
    with pytest.raises(BadBackup, match="cut short"):
        unzipped(gzip.compress(os.urandom(4096))[:20])


def test_a_gz_cut_anywhere_is_refused() -> None:
    stored = gzip.compress(b"some content that is not long " * 5)
    for length in range(len(stored)):
        with pytest.raises(BadBackup):
            unzipped(stored[:length])


def test_b4_a_gzip_with_a_bad_crc_is_refused() -> None:
    stored = bytearray(gzip.compress(b"content" * 1000))
    stored[-8] ^= 1
    with pytest.raises(BadBackup, match="checksum") as caught:
        unzipped(bytes(stored))
    assert caught.value.exit_code == 6


def test_b4_a_gzip_with_a_bad_length_is_refused() -> None:
    stored = bytearray(gzip.compress(b"content" * 1000))
    stored[-1] ^= 1
    with pytest.raises(BadBackup, match="gzip layer is damaged"):
        unzipped(bytes(stored))


@unhurried
@given(st.binary(max_size=400), st.data())
def test_b4_any_damage_is_refused_or_leaves_the_content_identical(some: bytes, data: st.DataObject) -> None:
    content = some * 3 + hashlib.sha512(some).digest() * 2
    stored = data.draw(damaged(gzip.compress(content, mtime=0)))
    if refused := refusal(lambda: unzipped(stored)):
        assert refused.message.startswith("The gzip layer")
        assert refused.hint
    else:
        assert unzipped(stored) == content


def test_content_over_the_limit_is_refused_in_constant_memory() -> None:
    bomb = gzip.compress(bytes(1 << 26), 9)
    tracemalloc.start()
    try:
        with pytest.raises(BadBackup, match="decompression bomb"):
            for _ in chunks(Unzipping(io.BytesIO(bomb), limit=(1 << 26) - 1)):
                pass
        assert tracemalloc.get_traced_memory()[1] < 10 * CHUNK
    finally:
        tracemalloc.stop()
    assert sum(map(len, chunks(Unzipping(io.BytesIO(bomb), limit=1 << 26)))) == 1 << 26
