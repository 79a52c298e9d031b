"""CRC-64/GO-ISO, the checksum of LTX files, fast enough without a compiled module."""

from __future__ import annotations

ONES = (1 << 64) - 1
FLUSH = 1 << 20
"""Bytes that are gathered before they are folded: large integers pay only when they are large."""


class Crc64:
    """The checksum of what ``update`` was given (as Go's ``crc64.ISO`` table, x^64+x^4+x^3+x+1, reflected)."""

    def __init__(self) -> None:
        self._state = ONES
        self._parts: list[bytes] = []
        self._size = 0

    def update(self, *parts: bytes) -> None:
        """Take more bytes in."""
        self._parts.extend(parts)
        self._size += sum(map(len, parts))
        if self._size >= FLUSH:
            self._fold()

    @property
    def value(self) -> int:
        """Of all bytes so far."""
        self._fold()
        return self._state ^ ONES

    def _fold(self) -> None:
        data = b"".join(self._parts)
        self._parts, self._size = [], 0
        self._state = _remainder(int.from_bytes(data, "little") ^ self._state, len(data) * 8 + 64)


def _remainder(bits: int, width: int) -> int:
    """A polynomial of ``width`` coefficients, the highest power in the lowest bit, modulo the CRC's own.

    As x^64 = x^4 + x^3 + x + 1 (over GF(2)), so is x^64a = x^4a + x^3a + x^a + 1 for every a that is a power of two:
    each turn replaces all coefficients from x^64a on by four shifted copies, and about halves the width.
    """
    while width > 64:
        a = 1 << ((width - 1) // 64).bit_length() - 1
        high = width - 64 * a  # how many coefficients are replaced
        head = bits & ((1 << high) - 1)
        shorter = max(64 * a, high + 4 * a)
        top = shorter - high
        rest = (bits >> high) << (shorter - 64 * a)
        bits = rest ^ (head << top) ^ (head << top - a) ^ (head << top - 3 * a) ^ (head << top - 4 * a)
        width = shorter
    return bits
