"""A small mutating driver: no coverage to steer by, but it knows where formats hurt, and every input has its seed."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pacs_recover.errors import RecoverError
from tests.fuzz.targets import Target, shown

SLOW = 10.0
"""Seconds of processor time that one small input may take."""
NUMBERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    1 << 63,
)
WORDS = (
    *(
        b"\x1b[2J",
        b"\x00",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        "\u202e".encode(),
        b"[red]",
        b"${X:-",
        b"../",
        b"/",
        b"\n",
        b"%",
    ),
    *(b"&a [*a,*a]", b"!!python/object:os.system", b"- " * 50, b"[" * 300, b"{" * 300, b"99999999999999999999", b"-1"),
    *(b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-14:00", b"1e999", b"NaN", b'"', b"\\", b"null", b"true"),
)


class Crash(Exception):
    """An input with which a target did what it must not."""

    def __init__(self, target: str, data: bytes, seed: str, why: str) -> None:
        super().__init__(f"{target} with seed {seed!r}: {why}")
        self.data = data


@dataclass
class Tried:
    """How much was tried."""

    inputs: int = 0
    refused: int = 0


def fuzz(name: str, target: Target, seeds: Sequence[bytes], *, seconds: float, most: int, seed: int) -> Tried:
    """Feed mutants until the time or the number is up. Crash."""
    tried, end = Tried(), time.monotonic() + seconds
    for number in range(most):
        if number and time.monotonic() > end:
            break
        which = f"{seed} {name} {number}"
        data = seeds[number] if number < len(seeds) else mutant(seeds, random.Random(which))
        tried.inputs += 1
        tried.refused += one(name, target, data, which)
    return tried


def one(name: str, target: Target, data: bytes, which: str) -> bool:
    """Feed one input: whether it was refused. Crash."""
    began = time.process_time()
    refused = False
    try:
        try:
            target(data)
        except RecoverError as error:
            refused = True
            shown((error.message, error.hint))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Crash(name, data, which, f"{type(error).__name__}: {error}") from error
    if (took := time.process_time() - began) > SLOW:
        raise Crash(name, data, which, f"took {took:.1f} s")
    return refused


def mutant(seeds: Sequence[bytes], seeded: random.Random) -> bytes:
    """One of the seeds, changed once or a few times."""
    data = bytearray(seeded.choice(seeds))
    for _ in range(seeded.choice((1, 1, 1, 2, 3, 8))):
        _change(data, seeds, seeded)
    return bytes(data)


def _change(data: bytearray, seeds: Sequence[bytes], seeded: random.Random) -> None:
    at = seeded.randrange(len(data) + 1)
    length = seeded.choice((1, 2, 4, 8, 16, 64, 512, 4096))
    match seeded.randrange(9):
        case 0 if at < len(data):
            data[at] ^= 1 << seeded.randrange(8)
        case 1:
            data[at : at + 1] = seeded.randbytes(1)
        case 2:
            width = seeded.choice((1, 2, 4, 8))
            number = seeded.choice(NUMBERS) % (1 << 8 * width)
            data[at : at + width] = number.to_bytes(width, seeded.choice(("big", "little")))
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = data[at : at + length]
        case 5:
            data[at : at + length] = bytes(len(data[at : at + length]))
        case 6:
            data[at:at] = seeded.choice(WORDS)
        case 7:
            other = seeded.choice(seeds)
            start = seeded.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        case _:
            del data[at:]
