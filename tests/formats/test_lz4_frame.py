from __future__ import annotations

import io
import random
import tracemalloc

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup
from pacs_recover.formats import lz4_frame
from pacs_recover.formats.streams import CHUNK, chunks
from tests.formats.frames import framed

NOISE = random.Random(1)
PACKED = framed(NOISE.randbytes(400))


def content(data: bytes) -> bytes:
    return b"".join(lz4_frame.unpacked(io.BytesIO(data), "a.lz4"))


@given(st.binary(max_size=5000))
def test_what_is_packed_comes_out_again(data: bytes) -> None:
    assert content(framed(data)) == data


def test_a_frame_of_many_blocks_comes_out_again_in_small_pieces() -> None:
    data = NOISE.randbytes(9_000_000) + bytes(9_000_000)
    pieces = list(lz4_frame.unpacked(io.BytesIO(framed(data)), "a.lz4"))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= CHUNK


def test_memory_stays_flat_however_much_comes_out() -> None:
    packed = framed(bytes(200_000_000))
    tracemalloc.start()
    for _ in chunks(lz4_frame.reader(io.BytesIO(packed), "a.lz4")):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


@given(st.data())
def test_any_flipped_bit_is_damage_and_the_file_is_named(data: st.DataObject) -> None:
    packed = bytearray(PACKED)
    bit = data.draw(st.integers(0, len(packed) * 8 - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadBackup, match=r"^a\.lz4 is damaged"):
        content(bytes(packed))


@given(st.integers(0, 400))
def test_a_file_that_is_cut_off_anywhere_is_damage(length: int) -> None:
    with pytest.raises(BadBackup, match=r"^a\.lz4 is damaged"):
        content(PACKED[:length])


def test_an_empty_file_is_said_to_be_empty() -> None:
    with pytest.raises(BadBackup, match="it is empty"):
        content(b"")


def test_something_after_the_frame_is_damage() -> None:
    with pytest.raises(BadBackup, match="something follows"):
        content(framed(b"x") + b"y")


def test_a_frame_without_a_checksum_of_its_content_is_not_taken() -> None:
    with pytest.raises(BadBackup, match="no checksum"):
        content(lz4.frame.compress(b"x" * 100, content_checksum=False))


def test_age_encryption_is_refused_and_told_apart_from_damage() -> None:
    with pytest.raises(lz4_frame.Foreign, match="encrypted with age"):
        content(b"age-encryption.org/v1\n-> X25519 abc\n")
