"""A directory of backups, as operators really leave them."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pacs_recover.errors import SourceError
from pacs_recover.model import Backup
from pacs_recover.sources import Problem, file, local
from pacs_recover.sources.local import LocalSource
from tests.sources.places import backup_file, closed, ids, open_place, problems, unprivileged

TAKEN = datetime(2026, 11, 10, 2, tzinfo=UTC)


def source(path: Path) -> LocalSource:
    return LocalSource("local", path, UTC)


def only(path: Path) -> Backup:
    (found,) = source(path).listing()
    assert isinstance(found, Backup)
    return found


def test_the_guides_layout_is_listed_with_ids_that_use_the_names_own_digits(tmp_path: Path) -> None:
    backup_file(tmp_path / "config/config_20261110_020000.tar.gz", TAKEN)
    backup_file(tmp_path / "certs/certs_20261110_020000.tar.enc", TAKEN)
    backup_file(tmp_path / "queue/queue_20261110_020000.db.gz", TAKEN)
    backup_file(tmp_path / "logs/bridge.log.1.gz", TAKEN)
    backup_file(tmp_path / "logs/README", TAKEN)
    assert ids(source(tmp_path)) == [
        "certs/20261110_020000@local",
        "config/20261110_020000@local",
        "logs/bridge.log.1.gz@local",
        "queue/20261110_020000@local",
    ]
    assert ids(source(tmp_path), "queue") == ["queue/20261110_020000@local"]


def test_an_entry_says_all_that_the_file_system_knows(tmp_path: Path) -> None:
    path = backup_file(tmp_path / "certs/certs_20261110_020000.tar.enc", TAKEN, b"12345")
    found = path.stat()
    assert only(tmp_path) == Backup(
        id="certs/20261110_020000@local",
        component="certs",
        source="local",
        key=str(path),
        taken_at=TAKEN,
        size=5,
        format="tar.enc",
        stored=f"{found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}",
    )


def test_a_manifest_or_checksum_beside_a_backup_is_its_record_and_no_backup(tmp_path: Path) -> None:
    both = backup_file(tmp_path / "queue/queue_20261110_020000.db.gz", TAKEN)
    one = backup_file(tmp_path / "queue/queue_20261109_020000.db.gz", TAKEN)
    none = backup_file(tmp_path / "queue/queue_20261108_020000.db.gz", TAKEN)
    for beside in (
        f"{both}.manifest.json",
        f"{both}.sha256",
        f"{one}.sha256",
        f"{none}.sha512",
        "config.manifest.json",
    ):
        (tmp_path / beside).write_text("x")
    elsewhere = backup_file(tmp_path / "far/real", TAKEN)
    (tmp_path / "far/real.sha256").write_text("x")
    (tmp_path / "config").mkdir()
    link = tmp_path / "config/latest.tar.gz"
    link.symlink_to(elsewhere)
    (tmp_path / "config/latest.tar.gz.sha256").symlink_to(tmp_path / "far/real.sha256")
    found = {one.key: one.recorded for one in source(tmp_path).listing() if isinstance(one, Backup)}
    assert found == {
        str(both): f"{both}.manifest.json",
        str(one): f"{one}.sha256",
        str(none): "",
        str(link): f"{link}.sha256",
    }
    assert [file.at(Path(key)).recorded for key in found] == list(found.values())


def test_a_flat_directory_and_one_of_a_single_component_work(tmp_path: Path) -> None:
    backup_file(tmp_path / "flat/queue_20261110_020000.db.gz", TAKEN)
    backup_file(tmp_path / "queue/nightly.db.gz", TAKEN)
    assert ids(source(tmp_path / "flat")) == ["queue/20261110_020000@local"]
    assert ids(source(tmp_path / "queue")) == ["queue/nightly.db.gz@local"]


def test_two_files_whose_names_say_the_same_both_have_an_id_of_their_own(tmp_path: Path) -> None:
    backup_file(tmp_path / "queue_20261110_020000.db.gz", TAKEN)
    backup_file(tmp_path / "queue/queue_20261110_020000.db.gz", TAKEN)
    backup_file(tmp_path / "queue/queue_20261110_020000.db", TAKEN)
    backup_file(tmp_path / "queue/queue-20261110-020000.db.gz", TAKEN)
    backup_file(tmp_path / "monthly/queue/queue_20261110_020000.db.gz", TAKEN)
    found = ids(source(tmp_path))
    assert len(set(found)) == 5
    assert found == ids(source(tmp_path)) == ids(source(tmp_path), "queue")
    assert {"queue/20261110_020000@local", "queue/monthly/20261110_020000@local"} <= set(found)


def test_b16_a_link_to_the_latest_backup_lists_the_real_file_once(tmp_path: Path) -> None:
    real = backup_file(tmp_path / "config/config_20261110_020000.tar.gz", TAKEN)
    (tmp_path / "config/latest.tar.gz").symlink_to(real.name)
    (tmp_path / "config/a-first.tar.gz").symlink_to(real.name)
    assert only(tmp_path).key == str(real)


def test_links_to_what_is_elsewhere_are_followed(tmp_path: Path) -> None:
    share = tmp_path / "share"
    backup_file(share / "elsewhere/queue_20261110_020000.db.gz", TAKEN)
    backup_file(share / "config_20261110_020000.tar.gz", TAKEN)
    top = tmp_path / "top"
    top.mkdir()
    (top / "queue").symlink_to(share / "elsewhere")
    (top / "again").symlink_to(share / "elsewhere")
    (top / "latest_config_20261110_020000.tar.gz").symlink_to(share / "config_20261110_020000.tar.gz")
    (top / "itself").symlink_to(top)
    assert ids(source(top)) == [
        "config/latest_config_20261110_020000.tar.gz@local",
        "queue/20261110_020000@local",
    ]


def test_a_link_to_nothing_is_reported_if_it_is_named_like_a_backup(tmp_path: Path) -> None:
    (tmp_path / "queue_20261110_020000.db.gz").symlink_to("gone")
    (tmp_path / "note").symlink_to("gone")
    (found,) = source(tmp_path).listing()
    assert isinstance(found, Problem)
    assert "queue_20261110_020000.db.gz" in found.place


def test_fifos_sockets_and_directories_named_like_backups_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "queue_20261110_020000.db.gz")
    (tmp_path / "queue_20261110_030000.db.gz").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "queue_20261110_040000.db.gz"))
        assert list(source(tmp_path).listing()) == []


def test_a_directory_that_cannot_be_read_is_reported_and_the_rest_listed() -> None:
    with open_place() as place:
        backup_file(place / "queue/queue_20261110_020000.db.gz", TAKEN)
        backup_file(place / "config/config_20261110_020000.tar.gz", TAKEN)
        with unprivileged(place), closed(place / "queue"):
            found = list(source(place).listing())
    assert [one.id for one in found if isinstance(one, Backup)] == ["config/20261110_020000@local"]
    (problem,) = [one for one in found if isinstance(one, Problem)]
    assert problem.place.endswith("/queue")
    assert "root" in problem.hint


def test_a_file_that_cannot_be_read_is_listed_as_such_and_opening_it_says_why() -> None:
    with open_place() as place:
        path = backup_file(place / "queue_20261110_020000.db.gz", TAKEN)
        with unprivileged(place), closed(path):
            found = only(place)
            with pytest.raises(SourceError, match="queue_20261110_020000") as failure, source(place).open(found, place):
                pass
    assert not found.readable
    assert "root" in failure.value.hint


def test_a_source_that_is_not_there_is_a_problem_that_asks_for_the_mount(tmp_path: Path) -> None:
    (problem,) = problems(source(tmp_path / "nowhere"))
    assert problem.place.endswith("/nowhere")
    assert "mounted" in problem.hint


def test_directories_too_deep_are_not_looked_into_and_said_to_be(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcdef")
    backup_file(deep / "queue_20261110_020000.db.gz", TAKEN)
    backup_file(deep / "g/queue_20261110_030000.db.gz", TAKEN)
    assert len(deep.relative_to(tmp_path).parts) == local.DEEPEST
    assert ids(source(tmp_path)) == ["queue/a/b/c/d/e/f/20261110_020000@local"]
    assert ["deep" in problem.reason for problem in problems(source(tmp_path))] == [True]


def test_hidden_directories_and_what_a_file_system_keeps_for_itself_are_passed_over(tmp_path: Path) -> None:
    for name in (".snapshot", ".git", "lost+found"):
        backup_file(tmp_path / name / "queue_20261110_020000.db.gz", TAKEN)
    assert list(source(tmp_path).listing()) == []


def test_names_are_data_whatever_they_contain(tmp_path: Path) -> None:
    name = "queue_20261110_020000\n\x1b[31m[red]@x\u202e.db.gz"
    path = backup_file(tmp_path / "logs/odd\nplace" / name, TAKEN)
    found = only(tmp_path)
    assert found.key == str(path)
    assert found.id.isascii()
    assert found.id.isprintable()
    assert "[" not in found.id
    assert found.id.count("@") == 1
    with source(tmp_path).open(found, tmp_path) as file:
        assert file.read() == b"content"


def test_a_name_that_is_not_utf8_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/queue_20261110_020000\xff.db.gz"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    (problem,) = problems(source(tmp_path))
    assert "UTF-8" in problem.reason
    assert problem.place.encode()


def test_the_newest_names_of_a_directory_come_first_and_before_the_next_directory_is_read(tmp_path: Path) -> None:
    for hour in range(3):
        backup_file(tmp_path / f"config/config_20261110_0{hour}0000.tar.gz", TAKEN + timedelta(hours=hour))
    (tmp_path / "queue").mkdir()
    listing = source(tmp_path).listing()
    first = next(listing)
    backup_file(tmp_path / "queue/queue_20261110_020000.db.gz", TAKEN)
    assert isinstance(first, Backup)
    assert first.id == "config/20261110_020000@local"
    assert "queue/20261110_020000@local" in [found.id for found in listing if isinstance(found, Backup)]


def test_what_vanishes_while_it_is_listed_is_simply_gone(tmp_path: Path) -> None:
    newer = backup_file(tmp_path / "queue_20261110_030000.db.gz", TAKEN)
    older = backup_file(tmp_path / "queue_20261110_020000.db.gz", TAKEN)
    listing = source(tmp_path).listing()
    first = next(listing)
    older.unlink()
    assert isinstance(first, Backup)
    assert first.key == str(newer)
    assert list(listing) == []
