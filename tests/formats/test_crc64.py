from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.formats import crc64
from pacs_recover.formats.crc64 import Crc64


def bitwise(data: bytes) -> int:
    """The definition, bit by bit."""
    state = crc64.ONES
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0xD800000000000000 if state & 1 else 0)
    return state ^ crc64.ONES


def test_the_catalogue_s_check_value() -> None:
    crc = Crc64()
    crc.update(b"123456789")
    assert crc.value == 0xB90956C775A41001  # CRC-64/GO-ISO in the catalogue of parametrised CRC algorithms


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_any_bytes_in_any_pieces_have_the_checksum_of_the_definition(parts: list[bytes]) -> None:
    crc = Crc64()
    for part in parts:
        crc.update(part)
        if len(part) % 3 == 0:
            assert crc.value == crc.value  # asked for midway, which folds
    assert crc.value == bitwise(b"".join(parts))


def test_what_is_larger_than_is_gathered_at_once_has_the_same_checksum_in_any_pieces() -> None:
    data = bytes(range(251)) * 10_000
    whole, pieces = Crc64(), Crc64()
    whole.update(data)
    for at in range(0, len(data), 4099):
        pieces.update(data[at : at + 4099])
    assert whole.value == pieces.value
