"""Every target, for a moment, with the same seed each time; the driver itself sees what it must."""

from __future__ import annotations

import pytest

from pacs_recover.errors import BadBackup, RecoverError
from tests.fuzz.driver import Crash, fuzz, one
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, Target
from tests.runs.conftest import made
from tests.runs.small_site import SmallSite

__all__ = ["made"]

SECONDS, MOST = 0.6, 300


@pytest.fixture(scope="session")
def sound(made: SmallSite) -> dict[str, list[bytes]]:
    """What is mutated."""
    made.reset()
    return seeds(made)


def test_every_format_has_a_target_with_seeds(sound: dict[str, list[bytes]]) -> None:
    assert set(sound) == set(TARGETS)
    assert all(any(found) for found in sound.values())


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_bytes_are_refused_in_words_or_taken(name: str, sound: dict[str, list[bytes]]) -> None:
    tried = fuzz(name, TARGETS[name], sound[name], seconds=SECONDS, most=MOST, seed=20261110)
    assert tried.inputs > len(sound[name])


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - {"file_name"}))
def test_what_is_sound_is_taken(name: str, sound: dict[str, list[bytes]]) -> None:
    assert not one(name, TARGETS[name], sound[name][0], "sound")


def raising(error: Exception) -> Target:
    def target(data: bytes) -> None:
        raise error

    return target


@pytest.mark.parametrize(
    ("error", "crashes"),
    [
        (BadBackup("it is damaged", "take another"), False),
        (ValueError("unexpected"), True),
        (MemoryError(), True),
        (RecoverError("\x1b[2Jit is damaged"), True),
        (RecoverError("it is damaged", "\u202e"), True),
    ],
)
def test_only_an_error_in_harmless_words_is_no_crash(error: Exception, crashes: bool) -> None:
    if crashes:
        with pytest.raises(Crash):
            one("x", raising(error), b"", "seed")
    else:
        assert one("x", raising(error), b"", "seed")
