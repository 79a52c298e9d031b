"""What the tests of several formats share: a slow reader, damage, and hypothesis without a stopwatch."""

from __future__ import annotations

import io
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Key derivation and busy machines are slow; that is no failure."""


class Dribble:
    """A reader that gives at most ``most`` bytes per read, as a network does."""

    def __init__(self, data: bytes, most: int) -> None:
        self._raw = io.BytesIO(data)
        self._most = most

    def read(self, n: int = -1, /) -> bytes:
        return self._raw.read(self._most if n < 0 else min(n, self._most))


def refusal(call: Callable[[], object]) -> BadBackup | None:
    """The error that a call refuses its bytes with; None where it takes them. Any other error is a crash."""
    try:
        call()
    except BadBackup as error:
        return error
    return None


@st.composite
def damaged(draw: st.DrawFn, stored: bytes) -> bytes:
    """The bytes with some changed, cut out, zeroed, doubled or added, or without their end."""
    at = draw(st.integers(0, len(stored) - 1))
    length = draw(st.integers(1, 64))
    kind = draw(st.sampled_from(["change", "cut", "zero", "double", "insert", "end"]))
    head, piece, tail = stored[:at], stored[at : at + length], stored[at + length :]
    if kind == "change":
        changed = bytes(byte ^ draw(st.integers(1, 255)) for byte in piece[: draw(st.integers(1, 3))])
        return head + changed + stored[at + len(changed) :]
    return {
        "cut": head + tail,
        "zero": head + bytes(len(piece)) + tail,
        "double": head + piece + piece + tail,
        "insert": head + draw(st.binary(min_size=1, max_size=20)) + piece + tail,
        "end": head,
    }[kind]
