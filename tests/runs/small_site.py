"""A real site that is cheap to restore a hundred times: the demo's content, a service that is a file."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import yaml

from pacs_recover import plan as plans
from pacs_recover import worker
from pacs_recover.catalog import find
from pacs_recover.cli.context import Context
from pacs_recover.demo.site_maker import DemoSite, build
from pacs_recover.events import AnyEvent, Ended
from pacs_recover.journal import read
from pacs_recover.model import Backup
from pacs_recover.plan import Plan
from pacs_recover.selection import select
from pacs_recover.site import Site
from pacs_recover.state import JOURNAL, State
from tests import leaks

SERVICE = """
root="$(dirname "$0")"
case "$1" in
start)
    [ -e "$root/refuse-start" ] && exit 1
    echo started >>"$root/calls"
    touch "$root/running"
    [ -x "$root/on-start" ] && "$root/on-start"
    exit 0 ;;
stop)
    [ -e "$root/refuse-stop" ] && exit 0
    echo stopped >>"$root/calls"
    [ -x "$root/on-stop" ] && "$root/on-stop"
    rm -f "$root/running"
    exit 0 ;;
status)
    [ -e "$root/running" ] || exit 3 ;;
esac
"""


@dataclass
class SmallSite:
    """One site with its backups; ``reset`` makes it new."""

    demo: DemoSite
    pristine: Path

    @property
    def root(self) -> Path:
        """Where everything is."""
        return self.demo.directory

    @property
    def live(self) -> Path:
        """The live directories."""
        return self.root / "live"

    @property
    def queue(self) -> Path:
        """The live database."""
        return self.live / "var/lib/pacs_bridge/queue.db"

    @property
    def config(self) -> Path:
        """The live configuration tree."""
        return self.live / "etc/pacs_bridge"

    @property
    def control(self) -> Path:
        """Where the service's files are."""
        return self.root / "control"

    def reset(self, *, running: bool = True) -> None:
        """Live files, state and service as they were at first; what they hold until then must be no secret."""
        try:
            for place in (self.root / "state", self.live / "etc/.pacs_recover", self.live / "var/lib/.pacs_recover"):
                leaks.refuse_in_files(place, self.demo.key_file)
        finally:
            self._renew(running)

    def _renew(self, running: bool) -> None:
        for path in (self.live, self.root / "state", self.control):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.pristine, self.live, symlinks=True)
        self.control.mkdir()
        script = self.control / "service"
        script.write_text("#!/bin/sh" + SERVICE)
        script.chmod(0o755)
        if running:
            (self.control / "running").touch()

    def running(self) -> bool:
        """Whether the service is up."""
        return (self.control / "running").exists()

    def calls(self) -> list[str]:
        """What was asked of the service."""
        path = self.control / "calls"
        return path.read_text().split() if path.exists() else []

    def on_start(self, code: str, when: str = "on-start") -> None:
        """A shell script that the service runs when it starts."""
        script = self.control / when
        script.write_text("#!/bin/sh\n" + code)
        script.chmod(0o755)

    def on_stop(self, code: str) -> None:
        """A shell script that the service runs when it stops."""
        self.on_start(code, "on-stop")

    def context(self) -> Context:
        """As a command sees it."""
        return Context(self.demo.site_file, self.root / "state", False)

    @property
    def state(self) -> State:
        """The state directory."""
        return self.context().state

    @property
    def site(self) -> Site:
        """The loaded site."""
        return self.context().site

    def plan(self, *ids: str, words: Sequence[str] = (), carry_over: bool = False) -> Plan:
        """A plan for these backups."""
        context = self.context()
        chosen = select(context.catalog(), words, ids)
        return plans.make(context.site, chosen, context.state, carry_over=carry_over)

    def find(self, text: str) -> Backup:
        """A backup by its id."""
        return find(self.context().catalog(), text)

    def full(self) -> Plan:
        """A plan for configuration, certificates and queue."""
        return self.plan(*(self.demo.good[name] for name in ("config", "certs", "queue")))

    def arm(self, plan: Plan) -> Path:
        """A run directory whose worker may start."""
        self.state.prepare()
        run = self.state.new_run()
        request = msgspec.structs.replace(plan.request, run=run.name, assume_yes=True)
        (run / worker.REQUEST).touch(0o600)
        (run / worker.REQUEST).write_bytes(msgspec.json.encode(request))
        return run

    def restore(self, plan: Plan) -> tuple[int, Path]:
        """Run a plan in this process: its exit code and its directory."""
        run = self.arm(plan)
        return worker.restore(run, lambda: False), run

    def fingerprint(self) -> dict[str, str]:
        """Every live file by content, mode and kind; a queue by its rows, whether folded or not."""
        found = {}
        for path in sorted(self.live.rglob("*")):
            name = str(path.relative_to(self.live))
            if name.startswith(("etc/.pacs_recover", "var/lib/.pacs_recover", "run")) or path.is_dir():
                continue
            found[name] = f"{path.lstat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        return found


def make(directory: Path, messages: int = 40) -> SmallSite:
    """Build it once; its service becomes a script and its soak short."""
    moment = (datetime.now(UTC) - timedelta(hours=1)).replace(minute=50)  # messages arrived since the newest backup
    demo = build(directory, moment, messages=messages)
    text = yaml.safe_load(demo.site_file.read_text())
    script = str(demo.directory / "control" / "service")
    environment = text["services"][0].get("environment", {})
    text["services"] = [
        {
            "kind": "command",
            "name": "bridge",
            "start": [script, "start"],
            "stop": [script, "stop"],
            "status": [script, "status"],
            "environment": environment,
        }
    ]
    text |= {"health": None, "soak": "0.2s", "start_timeout": "2s", "stop_timeout": "2s", "question_timeout": "5s"}
    demo.site_file.write_text(yaml.safe_dump(text))
    os.chmod(demo.site_file, 0o600)
    pristine = directory / "pristine"
    shutil.copytree(directory / "live", pristine, symlinks=True)
    site = SmallSite(demo, pristine)
    site.reset()
    return site


def events_of(run: Path) -> list[AnyEvent]:
    """What a run's journal says."""
    return read(run / JOURNAL)[0]


def outcome(run: Path) -> Ended:
    """How a run ended last."""
    return [event for event in events_of(run) if isinstance(event, Ended)][-1]


def rows(database: Path) -> dict[str, int]:
    """Rows by table of a database that nobody writes."""
    with sqlite3.connect(database) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        found = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
    connection.close()
    return found
