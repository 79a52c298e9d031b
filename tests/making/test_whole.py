"""Backing up and pruning as one: what was proven when it was made stays proven, and what failed holds pruning back."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from pacs_recover import holding
from pacs_recover.authority import Authority
from pacs_recover.errors import Refused
from pacs_recover.making import live
from pacs_recover.making.run import Backing, Order
from tests.cli.shell import Shell, environment, with_site
from tests.keeping.stock import context
from tests.making.conftest import local, stored
from tests.runs.small_site import SmallSite

OLD = (99, 95, 91)
"""Days; the guide keeps queues for 90."""
AGES = (*OLD, 89, 30, 8, 3, 2, 1)

BackUp = Callable[[Shell, float, str], None]


@pytest.fixture
def back_up(monkeypatch: pytest.MonkeyPatch) -> BackUp:
    """Makes a backup some days ago: the same work, by another clock."""

    def make(shell: Shell, age: float, component: str) -> None:
        class Then(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) - timedelta(days=age)

        of = context(shell)
        with monkeypatch.context() as patch:
            patch.setattr(live, "datetime", Then)
            made = list(Backing(of.site, Order((component,)), of.state, Authority()).run())
        assert all(one.ok for one in made), made

    return make


def test_what_backup_made_is_verified_and_prune_removes_exactly_what_is_too_old(
    small: SmallSite, store: Path, tmp_path: Path, back_up: BackUp
) -> None:
    offsite = tmp_path / "offsite"
    offsite.mkdir(mode=0o700)
    shell = with_site(small, sources=[local(store), local(offsite, "offsite")], backup={"to": ["local", "offsite"]})
    assert "never" in shell("status", "--json", code=0).json["verification"]["sentence"]
    for age in AGES:
        back_up(shell, age, "queue")
    shell("backup", "full", code=0)
    listed = [one for one in shell("catalog", "--json", code=0).json["backups"] if one["source"] != "aside"]
    assert len(listed) == 2 * (len(AGES) + 4)
    assert {one["verdict"] for one in listed} == {"good"}
    status = shell("status", "--json", code=0).json["verification"]
    assert (status["state"], status["ok"]) == ("ok", True)
    before = {place: stored(place) for place in (store, offsite)}
    found = shell("prune", "--apply", "--wait", "5", "--json", code=0).json
    assert (found["going"], found["removed"]) == (2 * len(OLD),) * 2
    dates = {f"{datetime.now(UTC) - timedelta(days=age):%Y%m%d}" for age in OLD}
    for place, names in before.items():
        gone = set(names) - set(stored(place))
        assert {name[12:20] for name in gone} == dates
        assert len(gone) == len(OLD)
    results = shell("verify", "--all", "--json", code=0).json["results"]
    assert all(one["known"] for one in results), "nothing is read again that was read when it was made"
    kept = [check for one in results if one["component"] == "certs" for check in one["checks"]]
    assert len({check["name"] for check in kept}) == 4
    max(store.rglob("queue_*.gz")).write_bytes(b"other")
    (changed,) = (one for one in shell("catalog", "--json", code=0).json["backups"] if one["verdict"] == "stale")
    assert changed["component"] == "queue"


def test_e10_a_backup_that_failed_removes_nothing_of_that_component(
    small: SmallSite, store: Path, back_up: BackUp
) -> None:
    keep = {"config": {"total": "90d", "last": None}}
    shell = with_site(small, sources=[local(store)], retention=keep)
    for component in ("config", "queue"):
        for age in (95, 3, 2):
            back_up(shell, age, component)

    def backed_up(component: str, code: int) -> tuple[int, set[str]]:
        shell("backup", component, code=code)
        found = shell("prune", component, "--apply", "--json", code=0).json
        return found["removed"], {one["why"] for one in found["decisions"] if one["rule"] == "blocked"}

    aside = small.root / "aside.db"
    small.queue.rename(aside)
    removed, (why,) = backed_up("queue", 3)
    assert (removed, "there is no queue" in why) == (0, True)
    small.queue.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    removed, (why,) = backed_up("queue", 6)
    assert (removed, "failed" in why) == (0, True)
    small.queue.unlink()
    aside.rename(small.queue)
    key = small.config / "other.pem"
    shutil.copy(small.config / "certs/server.key", key)
    removed, (why,) = backed_up("config", 1)
    assert (removed, "private key" in why) == (0, True)
    assert backed_up("queue", 0) == (1, set()), "of another component"
    key.unlink()
    assert backed_up("config", 0) == (1, set())


def test_a_validator_that_refuses_what_lives_makes_no_backup_of_it(small: SmallSite, store: Path) -> None:
    shell = with_site(small, sources=[local(store)], validator=["/bin/false", "{config}"])
    assert "refuses it" in shell("backup", "config", code=6).err
    assert stored(store) == []


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [("| true", 141, ""), (">/dev/full", 1, "No space left"), (">&-", 0, ""), ("2>&1 | true", 141, "")],
)
def test_output_that_nobody_reads_costs_no_backup(shell: Shell, store: Path, output: str, code: int, said: str) -> None:
    command = subprocess.list2cmdline(shell.argv(("backup", "config", "certs", "queue")))
    done = subprocess.run(
        ["bash", "-c", f"{command} {output}; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert done.stdout == f"{code}\n"
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert [name.partition("/")[0] for name in stored(store)] == ["certs", "config", "queue"]


def test_who_may_not_hold_the_site_is_told_how_to(small: SmallSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/etc/.pacs_recover/lock")

    monkeypatch.setattr(holding, "SiteLock", refuse)
    with pytest.raises(Refused) as told:
        holding.hold(small.site, "backup queue", Authority())
    assert "lock exec" not in told.value.hint
    assert "run it as root" in told.value.hint
