"""A host to measure on: a site with backups as the guide makes them, a stand-in service, the guide's own scripts."""

from __future__ import annotations

import grp
import os
import pwd
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from benchmarks.harness import Sample
from benchmarks.starting import PROGRAM
from pacs_recover.demo.queue import SCHEMA
from pacs_recover.demo.site_maker import DemoSite, build

GUIDE = Path(__file__).parent / "guide"
ROW = 2048
"""Bytes of one message's payload, about those of an HL7 order."""
INSERT = "INSERT INTO message_queue VALUES (?, 'RIS', ?, 0, 0, ?, ?, 0, NULL, NULL, 'ORM^O01')"
WHEN = "2026-01-01 00:00:00.000"
SOAK = 0.2
"""Seconds; taken off what is measured."""
SERVICE = """#!/bin/bash
# A stand-in for systemctl and for the service: how long it is down is what lies between its own stop and start.
root="$(dirname "$0")"
case "$1" in
stop) rm -f "$root/running"; echo "$EPOCHREALTIME" >"$root/stopped" ;;
start) [ -e "$root/started" ] || echo "$EPOCHREALTIME" >"$root/started"; touch "$root/running" ;;
status) [ -e "$root/running" ] || exit 3 ;;
esac
"""


@dataclass(frozen=True)
class Lab:
    """The host."""

    home: Path
    demo: DemoSite
    backups: Path
    """In the guide's layout; empty at first."""

    @property
    def live(self) -> Path:
        """What stands for ``/`` of the guide's paths."""
        return self.demo.directory / "live"

    @property
    def queue(self) -> Path:
        """The live queue."""
        return self.live / "var/lib/pacs_bridge/queue.db"

    def argv(self, *words: str) -> list[str]:
        """Ours, for this site, with what it wrote down so far."""
        return [PROGRAM, "--site", str(self.demo.site_file), "--state", str(self.home / "state"), *words]

    def script(self, name: str, *words: str) -> list[str]:
        """The guide's script, with this host's paths for the ones that stand in it."""
        owner = f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"
        text = (GUIDE / name).read_text()
        for old, new in {
            "/opt/pacs_bridge/bin/pacs_bridge --config": "true --config",
            "/etc": f"{self.live}/etc",
            "/var/lib": f"{self.live}/var/lib",
            "/root/.backup_key": str(self.demo.key_file),
            "/backup/pacs_bridge": str(self.backups),
            "/tmp/backup_verify": str(self.home / "verify"),  # noqa: S108 - what the guide has
            "pacs_bridge:pacs_bridge": owner,
            "systemctl": str(self.home / "service"),
        }.items():
            text = text.replace(old, new)
        (self.home / name).write_text(text)
        return ["bash", str(self.home / name), *words]

    def fresh(self) -> None:
        """The service runs, no earlier run left anything, and the guide's leftovers are away too."""
        shutil.rmtree(self.home / "state", ignore_errors=True)
        for path in (*self.live.rglob(".pacs_recover"), *self.live.rglob("*.old")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(self.live / "etc")  # the guide's scripts lose the keys in it
        shutil.copytree(self.home / "etc", self.live / "etc")
        for name in ("started", "stopped"):
            (self.home / name).unlink(missing_ok=True)
        (self.home / "running").touch()

    def times(self, sample: Sample) -> Sample:
        """A restore's sample, with what the service saw of it."""
        stopped, started = (float((self.home / name).read_text()) for name in ("stopped", "started"))
        return {**sample, "up": started - sample["at"], "down": started - stopped}


def make(home: Path, **changes: object) -> Lab:
    """A host without backups."""
    demo = build(home / "site", datetime.now(UTC), messages=100)
    backups = home / "backups"
    for component in ("config", "certs", "queue"):
        (backups / component).mkdir(parents=True)
    service = home / "service"
    service.write_text(SERVICE)
    service.chmod(0o755)
    verbs = {verb: [str(service), verb] for verb in ("start", "stop", "status")}
    site = yaml.safe_load(demo.site_file.read_text())
    site |= {
        "services": [{"kind": "command", "name": "bridge", **verbs, "environment": dict(demo.environment)}],
        "health": None,
        "soak": SOAK,
        "sources": [{"kind": "local", "name": "local", "path": str(backups)}],
        **changes,
    }
    demo.site_file.write_text(yaml.safe_dump(site))
    shutil.copytree(demo.directory / "live/etc", home / "etc")
    return Lab(home, demo, backups)


def write_queue(path: Path, mebibytes: int) -> None:
    """A real queue of messages that pack about as well as HL7 does."""
    words = [f"{word:x}|^~" for word in random.Random(1).sample(range(1 << 30), 5000)]  # noqa: S311 - no secret
    chance = random.Random(2)  # noqa: S311
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=OFF")
        database.execute("PRAGMA synchronous=OFF")
        database.executescript(SCHEMA)
        with database:
            for number in range(mebibytes * (1 << 20) // (ROW + 250)):
                payload = "".join(chance.choices(words, k=ROW // 10))
                database.execute(INSERT, (f"{number:032x}", payload, WHEN, WHEN))


def back_up_queue(lab: Lab, mebibytes: int) -> Path:
    """A large queue, as the guide packs it; made once for all that measure with it."""
    made, backup = lab.home.parent / f"queue-{mebibytes}.db", lab.backups / "queue/queue_20260101_000000.db.gz"
    packed = made.with_name(made.name + ".gz")
    if not packed.exists():
        write_queue(made, mebibytes)
        run(f"gzip --fast '{made}'")
    os.link(packed, backup)
    return backup


def back_up_config(lab: Lab) -> Path:
    """The live configuration, as the guide packs it."""
    backup = lab.backups / "config/config_20260101_000000.tar.gz"
    run(f"tar -czf '{backup}' --exclude='*.key' -C '{lab.live}/etc' pacs_bridge")
    return backup


def back_up_certs(lab: Lab, name: str = "certs_20260101_000000.tar.enc") -> Path:
    """The live certificates, as the guide packs them."""
    backup = lab.backups / "certs" / name
    options = f"-aes-256-cbc -salt -pbkdf2 -pass file:'{lab.demo.key_file}'"
    run(f"tar -cf - -C '{lab.live}/etc/pacs_bridge' certs | openssl enc {options} -out '{backup}'")
    return backup


def run(command: str, environment: Mapping[str, str] | None = None) -> None:
    """A pipeline that has to pass. CalledProcessError."""
    subprocess.run(["bash", "-e", "-o", "pipefail", "-c", command], check=True, env=environment)
