"""Recovery sets: what belongs together in time, from whichever sources."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover import sets
from pacs_recover.catalog import Catalog, newest
from pacs_recover.model import LIVE, Backup
from pacs_recover.selection import select

NOW = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)


def backup(component: str, hours: float, source: str = "local", **fields: object) -> Backup:
    """One that was taken so many hours before noon."""
    taken = NOW - timedelta(hours=hours)
    name = f"{component}/{taken:%Y%m%d_%H%M%S%f}@{source}"
    found = Backup(id=name, component=component, source=source, key=name, taken_at=taken)
    return msgspec.structs.replace(found, **fields)


def catalog(*backups: Backup) -> Catalog:
    """These, newest first."""
    return Catalog(tuple(sorted(backups, key=lambda one: one.taken_at, reverse=True)), ())


def test_without_a_time_the_newest_of_each_comes_first_as_it_loses_least() -> None:
    queue, config, certs = backup("queue", 0.1, "replica"), backup("config", 10, "git"), backup("certs", 100, "bucket")
    first, *_ = sets.propose(catalog(queue, config, certs, backup("queue", 10.1, "replica"), backup("config", 34)))
    assert first.members == (config, certs, queue)
    assert first.anchor == queue.taken_at
    assert [round(first.skew(one) / 3600, 1) for one in first.members] == [9.9, 99.9, 0]
    assert first.spread == 99.9 * 3600


def test_then_come_the_sets_of_the_times_at_which_configuration_or_certificates_were_backed_up() -> None:
    point = backup("queue", 10.01, "replica")
    config = backup("config", 10, "git")
    found = catalog(backup("queue", 0, "replica"), point, config, backup("certs", 12))
    second = sets.propose(found)[1]
    assert second.anchor == config.taken_at
    assert second.members == (config, backup("certs", 12), point)


def test_one_round_of_backups_is_one_set_though_its_queue_is_taken_last() -> None:
    config, certs, queue = backup("config", 10), backup("certs", 9.95), backup("queue", 9.9)
    found = catalog(config, certs, queue, backup("queue", 10.9), backup("queue", 8.9))
    assert (config, certs, queue) in [one.members for one in sets.propose(found)]
    assert sets.propose(found)[1].anchor == queue.taken_at


def test_what_must_be_named_is_never_proposed() -> None:
    usable = backup("config", 20)
    found = catalog(
        usable,
        backup("config", 1, readable=False, storage_class="GLACIER"),
        backup("config", 2, current=False),
        backup("config", 3, "aside"),
        msgspec.structs.replace(backup("config", 4), taken_at=datetime.now(UTC) + timedelta(days=9)),
    )
    assert [one.members for one in sets.propose(found)] == [(usable,)]
    assert sets.propose(found)[0].missing == ("certs", "queue")
    assert sets.propose(catalog()) == ()


def test_full_at_a_time_is_the_set_of_that_time() -> None:
    every = [backup(name, hours) for name in LIVE for hours in (1, 5, 30)]
    at = NOW - timedelta(hours=4)
    assert select(catalog(*every), ["full"], at=at) == sets.at(catalog(*every), at).members
    assert [sets.skew(one, at) for one in sets.at(catalog(*every), at).members] == [3600.0] * 3


@given(st.lists(st.tuples(st.sampled_from(LIVE), st.integers(0, 600)), max_size=30, unique=True))
def test_every_proposed_set_is_what_was_newest_at_its_time(taken: list[tuple[str, int]]) -> None:
    found = catalog(*(backup(name, minutes / 10) for name, minutes in taken))
    proposed = sets.propose(found)
    assert len(proposed) <= sets.HANDFUL
    assert len({one.members for one in proposed}) == len(proposed)
    for number, one in enumerate(proposed):
        assert all(one.skew(member) >= 0 for member in one.members)
        assert [newest(found, name, one.anchor) for name in LIVE] == [
            next((member for member in one.members if member.component == name), None) for name in LIVE
        ]
        assert number == 0 or one.anchor <= proposed[0].anchor
    assert [one.anchor for one in proposed] == sorted((one.anchor for one in proposed), reverse=True)
