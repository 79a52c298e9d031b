"""The one function that decides, held against what it must never do, and against the guide's table over two years."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pacs_recover.keeping.deciding import DAY, Decision, Group, decide, is_good
from pacs_recover.model import Backup, Fact, VerdictState
from pacs_recover.site import Ages, RetentionConfig, Site

NOW = datetime(2026, 11, 10, 5, tzinfo=UTC)
GUIDE = RetentionConfig()
RPO = {name: objective.rpo for name, objective in Site().objectives.items()}


def backup(age: float, verdict: VerdictState = "good", *, component: str = "queue", size: int = 1000) -> Backup:
    """One that is so many days old."""
    at = NOW - timedelta(days=age)
    id = f"{component}/{at:%Y%m%d_%H%M%S.%f}@local"
    return Backup(id=id, component=component, source="local", key=f"/b/{id}", taken_at=at, size=size, verdict=verdict)


def group(*backups: Backup, **more: object) -> Group:
    """These as a group of the guide's queue, one a day."""
    told = {"ages": GUIDE.queue, "rpo": 2 * DAY}
    return Group(backups=backups, **{**told, **more})


def went(found: Sequence[Decision]) -> set[str]:
    return {one.backup.id for one in found if one.goes}


def days(start: int, end: int, verdict: VerdictState = "good") -> list[Backup]:
    """One a day, of these ages."""
    return [backup(age, verdict) for age in range(start, end)]


def test_what_is_older_than_its_total_goes_and_every_decision_says_why() -> None:
    found = decide(group(*days(0, 100)), NOW)
    assert went(found) == {one.id for one in days(91, 100)}
    assert {one.rule: one.why for one in found if one.backup.id == backup(95).id} == {
        "past": "95 days old; kept for 90 days"
    }
    assert all(one.why for one in found)


def test_e1_the_last_30_are_a_number_and_no_days() -> None:
    old = [backup(age, component="config") for age in range(31, 71)]
    fresh = [backup(0.5, component="config"), *old]
    found = decide(group(*fresh, ages=GUIDE.config, history=NOW - timedelta(days=400)), NOW)
    left = [one.backup for one in found if not one.goes]
    assert left == fresh[:30], "the guide's -mtime +30 leaves one of these"


def test_what_is_kept_for_ever_goes_only_where_git_has_it() -> None:
    every = [backup(age + 0.5, component="config") for age in range(40)]
    assert went(decide(group(*every, ages=GUIDE.config), NOW)) == set()
    since = every[35].taken_at
    assert went(decide(group(*every, ages=GUIDE.config, history=since), NOW)) == {one.id for one in every[30:36]}
    assert went(decide(group(*every, ages=Ages()), NOW)) == set()


@pytest.mark.parametrize(
    ("newest", "why"),
    [
        (backup(0.2, "failed"), "is bad"),
        (backup(0.2, "never"), "was not verified yet"),
        (backup(0.2, "stale"), "changed"),
        (backup(0.2, "good", size=0), "is bad"),
        (backup(3), "later backups failed"),
    ],
)
def test_a11_e10_nothing_goes_when_the_newest_backup_failed_or_is_bad(newest: Backup, why: str) -> None:
    found = decide(group(newest, *days(5, 100)), NOW)
    assert went(found) == set()
    blocked = [one for one in found if one.rule == "blocked"]
    assert len(blocked) == 9
    assert all(why in one.why and "kept for 90 days" in one.why for one in blocked)


def test_a11_an_empty_archive_prunes_no_good_one_and_does_not_count() -> None:
    good = [backup(age, component="config") for age in range(1, 32)]
    empty = [backup(n / 100, "failed", component="config", size=0) for n in range(40)]
    every = group(*empty, *good, ages=GUIDE.config, history=NOW - timedelta(days=400))
    assert went(decide(every, NOW)) == set()
    mended = replace(every, backups=(*every.backups, backup(-0.001, component="config")))
    assert went(decide(mended, NOW)) == {good[-1].id, good[-2].id}, "only those beyond the newest 30 good ones"


def test_the_minimum_of_verified_good_ones_stays_whatever_their_age() -> None:
    every = [backup(0), *(backup(age, "never") for age in range(1, 91)), *days(100, 110)]
    found = decide(group(*every), NOW)
    assert {one.backup.id: one.rule for one in found}[backup(101).id] == "minimum"
    assert went(found) == {one.id for one in days(102, 110)}
    few = decide(group(backup(0), backup(100), *days(120, 130, "never")), NOW)
    assert went(few) == set(), "there are only two"


def test_what_is_held_stays() -> None:
    held = {backup(95).id: "under a legal hold of its bucket"}
    found = decide(group(*days(0, 100), held=held), NOW)
    assert went(found) == {one.id for one in days(91, 100)} - held.keys()
    assert next(one.why for one in found if one.backup.id == backup(95).id) == "under a legal hold of its bucket"


def test_a_source_with_a_shorter_tier_lets_go_what_another_one_has() -> None:
    every, there = days(0, 20), frozenset(one.id for one in days(10, 15))
    found = decide(group(*every, limit=7 * DAY, elsewhere=there), NOW)
    assert went(found) == there
    rules = {one.backup.id: one.rule for one in found}
    assert rules[backup(16).id] == "elsewhere"
    assert rules[backup(3).id] == "age"


def test_a_source_that_could_not_be_read_in_whole_lets_nothing_go() -> None:
    found = decide(group(*days(0, 100), trouble="the source s3 could not be read in whole"), NOW)
    assert went(found) == set()


def test_a_backup_from_the_future_neither_counts_nor_goes() -> None:
    future = [backup(-age) for age in (1, 400, 4000)]
    found = decide(group(*future, *days(0, 100)), NOW)
    assert went(found) == went(decide(group(*days(0, 100)), NOW))
    assert {one.rule for one in found if one.backup in future} == {"future"}
    config = [backup(age, component="config") for age in range(31)]
    ahead = [backup(-age, component="config") for age in range(1, 31)]
    of = group(*ahead, *config, ages=GUIDE.config, history=NOW - timedelta(days=400))
    assert went(decide(of, NOW)) == {config[30].id}


def test_a_clock_that_jumped_ahead_or_back_removes_nothing() -> None:
    assert went(decide(group(*days(0, 60)), NOW + timedelta(days=3650))) == set()
    assert went(decide(group(*days(0, 100)), NOW - timedelta(days=3650))) == set()


def test_a_backup_whose_time_is_doubtful_is_no_sign_that_backups_are_made() -> None:
    """Dated by a clock that was ahead, and now its day has come: its bucket knows when it was written."""
    ahead = replace(backup(0.1), findings=(Fact("time", "written 500 days before what its name says", "warn"),))
    assert went(decide(group(backup(0.1), *days(5, 100)), NOW))
    assert went(decide(group(ahead, *days(5, 100)), NOW)) == set()


VERDICTS = st.sampled_from(["good", "never", "failed", "stale"])
BACKUPS = st.lists(
    st.builds(
        backup,
        st.floats(-900, 900).map(lambda age: round(age, 3)),
        VERDICTS,
        size=st.sampled_from([0, 1000]),
    ),
    max_size=40,
    unique_by=lambda one: one.id,
)
AGES = st.builds(
    Ages,
    total=st.one_of(st.none(), st.floats(1, 800).map(lambda age: age * DAY)),
    last=st.one_of(st.none(), st.integers(1, 20)),
)


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """Any group; mostly one whose newest backup is good, so that something may go."""
    backups = draw(BACKUPS)
    if draw(st.integers(0, 3)):
        backups += [backup(0.0001 * n) for n in range(1, 5)]
    names = [one.id for one in backups]
    return Group(
        backups=tuple(backups),
        ages=draw(AGES),
        minimum=draw(st.integers(1, 5)),
        limit=draw(st.one_of(st.none(), st.floats(1, 300).map(lambda age: age * DAY))),
        rpo=draw(st.one_of(st.none(), st.floats(1, 30).map(lambda age: age * DAY))),
        held=dict.fromkeys(draw(st.sets(st.sampled_from(names))), "held") if names else {},
        elsewhere=frozenset(draw(st.sets(st.sampled_from(names)))) if names else frozenset(),
        history=draw(st.one_of(st.none(), st.just(NOW - timedelta(days=500)))),
    )


@settings(max_examples=250, deadline=None)
@given(groups(), st.randoms(use_true_random=False))
def test_what_no_decision_ever_does(of: Group, chance: random.Random) -> None:
    found = decide(of, NOW)
    gone = went(found)
    left = [one for one in of.backups if one.id not in gone]
    assert sorted(one.backup.id for one in found) == sorted(one.id for one in of.backups)
    assert all(one.why for one in found)
    if gone:
        newest = max((one for one in of.backups if one.taken_at <= NOW), key=lambda one: (one.taken_at, one.id))
        assert newest.verdict == "good"
        assert newest.size
        assert of.rpo is None or (NOW - newest.taken_at).total_seconds() <= of.rpo
        assert sum(is_good(one) for one in left if one.taken_at <= NOW) >= of.minimum
        assert newest.id not in gone
    assert not gone & of.held.keys()
    assert not gone & {one.id for one in of.backups if one.taken_at > NOW + timedelta(minutes=5)}
    for one in found:
        old = (NOW - one.backup.taken_at).total_seconds()
        if one.goes and of.ages.total is not None:
            assert old > of.ages.total or (of.limit is not None and old > of.limit and one.backup.id in of.elsewhere)
        if one.goes and of.ages.total is None:
            assert of.ages.last is not None
            assert of.history is not None
    shuffled = list(of.backups)
    chance.shuffle(shuffled)
    assert decide(replace(of, backups=tuple(shuffled)), NOW) == found
    assert went(decide(replace(of, backups=tuple(left)), NOW)) == set(), "a second prune removes nothing more"
    ahead = [backup(-1000 - n) for n in range(3)]
    assert went(decide(replace(of, backups=(*of.backups, *ahead)), NOW)) == gone


EVERY = {
    "config": timedelta(days=1),
    "certs": timedelta(days=7),
    "queue": timedelta(hours=12),
    "logs": timedelta(days=1),
}
START = datetime(2024, 1, 7, 2, tzinfo=UTC)
YEARS = 730
LONG_AGO = START - timedelta(days=400)


class Simulated:
    """One component's directory, day by day: what is made, what goes wrong, what a prune leaves."""

    def __init__(self, component: str, seed: int) -> None:
        self.component = component
        self.ages: Ages = getattr(GUIDE, component)
        self.random = random.Random(f"{component} {seed}")
        self.there: list[Backup] = []
        self.made: list[Backup] = []

    def group(self) -> Group:
        """As it stands; all of the configuration is in Git since long ago."""
        rpo = max(EVERY[self.component].total_seconds(), RPO[self.component] or 0) + 3600
        return Group(
            backups=tuple(self.there), ages=self.ages, rpo=rpo, history=LONG_AGO if self.component == "config" else None
        )

    def make(self, at: datetime, trouble: str) -> None:
        """A backup is made at this time, as the day goes."""
        if trouble == "fails":
            return
        named = {"ahead": at + timedelta(days=500), "behind": at - timedelta(days=200)}.get(trouble, at)
        verdict: VerdictState = {"bad": "failed", "empty": "failed", "unverified": "never"}.get(trouble, "good")  # type: ignore[assignment]
        id = f"{self.component}/{named:%Y%m%d_%H%M%S}{'' if named == at else f'-{at:%Y%m%d}'}@local"
        size = 0 if trouble == "empty" else 1000
        odd = (Fact("time", "the file was written on another day than its name says", "warn"),) if named != at else ()
        one = Backup(
            id=id,
            component=self.component,
            source="local",
            key=id,
            taken_at=named,
            size=size,
            verdict=verdict,
            findings=odd,
        )
        self.there.append(one)
        self.made.append(one)

    def prune(self, now: datetime) -> set[str]:
        """As cron does it every morning; what it must hold to is looked at each time."""
        before = sum(is_good(one) for one in self.there if one.taken_at <= now)
        gone = went(decide(self.group(), now))
        self.there = [one for one in self.there if one.id not in gone]
        good = sum(is_good(one) for one in self.there if one.taken_at <= now)
        assert good >= min(before, GUIDE.minimum)
        assert not gone or good >= GUIDE.minimum
        return gone

    def table(self, now: datetime) -> set[str]:
        """What the guide's table says is left, told in another way than the program does."""
        past = sorted((one for one in self.made if one.taken_at <= now), key=lambda one: one.taken_at)
        ahead = {one.id for one in self.made if one.taken_at > now}
        if self.ages.total is not None:
            begin = now - timedelta(seconds=self.ages.total)
            return ahead | {one.id for one in past if one.taken_at >= begin}
        good = [one for one in past if one.verdict != "failed"][-30:]
        return ahead | {one.id for one in past if one.taken_at >= good[0].taken_at}


TROUBLES = ("fails", "bad", "empty", "unverified", "ahead", "behind")


@pytest.mark.parametrize("component", EVERY)
@pytest.mark.parametrize("seed", range(2))
def test_two_years_of_days_leave_the_guides_table(component: str, seed: int) -> None:
    one = Simulated(component, seed)
    at, seen, often = START, set(), 0.5 if component == "certs" else 0.15
    for day in range(YEARS):
        trouble = one.random.choice(TROUBLES) if one.random.random() < often and day < YEARS - 14 else ""
        if 300 <= day < 330:
            trouble = "fails"  # a month without any backup
        morning = START + timedelta(days=day, hours=3)
        while at < morning:
            one.make(at, trouble)
            seen.add(trouble)
            at += EVERY[component]
        gone = one.prune(morning)
        if trouble in ("fails", "bad", "empty", "unverified") and EVERY[component] <= timedelta(days=1):
            assert not gone, (morning, trouble)
    assert seen == {"", *TROUBLES}
    assert {left.id for left in one.there} == one.table(morning)
    assert len(one.made) > len(one.there) or component == "certs"
