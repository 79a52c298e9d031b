"""What is seen of a live site before and after a drill, and what counts as a difference."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pacs_recover.events import LivePath
from pacs_recover.model import Activity, ServiceState
from pacs_recover.target import production
from pacs_recover.target.production import Production


class Live:
    """A site of files, with a service that does what it is told to do."""

    def __init__(self, home: Path) -> None:
        self.home, self.name, self.now = home, "bridge", ServiceState("active", "active, pid 7", 0, 7)
        (home / "config/certs").mkdir(parents=True)
        (home / "config/config.yaml").write_text("a: 1\n")
        (home / "q").mkdir()
        (home / "q/queue.db").write_bytes(b"rows")

    def state(self) -> ServiceState:
        return self.now

    def look(self) -> Production:
        places = {"config": "config", "certs": "config/certs", "queue": "q/queue.db"}
        paths = (LivePath(component=n, declared=p, real=str(self.home / p)) for n, p in places.items())
        return production.look(paths, (self,))  # type: ignore[arg-type]


@pytest.fixture
def live(tmp_path: Path) -> Live:
    """The site."""
    return Live(tmp_path)


def changed(live: Live, before: Production) -> list[str]:
    """What differs now."""
    return list(production.differences(before, live.look()))


def test_nothing_changed_is_said_with_one_hash(live: Live) -> None:
    before = live.look()
    assert changed(live, before) == []
    assert before.sha256 in production.sentence(before, live.look())


@pytest.mark.parametrize("how", ["content", "mode", "new file", "removed"])
def test_any_change_of_configuration_is_one(live: Live, how: str) -> None:
    before, file = live.look(), live.home / "config/config.yaml"
    match how:
        case "content":
            file.write_text("a: 2\n")
        case "mode":
            file.chmod(0o600)
        case "new file":
            (live.home / "config/certs/new.key").touch()
        case _:
            file.unlink()
    assert any("config" in line for line in changed(live, before))


def test_rows_of_a_running_service_are_no_change_but_another_file_is(live: Live) -> None:
    before, queue = live.look(), live.home / "q/queue.db"
    queue.write_bytes(b"other rows")
    (live.home / "q/queue.db-wal").write_bytes(b"more")
    assert changed(live, before) == []
    assert "went on being written" in production.sentence(before, live.look())
    queue.rename(live.home / "q/old")
    queue.write_bytes(b"other rows")
    assert changed(live, before) == ["the live queue is not what it was"]


@pytest.mark.parametrize("activity", ["stopped", "failed", "absent"])
def test_rows_that_nobody_should_write_are_a_change(live: Live, activity: Activity) -> None:
    live.now = ServiceState(activity, "not running")
    before = live.look()
    (live.home / "q/queue.db").write_bytes(b"other rows")
    assert changed(live, before) == ["the live queue was written, though no service ran"]


@pytest.mark.parametrize(
    "now",
    [
        ServiceState("stopped", "stopped"),
        ServiceState("active", "active, pid 8", 0, 8),
        ServiceState("active", "active, pid 7", 1, 7),
    ],
)
def test_a_service_that_stopped_or_restarted_is_a_change(live: Live, now: ServiceState) -> None:
    before = live.look()
    live.now = now
    assert changed(live, before) == [f"bridge was active, pid 7 and is {now.detail}"]


def test_what_cannot_be_read_is_not_taken_for_equal(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> str:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(production, "_digest", denied)
    before = live.look()
    assert any("cannot be read" in line for line in changed(live, before))
