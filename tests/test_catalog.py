"""All sources side by side, and one backup found among them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from pacs_recover import catalog
from pacs_recover.catalog import Catalog
from pacs_recover.errors import SourceError, UsageError
from pacs_recover.model import Backup, Fact
from pacs_recover.sources import Problem
from pacs_recover.sources.file import FileSource
from pacs_recover.sources.local import LocalSource
from tests.sources.places import backup_file

TAKEN = datetime(2026, 11, 10, 2, tzinfo=UTC)


def backup(id: str, taken_at: datetime = TAKEN, *, readable: bool = True, size: int | None = 1) -> Backup:
    component, _, source = id.partition("/")[0], *id.rpartition("@")[1:]
    return Backup(
        id=id, component=component, source=source, key=f"/{id}", taken_at=taken_at, readable=readable, size=size
    )


class Listed:
    """A source of what it is given; what is an exception is raised, what is an event is waited for."""

    kind = "listed"

    def __init__(self, name: str, *found: Backup | Problem | Exception | threading.Event) -> None:
        self.name = name
        self.found = found

    def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
        for found in self.found:
            if isinstance(found, Exception):
                raise found
            if isinstance(found, threading.Event):
                found.wait(20)
            elif isinstance(found, Problem) or component in (None, found.component):
                yield found

    def open(self, backup: Backup, scratch: Path) -> AbstractContextManager[BinaryIO]:
        return nullcontext(BytesIO())


def filled(*ids: str) -> Catalog:
    return catalog.read([Listed("local", *(backup(id) for id in ids))])


def test_backups_of_all_sources_come_newest_first() -> None:
    late, early = backup("queue/2@b", TAKEN + timedelta(hours=1)), backup("queue/1@a", TAKEN - timedelta(hours=1))
    found = catalog.read([Listed("a", early, backup("config/1@a")), Listed("b", late)])
    assert [one.id for one in found.backups] == ["queue/2@b", "config/1@a", "queue/1@a"]
    assert [(state.name, state.ok, state.error) for state in found.sources] == [("a", True, None), ("b", True, None)]


def test_one_component_or_one_source_can_be_asked_for() -> None:
    sources = [Listed("a", backup("queue/1@a"), backup("config/1@a")), Listed("b", backup("queue/1@b"))]
    assert [one.id for one in catalog.read(sources, "queue").backups] == ["queue/1@b", "queue/1@a"]
    only = catalog.read(sources, source="b")
    assert [one.id for one in only.backups] == ["queue/1@b"]
    assert [state.name for state in only.sources] == ["b"]


def test_what_has_been_read_is_told_while_the_rest_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "EVERY", 0.05)
    rest, told = threading.Event(), list[Catalog]()

    def partly(so_far: Catalog) -> None:
        told.append(so_far)
        rest.set()

    sources = [Listed("s3", backup("queue/1@s3"), rest, backup("queue/2@s3")), Listed("b", backup("config/1@b"))]
    found = catalog.read(sources, partly=partly)
    assert [len(so_far.backups) for so_far in told][:1] == [2]
    assert [(state.name, state.ok) for state in told[0].sources] == [("s3", False), ("b", True)]
    assert "1 backup seen so far" in (told[0].sources[0].error or "")
    assert [one.id for one in found.backups] == ["queue/2@s3", "queue/1@s3", "config/1@b"]
    assert all(state.ok for state in found.sources)


def test_a_partial_listing_is_said_and_a_missing_id_names_it() -> None:
    endless = threading.Event()
    sources = [Listed("s3", backup("queue/1@s3"), endless), Listed("b", backup("config/1@b"))]
    found = catalog.read(sources, patience=0.2)
    endless.set()
    assert [(state.ok, state.error) for state in found.sources][1] == (True, None)
    assert "1 backup seen so far" in (found.sources[0].error or "")
    with pytest.raises(SourceError) as failure:
        catalog.find(found, "queue/2")
    assert "could not read s3 in whole" in failure.value.hint


@pytest.mark.parametrize(
    ("labels", "readable", "word"),
    [
        ((), True, ""),
        ((), False, "UNREAD"),
        (("author", "subject"), True, ""),
        (("deleted", "archived"), False, "COLD"),
        (("thawed",), True, ""),
    ],
)
def test_an_entry_is_marked_by_the_finding_that_counts_most(labels: tuple[str, ...], readable: bool, word: str) -> None:
    marked = replace(backup("queue/1@s3", readable=readable), findings=tuple(Fact(one, "", "ok") for one in labels))
    assert catalog.mark(marked) == word


def test_a_source_that_is_not_there_is_wrong_usage_that_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="loca") as failure:
        catalog.read([Listed("local"), Listed("s3")], source="loca")
    assert "local, s3" in failure.value.hint


def test_a_source_that_hangs_hides_no_other_and_what_it_gave_is_kept() -> None:
    never = threading.Event()
    began = time.monotonic()
    found = catalog.read(
        [Listed("nfs", backup("queue/1@nfs"), never, backup("queue/2@nfs")), Listed("local", backup("queue/1@local"))],
        patience=0.3,
    )
    never.set()
    assert time.monotonic() - began < 5
    assert {one.id for one in found.backups} == {"queue/1@nfs", "queue/1@local"}
    nfs, local = found.sources
    assert local.ok
    assert not nfs.ok
    assert "still reading after" in str(nfs.error)
    assert "mounted" in nfs.hint


def test_a_source_that_never_ends_is_cut_off_as_well() -> None:
    class Endless(Listed):
        def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
            while True:
                time.sleep(0.01)
                yield backup("queue/1@endless")

    found = catalog.read([Endless("endless")], longest=0.3)
    assert "still reading" in str(found.sources[0].error)
    assert found.backups


def test_a_slow_source_that_goes_on_giving_is_waited_for() -> None:
    class Slow(Listed):
        def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
            for number in range(8):
                time.sleep(0.1)
                yield backup(f"queue/{number}@slow")

    assert len(catalog.read([Slow("slow")], patience=0.5).backups) == 8


def test_a_source_that_could_be_read_in_part_is_not_ok_but_its_backups_are_listed() -> None:
    problems = (Problem("/b/queue", "Permission denied", "run it as root"), Problem("/b/logs", "Permission denied"))
    found = catalog.read([Listed("a", problems[0], backup("config/1@a"), problems[1])])
    assert len(found.backups) == 1
    (state,) = found.sources
    assert not state.ok
    assert state.error == "/b/queue: Permission denied (and 1 other place)"
    assert state.hint == "run it as root"


@pytest.mark.parametrize("fault", [SourceError("no such bucket", "look"), OSError(5, "I/O error"), KeyError("x")])
def test_a_source_that_fails_in_any_way_is_reported_and_the_others_listed(fault: Exception) -> None:
    found = catalog.read([Listed("s3", fault), Listed("local", backup("queue/1@local"))])
    assert [one.id for one in found.backups] == ["queue/1@local"]
    assert [state.ok for state in found.sources] == [False, True]
    assert found.sources[0].error


def test_an_id_or_an_unambiguous_beginning_of_one_is_found() -> None:
    found = filled("queue/20261110_020000@local", "queue/20261109_020000@local", "config/20261110_020000@local")
    assert catalog.find(found, "queue/20261110_020000@local").id == "queue/20261110_020000@local"
    assert catalog.find(found, "queue/20261109").id == "queue/20261109_020000@local"
    assert catalog.find(found, "20261109", "queue").id == "queue/20261109_020000@local"


def test_an_exact_id_goes_before_longer_ones_that_begin_like_it() -> None:
    found = filled("queue/20261110_020000@local", "queue/20261110_020000@local2", "queue/20261110_020000.db@local")
    assert catalog.find(found, "queue/20261110_020000@local").id == "queue/20261110_020000@local"


def test_a_beginning_can_name_the_source_too() -> None:
    found = filled("queue/20261110_020000@local", "queue/20261110_020000@aside")
    assert catalog.find(found, "queue/20261110@a").source == "aside"


def test_an_ambiguous_beginning_is_wrong_usage_that_lists_the_candidates() -> None:
    found = filled(*(f"queue/202611{day:02}_020000@local" for day in range(1, 31)))
    with pytest.raises(UsageError, match="30 backups") as failure:
        catalog.find(found, "queue/202611")
    assert "queue/20261130_020000@local" in failure.value.message
    assert "and 20 more" in failure.value.message
    assert failure.value.exit_code == 2


def test_an_id_of_another_component_than_asked_for_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="backup of queue, not of config"):
        catalog.find(filled("queue/1@local"), "queue/1@local", "config")


def test_an_id_that_is_not_there_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(SourceError, match="queue/20261111_020000@local") as failure:
        catalog.find(filled("queue/20261110_020000@local"), "queue/20261111_020000@local")
    assert failure.value.exit_code == 3
    assert "did you mean queue/20261110_020000@local?" in failure.value.hint
    assert "pacs-recover catalog" in failure.value.hint


def test_a_mistyped_beginning_is_compared_with_beginnings_and_the_newest_is_offered() -> None:
    with pytest.raises(SourceError) as failure:
        catalog.find(filled("queue/20261109_020000@local", "queue/20261110_020000@local"), "queue/20261201")
    assert "did you mean queue/20261110_020000@local?" in failure.value.hint


def test_what_is_not_found_may_be_in_a_source_that_could_not_be_read() -> None:
    found = catalog.read([Listed("s3", SourceError("no answer"))])
    with pytest.raises(SourceError) as failure:
        catalog.find(found, "queue/20261111")
    assert "s3" in failure.value.hint


@pytest.mark.parametrize("text", ["", " ", "@local"])
def test_nothing_is_no_beginning_of_anything(text: str) -> None:
    with pytest.raises(SourceError):
        catalog.find(filled("queue/1@local"), text)


def test_a_path_to_a_file_is_found_and_read_in_the_sites_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = backup_file(tmp_path / "sub/queue_20261110_020000.db.gz", TAKEN)
    found = catalog.read([FileSource(ZoneInfo("Asia/Tokyo"))])
    monkeypatch.chdir(tmp_path)
    for text in (str(path), "./sub/queue_20261110_020000.db.gz", "sub/queue_20261110_020000.db.gz"):
        chosen = catalog.find(found, text)
        assert (chosen.id, chosen.source, chosen.component) == (str(path), "file", "queue")
        assert chosen.taken_at == TAKEN - timedelta(hours=9)
    assert found.sources == ()


@pytest.mark.parametrize("text", ["/backup/queue/queue_2026111_020000.db.gz", "./queue.db.gz", "sub/queue.db.gz"])
def test_a1_a_mistyped_path_is_an_error_that_names_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=Path(text).name) as failure:
        catalog.find(filled("queue/20261110_020000@local"), text)
    assert failure.value.exit_code == 3
    assert failure.value.hint


@pytest.mark.parametrize(
    "text", ["~nobody-of-this-name/x", "/a\0b", "a\0b", "/" + "n" * 300, "n" * 5000, "\udcff", "/\udcff"]
)
def test_what_can_be_no_path_is_an_error_and_no_traceback(text: str) -> None:
    with pytest.raises(SourceError) as failure:
        catalog.find(filled("queue/20261110_020000@local"), text)
    assert failure.value.message.encode()


def test_sources_can_be_given_instead_of_a_catalog() -> None:
    assert catalog.find([Listed("local", backup("queue/1@local"))], "queue/1").id == "queue/1@local"


def test_the_newest_is_one_that_can_be_read_now_is_not_from_the_future_and_was_neither_set_aside_nor_deleted() -> None:
    now = datetime.now(UTC)
    found = catalog.read(
        [
            Listed(
                "local",
                backup("queue/future@local", now + timedelta(hours=1)),
                backup("queue/aside@aside", now),
                backup("queue/unreadable@local", now, readable=False),
                backup("config/other@local", now),
                replace(backup("queue/deleted@local", now), current=False),
                backup("queue/good@local", TAKEN),
                backup("queue/older@local", TAKEN - timedelta(days=1)),
            )
        ]
    )
    newest = catalog.newest(found, "queue")
    assert newest
    assert newest.id == "queue/good@local"
    before = catalog.newest(found, "queue", TAKEN - timedelta(seconds=1))
    assert before
    assert before.id == "queue/older@local"
    assert catalog.newest(found, "logs") is None


def test_the_json_has_the_keys_of_the_contract() -> None:
    one = Backup(
        id="certs/1@local",
        component="certs",
        source="local",
        key="/b/certs_1.tar.enc",
        taken_at=TAKEN.astimezone(ZoneInfo("Asia/Tokyo")),
        size=None,
        format="tar.enc",
        findings=(Fact("time", "odd", "warn"),),
    )
    data = catalog.to_json(Catalog((one,), (catalog.SourceState("local", "local", False, "why", "what"),)))
    assert data == {
        "backups": [
            {
                "id": "certs/1@local",
                "component": "certs",
                "source": "local",
                "key": "/b/certs_1.tar.enc",
                "taken_at": "2026-11-10T02:00:00Z",
                "size": None,
                "encrypted": True,
                "format": "tar.enc",
                "storage_class": None,
                "readable": True,
                "current": True,
                "recorded": False,
                "verified": None,
                "verdict": "never",
                "findings": [{"label": "time", "value": "odd", "state": "warn"}],
            }
        ],
        "sources": [{"name": "local", "kind": "local", "ok": False, "error": "why", "hint": "what"}],
    }


def test_a_listed_name_with_an_escape_sequence_is_found_by_its_id_and_never_shown_raw(tmp_path: Path) -> None:
    backup_file(tmp_path / "queue_20261110_020000\x1b[31m.db.gz", TAKEN)
    found = catalog.read([LocalSource("local", tmp_path, UTC)])
    (listed,) = found.backups
    assert catalog.find(found, listed.id) == listed
    with pytest.raises(SourceError) as failure:
        catalog.find(found, "queue/\x1b[31m")
    assert "\x1b" not in failure.value.message + failure.value.hint
