"""A host where nothing lives yet, or only something damaged: a normal place for a restore."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from pacs_recover import worker
from pacs_recover.events import Effect, Passed
from pacs_recover.plan import Plan
from tests.runs.owned_site import USER, owned_site
from tests.runs.small_site import SmallSite, events_of, outcome, rows


@pytest.fixture
def bare(small: SmallSite) -> SmallSite:
    """A new host: the service is installed and was never started, nothing of it lives."""
    small.reset(running=False)
    shutil.rmtree(small.live / "etc")
    shutil.rmtree(small.live / "var")
    return small


def everything(site: SmallSite) -> list[str]:
    """Whatever lies below the live directories, but for our own rooms and locks."""
    found = (str(path.relative_to(site.live)) for path in site.live.rglob("*"))
    return sorted(name for name in found if ".pacs_recover" not in name)


@contextmanager
def with_site(small: SmallSite, **settings: object) -> Iterator[None]:
    """Other settings in the site file, for the length of a ``with``."""
    file = small.demo.site_file
    before = file.read_text()
    file.write_text(yaml.safe_dump(yaml.safe_load(before) | settings))
    try:
        yield
    finally:
        file.write_text(before)


def findings(plan: Plan) -> dict[str, str]:
    """What forbids running it."""
    return {fact.label: fact.value for fact in plan.refusals}


def test_a_full_restore_makes_everything_on_a_new_host(bare: SmallSite) -> None:
    plan = bare.full()
    assert plan.replay is not None
    assert plan.replay["lost_since"] == 0
    code, run = bare.restore(plan)
    assert code == 0, outcome(run)
    assert rows(bare.queue) == {r["name"]: r["rows"] for r in plan.previews["queue"].details["tables"]}
    assert (bare.config / "config.yaml").is_file()
    assert list((bare.config / "certs").glob("*.key"))
    assert bare.running()
    modes = {name: stat.S_IMODE(path.stat().st_mode) for name, path in made(bare).items()}
    assert modes == {"queue": 0o600, "its directory": 0o750, "config": 0o700, "key": 0o600, "config.yaml": 0o600}


def made(site: SmallSite) -> dict[str, Path]:
    """What a restore on a new host makes."""
    key = next((site.config / "certs").glob("server*.key"))
    config = {"config": site.config, "config.yaml": site.config / "config.yaml", "key": key}
    return {"queue": site.queue, "its directory": site.queue.parent, **config}


def test_rolling_back_a_finished_run_ends_with_absent_again(bare: SmallSite) -> None:
    for name in ("etc", "var/lib"):  # as on any host
        (bare.live / name).mkdir(parents=True)
    before = everything(bare)
    code, run = bare.restore(bare.full())
    assert code == 0
    assert worker.take_up(run, "rollback", "test", lambda: False) == 1
    assert everything(bare) == before
    assert not bare.running()


@pytest.mark.needs("root", reason="only root can give files away")
def test_everything_made_on_a_new_host_belongs_to_the_service() -> None:
    with owned_site() as site:
        site.reset(running=False)
        shutil.rmtree(site.live / "etc")
        shutil.rmtree(site.live / "var/lib")
        code, run = site.restore(site.full())
        assert code == 0, outcome(run)
        assert {(path.stat().st_uid, path.stat().st_gid) for path in made(site).values()} == {(USER, USER)}


def test_a_failure_in_the_soak_ends_with_absent_again(bare: SmallSite) -> None:
    before = everything(bare)
    plan = bare.full()
    bare.on_start(f"rm -f {bare.control}/running\n")
    code, run = bare.restore(plan)
    assert code == 1
    assert outcome(run).outcome == "rolled_back"
    assert everything(bare) == before
    assert not bare.running()


def test_messages_that_came_before_the_soak_failed_are_kept_on_a_new_host_too(bare: SmallSite) -> None:
    plan = bare.full()
    add = bare.control / "add.py"
    add.write_text(
        f"import sqlite3; c = sqlite3.connect({str(bare.queue)!r})\n"
        'c.execute("INSERT INTO message_queue (id,destination,payload,created_at,scheduled_at)'
        " VALUES ('new','RIS','x','2026-01-01 00:00:00.000','2026-01-01 00:00:00.000')\"); c.commit()\n"
    )
    bare.on_start(f"{sys.executable} {add}\nrm -f {bare.control}/running\n")
    code, run = bare.restore(plan)
    assert code == 1
    assert not bare.queue.exists()
    kept = next(path for path in bare.root.rglob("withdrawn/*/queue.db"))
    assert any(kept.is_relative_to(place) for place in outcome(run).kept)
    connection = sqlite3.connect(kept)
    assert connection.execute("SELECT count(*) FROM message_queue WHERE id = 'new'").fetchone() == (1,)
    connection.close()


@pytest.mark.needs("root", reason="only root can give files away, so only root needs the owner")
def test_a_missing_owner_is_a_finding_with_the_command_that_makes_it(bare: SmallSite) -> None:
    with with_site(bare, owner="no-such-user", group="no-such-user"):
        plan = bare.full()
    assert "useradd --system --user-group no-such-user" in findings(plan)["owner"]
    run = bare.arm(plan)
    assert worker.restore(run, lambda: False) == 5
    assert everything(bare) == []
    assert not any(isinstance(event, Effect) for event in events_of(run))


@pytest.mark.needs("systemctl", reason="a unit that systemd does not know")
def test_an_absent_unit_is_a_finding(bare: SmallSite) -> None:
    with with_site(bare, services=[{"kind": "systemd", "unit": "pacs_recover_no_such_unit"}]):
        plan = bare.plan(bare.demo.good["queue"])
    assert "pacs_recover_no_such_unit" in findings(plan)["service"]


def test_a_configuration_without_keys_is_refused_alone_and_the_hint_says_what_is_missing(bare: SmallSite) -> None:
    plan = bare.plan(bare.demo.good["config"])
    code, run = bare.restore(plan)
    ended = outcome(run)
    assert (code, ended.outcome) == (6, "failed_untouched")
    failed = next(event for event in reversed(events_of(run)) if event.__class__.__name__ == "Failed")
    assert "certs" in failed.hint  # type: ignore[union-attr]
    assert bare.calls() == []
    assert everything(bare) == []


def truncate(queue: Path) -> None:
    """Half a database."""
    os.truncate(queue, queue.stat().st_size // 2)


def garbage(queue: Path) -> None:
    """No database at all."""
    queue.write_bytes(b"\xff" * 5000)


def directory(queue: Path) -> None:
    """Something else in its place."""
    queue.unlink()
    queue.mkdir()
    (queue / "lost+found").write_text("x")


def unreadable(queue: Path) -> None:
    """A file that may not be read; root can."""
    queue.chmod(0)


def empty(queue: Path) -> None:
    """Zero bytes."""
    queue.write_bytes(b"")


def pipe(queue: Path) -> None:
    """Something that would wait for a writer."""
    queue.unlink()
    os.mkfifo(queue)


def broken_wal(queue: Path) -> None:
    """A -wal that belongs to something else."""
    Path(f"{queue}-wal").write_bytes(b"garbage" * 100)


def wal_directory(queue: Path) -> None:
    """Not even the -wal is a file."""
    Path(f"{queue}-wal").mkdir()


DAMAGES = [truncate, garbage, directory, unreadable, empty, pipe, broken_wal, wal_directory]


def standing(site: SmallSite) -> dict[str, tuple[int, int, int, bytes | list[str]]]:
    """The live queue and all beside it: mode, inode, size, content."""
    found = {}
    for path in sorted(site.queue.parent.iterdir()):
        status = path.lstat()
        content: bytes | list[str] = b""
        if path.is_dir():
            content = os.listdir(path)
        elif path.is_file() and os.access(path, os.R_OK):
            content = path.read_bytes()
        found[path.name] = (status.st_mode, status.st_ino, status.st_size, content)
    return found


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_live_queue_never_blocks_and_a_rollback_brings_just_it_back(
    small: SmallSite, damage: Callable[[Path], None]
) -> None:
    damage(small.queue)
    before = standing(small)
    plan = small.plan(small.demo.good["queue"])
    if damage is not unreadable or os.geteuid() != 0:
        assert plan.replay is not None
        assert [plan.replay[key] for key in ("resent", "dead_lettered", "lost_since")] == [None, None, None]
    assert plan.request.questions
    code, run = small.restore(plan)
    assert code == 0, outcome(run)
    assert rows(small.queue)["message_queue"] > 0
    counted = [e.evidence for e in events_of(run) if isinstance(e, Passed) and e.title.startswith("Count what is sent")]
    known = damage is unreadable and os.geteuid() == 0
    assert [evidence.startswith("unknown what was sent again or lost: ") for evidence in counted] == [not known]
    assert worker.take_up(run, "rollback", "test", lambda: False) == 1
    assert standing(small) == before


def test_a_damaged_live_configuration_never_blocks_a_full_restore(small: SmallSite) -> None:
    (small.config / "config.yaml").write_bytes(b"\xff{{{ not: yaml\n\t-")
    for path in (small.config / "certs").iterdir():
        path.write_bytes(b"garbage")
    before = small.fingerprint()
    code, run = small.restore(small.full())
    assert code == 0, outcome(run)
    assert worker.take_up(run, "rollback", "test", lambda: False) == 1
    assert small.fingerprint() == before
