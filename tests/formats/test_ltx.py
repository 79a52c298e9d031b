from __future__ import annotations

import io
import random
import struct
import tracemalloc
from datetime import UTC, datetime

import pytest
from fastcrc.crc64 import go_iso
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup
from pacs_recover.formats.ltx import Pages, header
from pacs_recover.formats.lz4_frame import Foreign
from tests.formats.frames import ltx

NOISE = random.Random(1)
PAGES = [(number, NOISE.randbytes(512)) for number in (1, 2, 9)]


def read(data: bytes) -> list[tuple[int, bytes]]:
    return list(Pages(io.BytesIO(data), "a.ltx"))


class Dripping(io.BytesIO):
    """A reader that gives a few bytes at a time, as a network does."""

    def read(self, n: int | None = -1, /) -> bytes:
        return super().read(min(7, n if n is not None and n >= 0 else 7))


@pytest.mark.parametrize("old", [False, True])
def test_the_pages_come_out_as_they_went_in(old: bool) -> None:
    assert read(ltx(PAGES, old=old)) == PAGES
    assert list(Pages(Dripping(ltx(PAGES, old=old)), "a.ltx")) == PAGES


def test_the_header_says_size_transactions_and_time() -> None:
    found = Pages(io.BytesIO(ltx(PAGES, commit=9, transactions=(5, 8))), "a.ltx").header
    assert (found.size, found.first, found.last) == (9 * 512, 5, 8)
    assert found.taken_at == datetime(2026, 11, 10, 2, 0, 0, 123_000, UTC)


@pytest.mark.parametrize(("page_size", "lock"), [(4096, 262_145), (512, 2_097_153), (65536, 16_385)])
def test_the_page_that_sqlite_locks_is_known(page_size: int, lock: int) -> None:
    assert header(ltx([], page_size=page_size), "a.ltx").lock_page == lock


def bitwise(data: bytes) -> int:
    """CRC-64/GO-ISO by its definition, bit by bit."""
    state = ones = (1 << 64) - 1
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0xD800000000000000 if state & 1 else 0)
    return state ^ ones


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_the_checksum_is_that_of_the_definition_in_any_pieces(parts: list[bytes]) -> None:
    found = go_iso(b"")
    for part in parts:
        found = go_iso(part, found)
    assert found == bitwise(b"".join(parts))
    assert go_iso(b"123456789") == 0xB90956C775A41001  # of the catalogue of parametrised CRC algorithms


@given(st.data(), st.booleans())
def test_any_flipped_bit_is_damage_or_refused_and_the_file_is_named(data: st.DataObject, old: bool) -> None:
    packed = bytearray(ltx(PAGES, old=old))
    bit = data.draw(st.integers(0, len(packed) * 8 - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadBackup, match=r"^a\.ltx "):
        read(bytes(packed))


@given(st.data())
def test_a_file_that_is_cut_off_anywhere_is_damage(data: st.DataObject) -> None:
    packed = ltx(PAGES)
    with pytest.raises(BadBackup, match=r"^a\.ltx is damaged"):
        read(packed[: data.draw(st.integers(0, len(packed) - 1))])


def test_unknown_flags_are_refused_and_not_called_damage() -> None:
    with pytest.raises(Foreign, match="flags that are not known here"):
        read(ltx(PAGES, flags=6))
    with pytest.raises(Foreign, match="pages with flags"):
        read(ltx(PAGES, page_flags=3))
    with pytest.raises(Foreign, match="age"):
        read(b"age-encryption.org/v1\n" + bytes(200))


@pytest.mark.parametrize("numbers", [(2, 1), (1, 1), (0, 1)])
def test_pages_out_of_order_are_damage(numbers: tuple[int, int]) -> None:
    with pytest.raises(BadBackup, match="comes after"):
        read(ltx([(number, b"x" * 512) for number in numbers]))


def test_a_page_of_another_size_or_one_that_claims_to_be_huge_is_damage() -> None:
    with pytest.raises(BadBackup, match="page 1 cannot be unpacked"):
        read(ltx([(1, b"x" * 100)]))
    with pytest.raises(BadBackup, match="page 1 cannot be unpacked"):
        read(ltx([(1, b"x" * 600)]))
    with pytest.raises(BadBackup, match="page 1 cannot be unpacked"):
        read(ltx([], commit=1)[:100] + struct.pack(">IHI", 1, 1, 1 << 31) + bytes(1000))


@pytest.mark.parametrize(
    "wrong", [{"page_size": 1000}, {"page_size": 0}, {"transactions": (2, 1)}, {"transactions": (0, 1)}, {"commit": 0}]
)
def test_figures_that_make_no_sense_are_damage(wrong: dict[str, int]) -> None:
    with pytest.raises(BadBackup, match="make no sense"):
        header(ltx([], **wrong), "a.ltx")  # type: ignore[arg-type]


def test_a_time_beyond_all_calendars_is_damage() -> None:
    with pytest.raises(BadBackup, match="the time in its header is none"):
        header(ltx([], milliseconds=1 << 62), "a.ltx")


def test_memory_stays_flat_however_many_pages_there_are() -> None:
    packed = ltx([(number, bytes(4096)) for number in range(1, 20_001)], page_size=4096)
    tracemalloc.start()
    for _ in Pages(io.BytesIO(packed), "a.ltx"):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
