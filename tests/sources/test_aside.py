"""What runs set aside and rollbacks withdrew, listed and read as backups."""

from __future__ import annotations

import sqlite3
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pacs_recover.errors import SourceError
from pacs_recover.model import Backup
from pacs_recover.sources import Problem
from pacs_recover.sources.aside import AsideSource
from pacs_recover.target import places
from tests.sources.places import Run, closed, ids, open_place, problems, unprivileged

AT = datetime(2026, 11, 10, 2, tzinfo=UTC)


def live_queue(path: Path) -> Path:
    """A database whose rows are all in its -wal, as that of a running service."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.with_name("source.db")
    source.unlink(missing_ok=True)
    connection = sqlite3.connect(source)
    connection.execute("pragma journal_mode=wal")
    connection.execute("create table message_queue (id)")
    connection.executemany("insert into message_queue values (?)", [(n,) for n in range(50)])
    connection.commit()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").write_bytes(Path(f"{source}{suffix}").read_bytes())
    connection.close()
    return path


def live_tree(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.yaml").write_text("server: {}\n")
    return path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, "20261110-020000-abcd", AT)


def only(source: AsideSource) -> Backup:
    (found,) = source.listing()
    assert isinstance(found, Backup)
    return found


def test_a_part_that_was_set_aside_is_a_backup_named_by_when_it_was(run: Run, tmp_path: Path) -> None:
    aside = run.sets_aside("queue", live_queue(tmp_path / "live/queue.db"), "-wal", "-shm", "-journal")
    found = only(AsideSource([run.journal]))
    assert (found.id, found.component, found.source) == ("queue/20261110_020000@aside", "queue", "aside")
    assert (found.key, found.taken_at, found.format, found.readable) == (str(aside), AT, "tar", True)
    assert found.size is not None


def test_a_queue_comes_back_with_the_rows_of_its_wal(run: Run, tmp_path: Path) -> None:
    run.sets_aside("queue", live_queue(tmp_path / "live/queue.db"), "-wal", "-shm", "-journal")
    source = AsideSource([run.journal])
    with source.open(only(source), tmp_path) as file, tarfile.open(fileobj=file, mode="r|") as members:
        members.extractall(tmp_path / "out", filter="data")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["queue.db", "queue.db-wal"]
    connection = sqlite3.connect(tmp_path / "out/queue.db")
    assert connection.execute("select count(*) from message_queue").fetchone() == (50,)
    connection.close()


def test_a_tree_has_the_live_directorys_name_on_top(run: Run, tmp_path: Path) -> None:
    run.sets_aside("config", live_tree(tmp_path / "live/pacs_bridge"))
    source = AsideSource([run.journal])
    with source.open(only(source), tmp_path) as file, tarfile.open(fileobj=file, mode="r|") as members:
        assert members.getnames() == ["pacs_bridge", "pacs_bridge/config.yaml"]
    with source.open(only(source), tmp_path) as file:
        assert len(file.read()) == only(source).size


def test_what_was_brought_back_or_never_stood_there_is_not_listed(run: Run, tmp_path: Path) -> None:
    aside = run.sets_aside("config", live_tree(tmp_path / "live/pacs_bridge"))
    run.sets_aside("queue", tmp_path / "live/queue.db")
    places.move(aside / "pacs_bridge", tmp_path / "live/pacs_bridge")
    assert list(AsideSource([run.journal]).listing()) == []


def test_a_part_that_a_resumed_run_set_aside_again_is_one_backup(run: Run, tmp_path: Path) -> None:
    run.sets_aside("queue", tmp_path / "live/queue.db")
    run.sets_aside("queue", live_queue(tmp_path / "live/queue.db"), "-wal", "-shm")
    assert ids(AsideSource([run.journal])) == ["queue/20261110_020000@aside"]


def test_what_a_rollback_withdrew_is_listed_as_it_may_hold_acknowledged_rows(run: Run, tmp_path: Path) -> None:
    live = tmp_path / "live/queue.db"
    run.sets_aside("queue", live)
    for _ in range(2):
        run.withdraws("queue", live_queue(live))
    (run.path / "withdrawn/queue-changed").mkdir()
    places.move(live_queue(live), run.path / "withdrawn/queue-changed/queue.db")
    source = AsideSource([run.journal])
    assert ids(source) == [
        "queue/20261110_020000-withdrawn-changed@aside",
        "queue/20261110_020000-withdrawn1@aside",
        "queue/20261110_020000-withdrawn2@aside",
    ]
    assert ids(source, "config") == []
    found = next(found for found in source.listing() if isinstance(found, Backup))
    with source.open(found, tmp_path) as file, tarfile.open(fileobj=file, mode="r|") as members:
        assert members.getnames() == ["queue.db"]


def test_a_room_that_was_pruned_holds_nothing(run: Run, tmp_path: Path) -> None:
    run.sets_aside("config", live_tree(tmp_path / "live/pacs_bridge"))
    places.remove_tree(run.path)
    assert list(AsideSource([run.journal]).listing()) == []


def test_a_room_that_was_moved_is_found_by_what_it_is(run: Run, tmp_path: Path) -> None:
    run.sets_aside("config", live_tree(tmp_path / "live/pacs_bridge"))
    run.path.parent.rename(tmp_path / "live/.kept")
    found = only(AsideSource([run.journal]))
    assert found.key == str(tmp_path / "live/.kept" / run.path.name / "aside/config")


def test_another_directory_in_the_rooms_place_is_a_problem(run: Run, tmp_path: Path) -> None:
    run.sets_aside("config", live_tree(tmp_path / "live/pacs_bridge"))
    run.path.parent.rename(tmp_path / "elsewhere")
    live_tree(run.path / "aside/config/pacs_bridge")
    (problem,) = AsideSource([run.journal]).listing()
    assert isinstance(problem, Problem)
    assert problem.hint


def test_a_room_swapped_for_a_link_is_never_followed(run: Run, tmp_path: Path) -> None:
    run.sets_aside("config", live_tree(tmp_path / "live/pacs_bridge"))
    source = AsideSource([run.journal])
    found = only(source)
    run.path.parent.rename(tmp_path / "elsewhere")
    run.path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="link"), source.open(found, tmp_path):
        pass
    assert all(isinstance(one, Problem) for one in source.listing())


def test_a_room_that_only_root_can_read_is_listed_as_unreadable() -> None:
    with open_place() as place:
        run = Run(place, "20261110-020000-abcd", AT)
        run.sets_aside("config", live_tree(place / "live/pacs_bridge"))
        source = AsideSource([run.journal])
        with unprivileged(place), closed(run.path.parent):
            problem, found = source.listing()
            assert isinstance(problem, Problem)
            assert isinstance(found, Backup)
            assert "root" in problem.hint
            assert (found.id, found.readable, found.size) == ("config/20261110_020000@aside", False, None)
            with pytest.raises(SourceError, match="cannot read") as failure, source.open(found, place):
                pass
            assert "root" in failure.value.hint


def test_a_damaged_journal_is_a_problem_and_what_is_whole_is_listed(run: Run, tmp_path: Path) -> None:
    run.sets_aside("config", live_tree(tmp_path / "live/pacs_bridge"))
    run.journal.write_bytes(b"rubbish\n" + run.journal.read_bytes())
    assert ids(AsideSource([run.journal])) == ["config/20261110_020000@aside"]
    assert ["line 1" in problem.reason for problem in problems(AsideSource([run.journal]))] == [True]


def test_a_missing_journal_is_a_problem_and_the_others_are_listed(run: Run, tmp_path: Path) -> None:
    run.sets_aside("config", live_tree(tmp_path / "live/pacs_bridge"))
    source = AsideSource([tmp_path / "gone.jsonl", run.journal])
    assert len(ids(source)) == 1
    assert len(problems(source)) == 1


def test_two_runs_of_one_second_have_two_ids(tmp_path: Path) -> None:
    runs = [Run(tmp_path, f"20261110-020000-{n}", AT) for n in range(2)]
    for run in runs:
        run.sets_aside("config", live_tree(tmp_path / "live/pacs_bridge"))
    assert len(set(ids(AsideSource([run.journal for run in runs])))) == 2
