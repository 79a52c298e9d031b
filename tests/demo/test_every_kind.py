"""The demo's replica and Git history, held against the real programs that would have made them."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from pacs_recover import arming
from pacs_recover import plan as plans
from pacs_recover.authority import Authority
from pacs_recover.demo.queue import timestamp
from pacs_recover.demo.replica import EVERY, GAP
from pacs_recover.demo.site_maker import DemoSite, build
from pacs_recover.model import Backup
from pacs_recover.site import load
from pacs_recover.sources import sources_of
from pacs_recover.sources.litestream_store import FileStore
from pacs_recover.state import State
from tests.demo.conftest import NOW, WAITING
from tests.sources.make_replica import Made, binary


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> DemoSite:
    """A site with backups of every kind, made at NOW."""
    return build(tmp_path_factory.mktemp("demo") / "site", NOW, messages=WAITING, every_kind=True)


def points(site: DemoSite) -> list[Backup]:
    source = next(one for one in sources_of(load(site.site_file), ()) if one.kind == "litestream")
    return [found for found in source.listing() if isinstance(found, Backup)]


def restored(site: DemoSite, backup: Backup, scratch: Path) -> set[str]:
    source = next(one for one in sources_of(load(site.site_file), ()) if one.kind == "litestream")
    with source.open(backup, scratch) as file:
        (scratch / "point.db").write_bytes(file.read())
    return ids(scratch / "point.db")


def ids(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {row[0] for row in database.execute("SELECT id FROM message_queue")}


def test_every_point_but_the_first_five_minutes_can_be_had_and_the_gap_is_one(every: DemoSite) -> None:
    found = [point.taken_at for point in points(every)]
    *quiet, gap = sorted(newer - older for newer, older in pairwise(found))
    assert gap >= GAP[0] - GAP[1]
    assert quiet[-1] < 3 * EVERY, "where nothing happens for a while, nothing is replicated"
    assert NOW - found[0] < EVERY
    assert NOW - found[-1] > timedelta(hours=5)


def test_a_point_holds_what_waited_then(every: DemoSite, tmp_path: Path) -> None:
    point = points(every)[7]
    present = restored(every, point, tmp_path)
    live = every.directory / "live/var/lib/pacs_bridge/queue.db"
    with closing(sqlite3.connect(live)) as database:
        question = "SELECT id FROM message_queue WHERE created_at <= ?"
        waited = {row[0] for row in database.execute(question, (timestamp(point.taken_at),))}
    assert waited < present, "what still waits waited then; what was delivered since did too"
    assert ids(live) - present, "what came since"


def test_the_real_litestream_restores_the_same_bytes(every: DemoSite, tmp_path: Path) -> None:
    root = every.directory / "litestream"
    made = Made(binary("0.3", tmp_path), FileStore(root), (root.as_uri(),), frozenset())
    source = made.source()
    for number in (0, 20, 40):
        point = points(every)[number]
        with source.open(point, tmp_path) as file:
            (tmp_path / "ours.db").write_bytes(file.read())
        theirs = tmp_path / f"theirs-{number}.db"
        made.vendor_restore(point, theirs)
        assert theirs.read_bytes() == (tmp_path / "ours.db").read_bytes()


@pytest.mark.needs("git", reason="reads the history as an operator would")
def test_git_shows_the_history_and_no_key_in_it(every: DemoSite) -> None:
    command = ["git", f"--git-dir={every.directory / 'config.git'}"]
    log = subprocess.run([*command, "log", "--format=%s"], capture_output=True, text=True, check=True).stdout
    assert log.splitlines() == ["Allow 100 connections", "Route results to the archive", "Limit connections to 50"]
    names = subprocess.run([*command, "ls-tree", "-r", "--name-only", "main"], capture_output=True, text=True).stdout
    assert "config.yaml" in names.split()
    assert not [name for name in names.split() if name.endswith(".key")]
    assert subprocess.run([*command, "fsck", "--strict"], capture_output=True).returncode == 0


def test_a_point_is_planned_where_there_is_no_state_directory_yet_and_leaves_its_record_alone(
    every: DemoSite, tmp_path: Path
) -> None:
    state, point = State(tmp_path / "state"), points(every)[7]
    made = plans.make(load(every.site_file), [point], state)
    assert [choice.backup.id for choice in made.request.choices] == [point.id]
    assert [path.name for path in state.path.iterdir()] == ["audit"]
    arming.save(made, state, Authority())
    arming.refuse_stale(made, arming.inputs_now(made, load(every.site_file), state))
    assert sorted(path.name for path in state.path.iterdir()) == ["audit", "plans", "runs"]
