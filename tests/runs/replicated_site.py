"""A live site with the real Litestream: the stand-in service writes, Litestream replicates, both are its services."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pacs_recover.demo.site_maker import DemoSite, build
from pacs_recover.site.sources import S3Config
from pacs_recover.sources.litestream import LitestreamSource
from pacs_recover.sources.litestream_store import FileStore, Store
from pacs_recover.sources.s3.store import S3Store
from tests.cli.shell import COMMAND, Done, environment
from tests.sources.make_replica import configuration, in_bucket

CONTROL = """#!/bin/sh
cd "$(dirname "$0")" || exit 1
alive() { [ -s pid ] && kill -0 "$(cat pid)" 2>/dev/null; }
case "$1" in
start)
    alive && exit 0
    [ -e deaf ] && { setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >pid; exit 0; }
    setsid "$PROGRAM" replicate -config litestream.yml </dev/null >>log 2>&1 &
    echo $! >pid ;;
stop)
    alive || exit 0
    kill -INT "$(cat pid)"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do alive || exit 0; sleep 0.25; done
    kill -KILL "$(cat pid)" ;;
status)
    alive || exit 3 ;;
esac
"""
PATIENCE = 30.0


@dataclass
class ReplicatedSite:
    """The site, its Litestream and its replica."""

    demo: DemoSite
    program: Path
    store: Store

    @property
    def root(self) -> Path:
        """Where everything is."""
        return self.demo.directory

    @property
    def queue(self) -> Path:
        """The live database."""
        return self.root / "live/var/lib/pacs_bridge/queue.db"

    @property
    def control(self) -> Path:
        """Litestream's directory: its configuration, log and process id."""
        return self.root / "litestream-control"

    def shell(self, *words: str, code: int | None = None) -> Done:
        """The real command."""
        own = ("--site", str(self.demo.site_file), "--state", str(self.root / "state"))
        done = subprocess.run(
            [*COMMAND, *own, *words],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment(),
            timeout=120,
            check=False,
        )
        found = Done(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in found.err, found.err
        assert code in (None, found.code), (found.code, found.out[-800:], found.err[-800:], self.log())
        return found

    def services(self, verb: str) -> None:
        """Start or stop both by hand, in their order."""
        config: list[dict[str, Any]] = yaml.safe_load(self.demo.site_file.read_text())["services"]
        for service in config if verb == "start" else reversed(config):
            subprocess.run(service[verb], check=True, env=environment(**service.get("environment", {})), timeout=60)

    def source(self) -> LitestreamSource:
        """The replica."""
        return LitestreamSource("replica", self.store)

    def log(self) -> str:
        """The end of Litestream's log."""
        path = self.control / "log"
        return path.read_text()[-2000:] if path.exists() else ""

    def add(self, *names: str) -> None:
        """Messages come into the live queue beside the service."""
        with closing(sqlite3.connect(self.queue, timeout=20)) as database, database:
            now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.000}"
            database.executemany(
                "INSERT INTO message_queue(id, destination, payload, state, created_at, scheduled_at, priority)"
                " VALUES (?, 'RIS', 'x', 2, ?, ?, 99)",
                [(name, now, now) for name in names],
            )

    def live(self, pattern: str) -> int:
        """Messages of the live queue whose id is like this."""
        return matching(self.queue, pattern)

    def replicated(self, pattern: str, enough: int) -> int:
        """The same in what the real program restores now, as soon as there are enough."""
        end = time.monotonic() + PATIENCE
        while True:
            out = self.root / f"restored-{time.monotonic_ns()}.db"
            done = subprocess.run(
                [self.program, "restore", "-o", out, "-config", self.control / "litestream.yml", self.queue],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env={name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"},
            )
            found = matching(out, pattern) if done.returncode == 0 else -1
            out.unlink(missing_ok=True)
            if found >= enough or time.monotonic() > end:
                assert done.returncode == 0, (done.stderr, self.log())
                return found
            time.sleep(0.3)


def matching(database: Path, pattern: str) -> int:
    """Messages whose id is like this; the database is sound."""
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        if "restored" in database.name:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        question = "SELECT count(*) FROM message_queue WHERE id LIKE ?"
        return int(connection.execute(question, (pattern,)).fetchone()[0])


def make(home: Path, program: Path, version: str, bucket: S3Config | None = None, **site: Any) -> ReplicatedSite:
    """Make it; nothing runs yet."""
    demo = build(home / "site", datetime.now(UTC), messages=60)
    control, root = demo.directory / "litestream-control", demo.directory / "replica"
    control.mkdir(mode=0o700)
    root.mkdir(mode=0o700)
    script = control / "litestream"
    script.write_text(CONTROL.replace("$PROGRAM", str(program)))
    script.chmod(0o700)
    to = in_bucket(bucket) if bucket else {"type": "file", "path": str(root)}
    queue = demo.directory / "live/var/lib/pacs_bridge/queue.db"
    settings = configuration(version, queue, "250ms", "3s", to)
    if "l0-retention" in settings:
        settings["l0-retention"] = "5m"  # a point that a test has chosen is still there when it is restored
    (control / "litestream.yml").write_text(json.dumps(settings))
    (control / "litestream.yml").chmod(0o600)
    text = yaml.safe_load(demo.site_file.read_text())
    service = {verb: [str(script), verb] for verb in ("start", "stop", "status")}
    text["services"] = [{"kind": "command", "name": "litestream", **service}, *text["services"]]
    text["sources"].append({"name": "replica", "kind": "litestream", **_place(root, bucket)})
    text |= {"soak": "1s", "start_timeout": "20s", **site}
    demo.site_file.write_text(yaml.safe_dump(text))
    demo.site_file.chmod(0o600)
    store: Store = S3Store(bucket) if bucket else FileStore(root)
    return ReplicatedSite(demo, program, store)


def _place(root: Path, bucket: S3Config | None) -> dict[str, Any]:
    if bucket is None:
        return {"path": str(root)}
    found = msgspec.to_builtins(bucket, enc_hook=str)
    return {"s3": {k: v for k, v in found.items() if k in ("bucket", "prefix", "endpoint", "region", "addressing")}}
