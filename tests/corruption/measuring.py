"""Damage by a seed, and what became of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pacs_recover.errors import RecoverError
from tests.corruption.samples import Sample

KINDS = ("single bit", "64 bytes", "zeroed page", "cut short")
SEED = 20261110


@dataclass
class Measured:
    """What became of the damage to one format."""

    format: str
    injected: int = 0
    found: int = 0
    """Refused with nothing recorded."""
    same: int = 0
    """Taken, and what would be restored is what was backed up: the damage met unused bytes."""
    missed: Counter[str] = field(default_factory=Counter)
    """Taken, and something else would be restored; by kind."""
    recorded: int | None = None
    """Refused with the hash recorded; None where the source has no place for one."""

    @property
    def wrong(self) -> bool:
        """Whether anything damaged was taken although its hash was known."""
        return self.recorded not in (None, self.injected)


def measure(sample: Sample, each: int, seed: int = SEED) -> Measured:
    """Damage a sample ``each`` times in every way, and read it each time, with its hash and without."""
    measured = Measured(sample.format, recorded=None if sample.recorded is None else 0)
    sound = sample.read()
    assert sample.recorded is None or sample.recorded() == sound
    for kind in KINDS:
        for number in range(each):
            _one(sample, kind, random.Random(f"{seed} {sample.format} {kind} {number}"), sound, measured)
    return measured


def _one(sample: Sample, kind: str, seeded: random.Random, sound: str, measured: Measured) -> None:
    path = seeded.choice(sample.files)
    stored = path.read_bytes()
    path.write_bytes(damaged(stored, kind, seeded))
    try:
        measured.injected += 1
        _count(sample, kind, sound, measured)
    finally:
        path.write_bytes(stored)


def _count(sample: Sample, kind: str, sound: str, measured: Measured) -> None:
    try:
        if sample.read() == sound:
            measured.same += 1
        else:
            measured.missed[kind] += 1
    except RecoverError:
        measured.found += 1
    if sample.recorded is not None and measured.recorded is not None:
        try:
            sample.recorded()
        except RecoverError:
            measured.recorded += 1


def damaged(stored: bytes, kind: str, seeded: random.Random) -> bytes:
    """Other bytes than these."""
    while True:
        at = seeded.randrange(len(stored))
        if kind == "single bit":
            made = stored[:at] + bytes([stored[at] ^ 1 << seeded.randrange(8)]) + stored[at + 1 :]
        elif kind == "64 bytes":
            run = seeded.randbytes(len(stored[at : at + 64]))
            made = stored[:at] + run + stored[at + len(run) :]
        elif kind == "zeroed page":
            page = 4096 if len(stored) > 16384 else 512
            start = at - at % page
            made = stored[:start] + bytes(len(stored[start : start + page])) + stored[start + page :]
        else:
            made = stored[:at]
        if made != stored:
            return made


HEAD = """| format | injected | found | same content | **not found**: bit, 64 bytes, page, cut | with a recorded hash |
|---|---|---|---|---|---|"""


def table(results: Iterable[Measured]) -> str:
    """The results in Markdown."""
    lines = [HEAD]
    for one in results:
        missed = ", ".join(str(one.missed[kind]) for kind in KINDS)
        total = sum(one.missed.values())
        recorded = "(its own checksums)" if one.recorded is None else str(one.injected - one.recorded)
        parts = (one.format, f"{one.injected:,}", f"{one.found:,}", f"{one.same:,}", f"**{total}**: {missed}", recorded)
        lines.append(f"| {' | '.join(parts)} |")
    return "\n".join(lines)
