"""Read-only: every command, action and binding, each tried, changes nothing outside of the state directory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from textual.actions import SkipAction, parse
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import Input

from pacs_recover.audit import checking
from pacs_recover.catalog import find
from pacs_recover.cli.commands import cli
from pacs_recover.errors import Refused
from pacs_recover.events import Asked
from pacs_recover.front import Following
from pacs_recover.model import Backup
from pacs_recover.screens.console import Console
from pacs_recover.screens.page import Page
from pacs_recover.screens.thaw import ThawPage
from pacs_recover.session import Session
from pacs_recover.sessions import Sessions
from pacs_recover.site import load
from tests.cli.shell import COMMAND, Done, Gate, Shell, kill_worker, until
from tests.runs.small_site import SmallSite
from tests.sources.s3_server import ENVIRONMENT, Bucket, credentials

Snapshot = dict[str, tuple[Any, ...]]


def snapshot(small: SmallSite) -> Snapshot:
    """Everything of the site but its state directory: kind, mode, owner, inode, times, links, content."""
    found = {}
    for path in (small.root, *small.root.rglob("*")):
        name = path.relative_to(small.root)
        if name.parts[:1] == ("state",):
            continue
        status = path.lstat()
        said = "" if path.is_symlink() or not path.is_file() else hashlib.sha256(path.read_bytes()).hexdigest()
        changed = (status.st_mtime_ns, status.st_ctime_ns) if name.parts else ()  # the root: state may be made in it
        found[str(name)] = (status.st_mode, status.st_uid, status.st_gid, status.st_ino, *changed, said)
    return found


COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "attach": (("CUT",), ("CUT", "--take-over")),
    "audit show": (("--json",),),
    "audit verify": (("--json",),),
    "backup": (("full",), ("config", "--to", "s3")),
    "catalog": (("--json",),),
    "close": (("CUT", "--why", "by hand"),),
    "completion": (("bash",),),
    "demo": (("OUT/demo", "--unattended"),),
    "diff": (("CONFIG",), ("QUEUE",)),
    "drill": (("config", "--yes"),),
    "extract": (("CONFIG", "OUT/extracted"),),
    "handover": (("CUT",), ("CUT", "--json")),
    "history": (("--json",),),
    "lifecycle": ((), ("--gcs",), ("--diff",), ("--apply", "--yes")),
    "litestream config": ((), ("--write", "OUT/litestream.yml")),
    "litestream lag": ((),),
    "litestream unit": ((), ("--write", "OUT/litestream.service")),
    "lock exec": (("--", "touch", "OUT/touched"), ("--skip", "--", "touch", "OUT/touched")),
    "lock show": ((),),
    "note": (("CUT", "words"),),
    "plan": (("full", "--json"),),
    "points": ((), ("--json",)),
    "preview": (("CERTS",), ("QUEUE",), ("BUCKET",)),
    "prune": ((), ("--json",), ("--apply",)),
    "report": (("CUT",), ("CUT", "--format", "html")),
    "restore": (("config",), ("--yes", "--plan", "PLAN")),
    "resume": (("CUT",),),
    "retention": ((), ("--json",)),
    "rollback": (("CUT", "--yes"),),
    "rto": ((), ("--json",)),
    "runs": ((),),
    "site check": ((),),
    "site init": (("OUT/site.yaml",), ()),
    "site show": ((),),
    "site timers": ((), ("--cron",)),
    "status": ((), ("--json",)),
    "thaw": (("COLD", "--yes"),),
    "verify": (("QUEUE", "BUCKET"),),
}
"""Every command with words that would do something, were they allowed to."""
LEFT = {"attach": 4, "points": 2, "litestream config": 2, "litestream lag": 2}
"""Other exit codes than 0: a run that nobody works on, a site without a replica."""
REFUSED = {"backup", "close", "demo", "drill", "extract", "lock exec", "note", "restore", "resume", "rollback", "thaw"}

WRITING = {"prune", "lifecycle", "litestream config", "litestream unit"}
"""What only some words of are refused, beside ``attach`` and ``site init``."""


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    """The name of every command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """A bucket that keeps versions, with one backup in it."""
    with credentials(), closing(Bucket(versions=True)) as made:
        yield made


@pytest.fixture
def site(small: SmallSite, bucket: Bucket) -> SmallSite:
    """With a bucket among its sources, a plan that could be armed, and a run that was cut."""
    content = Path(small.find(small.demo.good["config"]).key).read_bytes()
    bucket.put("config/config_20260101_020000.tar.gz", content)
    bucket.put("config/config_20260102_020000.tar.gz", content, StorageClass="GLACIER")
    gate = Gate(small)
    shell = gate.shell
    going = shell.start("restore", "--yes", "--plan", shell.plan("config"), "--json")
    gate.reached()
    kill_worker(small)
    going.communicate(timeout=60)
    gate.open()
    until(lambda: not busy(small))
    text = yaml.safe_load(small.demo.site_file.read_text())
    text["sources"].append(_plain(bucket))
    (small.root / "with-bucket.yaml").write_text(yaml.safe_dump(text))
    (small.root / "with-bucket.yaml").chmod(0o600)
    (small.root / "out").mkdir(exist_ok=True)
    return small


def busy(small: SmallSite) -> bool:
    """Whether the service's script still runs."""
    told = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            told.append(process.read_bytes())
    return any(os.fsencode(small.control) in text for text in told)


def _plain(bucket: Bucket) -> dict[str, str]:
    config = bucket.config()
    return {
        "kind": "s3",
        "name": "s3",
        "bucket": config.bucket,
        "endpoint": str(config.endpoint),
        "region": "us-east-1",
    }


def read_only(site: SmallSite, scratch: Path) -> Shell:
    """As an auditor calls it; scratch files go elsewhere, as the site itself lies in the usual temporary directory."""
    options = ("--read-only", "--site", str(site.root / "with-bucket.yaml"), "--state", str(site.root / "state"))
    return Shell(site, options, {**ENVIRONMENT, "TMPDIR": str(scratch)})


def test_every_command_is_in_the_table() -> None:
    assert sorted(commands(cli)) == sorted(COMMANDS)


def test_no_command_changes_anything(site: SmallSite, bucket: Bucket, tmp_path: Path) -> None:
    shell = read_only(site, tmp_path)
    plan = Shell(site, shell.options[1:], shell.env).plan("config")
    words = {
        "CUT": shell("runs", "--json").json["runs"][0]["run"],
        "PLAN": plan,
        "CONFIG": site.demo.good["config"],
        "CERTS": site.demo.good["certs"],
        "QUEUE": site.demo.good["queue"],
        "COLD": "config/20260102_020000@s3",
        "BUCKET": "config/20260101_020000@s3",
    }
    before, stored, calls = snapshot(site), bucket.state(), site.calls()
    journal = (site.root / "state/runs" / words["CUT"] / "journal.jsonl").read_bytes()
    for name, variants in COMMANDS.items():
        for variant in variants:
            given = [words.get(word, word.replace("OUT/", f"{site.root}/out/")) for word in variant]
            done: Done = shell(*name.split(), *given)
            refused = name in REFUSED or {"--take-over", "--apply", "--write"} & {*given} or "site.yaml" in str(given)
            assert done.code == (5 if refused else LEFT.get(name, 0)), (name, given, done)
            assert snapshot(site) == before, name
    assert bucket.state() == stored
    assert not [asked for asked in bucket.proxy.seen if asked.method not in ("GET", "HEAD")]
    assert site.calls() == calls
    assert (site.root / "state/runs" / words["CUT"] / "journal.jsonl").read_bytes() == journal
    assert not list(tmp_path.iterdir()), "nothing is left in the temporary directory"
    told = shell("audit", "show", "--json").json["records"]
    refused = {record["object"] for record in told if record["what"] == "refusal"}
    assert refused == {*REFUSED, "attach", "site init", *WRITING}


def pages(backup: Backup, cold: Backup, cut: Path) -> dict[str, Callable[[Console], Page]]:
    """A screen of every kind."""
    from pacs_recover.screens import (
        audit,
        catalog,
        choose,
        commands,
        drill,
        handover,
        help,
        history,
        notes,
        overview,
        plan,
        points,
        preview,
        report,
        run,
        runs,
        sites,
        thaw,
        undo,
        welcome,
    )

    return {
        "Overview": lambda _: overview.Overview(),
        "CatalogPage": lambda _: catalog.CatalogPage(""),
        "PreviewPage": lambda _: preview.PreviewPage(backup),
        "ChoosePage": lambda _: choose.ChoosePage((), {backup.component: backup}),
        "PlanPage": lambda _: plan.PlanPage((backup,)),
        "RunPage": lambda _: run.RunPage(cut, Following(cut)),
        "RunsPage": lambda _: runs.RunsPage(),
        "ReportPage": lambda _: report.ReportPage(cut),
        "AuditPage": lambda _: audit.AuditPage(),
        "UndoPage": lambda _: undo.UndoPage(cut, "rollback"),
        "HelpPage": lambda console: help.HelpPage(console.page),
        "CommandsPage": lambda console: commands.CommandsPage(console.page),
        "PointsPage": lambda _: points.PointsPage(),
        "ThawPage": lambda _: thaw.ThawPage(cold),
        "NotesPage": lambda _: notes.NotesPage(cut),
        "HandoverPage": lambda _: handover.HandoverPage(cut),
        "HistoryPage": lambda _: history.HistoryPage(),
        "DrillPage": lambda _: drill.DrillPage((backup,), ("config",)),
        "SitesPage": lambda _: sites.SitesPage(Sessions(cut.parents[2], cut.parents[1], True)),
        "WelcomePage": lambda _: welcome.WelcomePage(Refused("no site", "")),
    }


def kinds(of: type[Page]) -> Iterator[str]:
    """The name of every screen there is."""
    for kind in of.__subclasses__():
        yield kind.__name__
        yield from kinds(kind)


def actions(kind: type[Page]) -> list[str]:
    """Every action that a key can do on such a screen; what all screens share is tried on the first one."""
    shared = {action for of in (Page, Console) for action in bound(of)}
    own = {action for of in kind.__mro__ for action in bound(of)}
    return sorted((own | shared if kind.__name__ == "Overview" else own - shared) - {"leave"})  # that ends the console


def bound(of: type) -> set[str]:
    """The actions of its own bindings."""
    return {binding.action for binding in vars(of).get("BINDINGS", ()) if isinstance(binding, Binding)}


async def idle(pilot: Pilot[Any]) -> None:
    """Wait until nothing is being done."""
    end = time.monotonic() + 60
    await pilot.pause(0.05)
    while any(task.thread and task.thread.is_alive() for task in pilot.app.background.tasks):  # type: ignore[attr-defined]
        assert time.monotonic() < end
        await pilot.pause(0.02)
    await pilot.pause(0.05)


async def tried(pilot: Pilot[Any], page: Page, action: str) -> None:
    """Do it whether the screen offers it or not, and arm what it asks to be armed, with the right name."""
    app = pilot.app
    await app.push_screen(page)
    await idle(pilot)
    if hasattr(page, "following"):
        page.following.question = ASKED
    _, name, parameters = parse(action)
    method = getattr(page, f"action_{name}", None) or getattr(app, f"action_{name}")
    with suppress(AssertionError, SkipAction):  # of what cannot be: a demo where none can be made
        done = method(*parameters)
        if asyncio.iscoroutine(done):
            await done
    await idle(pilot)
    here = app.screen
    for box in here.query(Input) if hasattr(here, "on_input_submitted") else ():
        typed = "standard" if isinstance(here, ThawPage) else app.session.site.name  # type: ignore[attr-defined]
        here.on_input_submitted(Input.Submitted(box, typed))  # type: ignore[attr-defined]
        await idle(pilot)
        break
    app.show_overview()  # type: ignore[attr-defined]
    await pilot.pause()


ASKED = Asked(at=datetime.now(UTC), clock=0.0, title="?", evidence="", question="0" * 16, deadline=datetime.now(UTC))


def test_no_action_of_the_console_changes_anything(site: SmallSite, bucket: Bucket, tmp_path: Path) -> None:
    session = Session(load(site.root / "with-bucket.yaml"), site.state, read_only=True)
    backup = site.find(site.demo.good["config"])
    (cut,) = site.state.runs()
    cold = find(session.read(next(one for one in session.sources() if one.kind == "s3")), "config/20260102_020000@s3")
    made = pages(backup, cold, cut)
    assert set(kinds(Page)) == set(made)
    before, stored, calls = snapshot(site), bucket.state(), site.calls()
    journal, answers = (cut / "journal.jsonl").read_bytes(), list((cut / "answers").iterdir())
    count = 0

    async def main() -> None:
        nonlocal count
        app = Console(session)
        async with app.run_test(size=(120, 40)) as pilot:
            await idle(pilot)
            for name, make in made.items():
                for action in actions(type(make(app))):
                    await tried(pilot, make(app), action)
                    assert snapshot(site) == before, (name, action)
                    count += 1
            app.action_leave()

    asyncio.run(main())
    assert count > 35
    assert bucket.state() == stored
    assert site.calls() == calls
    assert (cut / "journal.jsonl").read_bytes() == journal
    assert list((cut / "answers").iterdir()) == answers
    assert {path.name for path in (site.root / "state").iterdir()} <= {"audit", "runs", "plans", "console.log"}
    assert not list((site.root / "state/plans").iterdir())
    refused = {record.object for record in checking.records(site.state.audit.home) if record.what == "refusal"}
    assert refused == {f"console: {what}" for what in ("answer", "take over", "close", "arm", "thaw", "note")}


CONFINED = """
import os, sys
from pathlib import Path
from pacs_recover import confinement
state, outside = Path(sys.argv[1]), Path(sys.argv[2])
confinement.enforce(state)
(told,) = confinement.facts()
print(told.state, told.value)
(state / "may").write_text("")
Path(os.environ["TMPDIR"], "may").write_text("")
open("/dev/null", "w").write("x")
def no(what):
    try:
        what()
    except PermissionError:
        return
    except OSError as error:
        assert error.errno == 18, error  # EXDEV: renaming across
        return
    raise SystemExit("it could")
for what in (
    lambda: (outside / "new").touch(), lambda: (outside / "old").write_text("x"), lambda: (outside / "old").unlink(),
    lambda: (outside / "old").rename(outside / "other"), lambda: (outside / "old").rename(state / "stolen"),
    lambda: (outside / "directory").mkdir(), lambda: os.truncate(outside / "old", 0),
    lambda: os.symlink("x", outside / "link"), lambda: os.link(outside / "old", state / "linked"),
):
    no(what)
assert os.system(f"echo x 2>/dev/null >{outside}/child") != 0, "a child could"
"""


def test_the_kernel_keeps_a_read_only_process_and_its_children_to_the_state_directory(tmp_path: Path) -> None:
    for name in ("state", "outside", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside/old").write_text("content")
    argv = [sys.executable, "-c", CONFINED, str(tmp_path / "state"), str(tmp_path / "outside")]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if done.stdout.startswith("warn kept by this program alone"):
        pytest.skip(f"this kernel has no Landlock: {done.stdout}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok kept by the kernel too (Landlock ")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["old"]
    assert (tmp_path / "outside/old").read_text() == "content"


def test_status_tells_how_read_only_is_kept(small: SmallSite, tmp_path: Path) -> None:
    own = Shell(small).argv(())[len(COMMAND) :]
    found = Shell(small, ("--read-only", *own))("status", "--json", code=0).json["findings"]
    assert any(fact["label"] == "read-only" and fact["value"].startswith("kept by ") for fact in found)
