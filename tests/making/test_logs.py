"""Closed logs are shipped once each, under names that no other one gets; none goes that is not proven elsewhere."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.cli.shell import Shell, with_site
from tests.making.conftest import local, stored
from tests.runs.small_site import SmallSite

DAY = 86400


@pytest.fixture
def logs(small: SmallSite) -> Path:
    """The live logs, with nothing rotated yet."""
    home = small.live / "var/log/pacs_bridge"
    for path in home.glob("*.log.*"):
        path.unlink()
    return home


def rotated(path: Path, text: str, at: float) -> None:
    """A log that was closed then."""
    path.write_bytes(gzip.compress(text.encode()) if path.name.endswith(".gz") else text.encode())
    os.utime(path, (at, at))


def contents(store: Path) -> list[str]:
    """Of all that was shipped."""
    return sorted(gzip.decompress((store / name).read_bytes()).decode() for name in stored(store))


def test_a13_the_log_of_day_2_does_not_overwrite_that_of_day_1(shell: Shell, logs: Path, store: Path) -> None:
    rotated(logs / "bridge.log.1", "day 1\n", 1_790_000_000)
    shell("backup", "logs", code=0)
    (logs / "bridge.log.1").rename(logs / "bridge.log.2")
    rotated(logs / "bridge.log.1", "day 2\n", 1_790_000_000 + DAY)
    assert len(shell("backup", "logs", "--json", code=0).json["backups"]) == 1, "the other one is there already"
    assert contents(store) == ["day 1\n", "day 2\n"]


def test_a13_two_a_day_two_a_second_and_compressed_later_are_told_apart(shell: Shell, logs: Path, store: Path) -> None:
    rotated(logs / "bridge.log.1", "morning\n", 1_790_000_000)
    rotated(logs / "bridge.log-20260921", "the same second\n", 1_790_000_000)
    rotated(logs / "bridge.2.log", "by spdlog\n", 1_790_000_007)
    shell("backup", "logs", code=0)
    (logs / "bridge.log.1").unlink()
    rotated(logs / "bridge.log.2.gz", "morning\n", 1_790_000_000)
    rotated(logs / "bridge.log.1", "evening\n", 1_790_040_000)
    shell("backup", "logs", code=0)
    assert contents(store) == ["by spdlog\n", "evening\n", "morning\n", "the same second\n"]
    assert all(name.startswith("logs/bridge.log-2026") and name.endswith(".gz") for name in stored(store))
    assert (logs / "bridge.log.1").exists(), "nothing goes unless it is asked for"
    listed = shell("catalog", "logs", "--json").json["backups"]
    assert len({one["id"] for one in listed if one["source"] == "local"}) == 4
    assert "no closed log" in shell("backup", "logs", code=0).out


def test_a13_only_what_is_closed_is_shipped_and_only_what_is_proven_everywhere_goes(
    small: SmallSite, logs: Path, store: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    own = with_site(small, sources=[local(store), local(second, "second")], backup={"to": ["local", "second"]})
    rotated(logs / "bridge.log.1", "one\n", 1_790_000_000)
    rotated(logs / "bridge.log.2", "two\n", 1_789_000_000)
    with (logs / "bridge.log.1").open("a"):
        told = own("backup", "logs", "--remove", code=0)
    assert "still open" in told.err
    assert contents(store) == contents(second) == ["two\n"]
    assert sorted(path.name for path in logs.glob("bridge.log*")) == ["bridge.log", "bridge.log.1"]
    second.rename(tmp_path / "unplugged")
    own("backup", "logs", "--remove", code=3)
    assert (logs / "bridge.log.1").exists()
    (tmp_path / "unplugged").rename(second)
    assert "was there already" in own("backup", "logs", "--remove", code=0).out
    assert not (logs / "bridge.log.1").exists()
    assert contents(store) == contents(second) == ["one\n", "two\n"]


def test_a13_a_shipped_log_that_was_damaged_keeps_the_live_one(shell: Shell, logs: Path, store: Path) -> None:
    rotated(logs / "bridge.log.1", "one\n" * 1000, 1_790_000_000)
    shell("backup", "logs", code=0)
    (name,) = stored(store)
    (store / name).write_bytes((store / name).read_bytes()[:-6])
    assert "NOT BACKED UP" in shell("backup", "logs", "--remove", code=6).err
    assert (logs / "bridge.log.1").exists()
