"""Makes the demo site: live configuration, certificates, queue and logs, their backups, and the site file."""

from __future__ import annotations

import os
import secrets
import socket
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from pacs_recover.demo import certificates, commits, logs, queue, replica
from pacs_recover.demo.backups import SOURCE, Store, mode_of, new_file, private_directory
from pacs_recover.demo.messages import Message, history
from pacs_recover.demo.settings import ENVIRONMENT, Settings
from pacs_recover.demo.site_file import KEY, program, python_path, site_file
from pacs_recover.errors import Refused
from pacs_recover.formats.sqlite import tables
from pacs_recover.text import safe

SEED = 20260208
MARKER = ".pacs-recover-demo"
PORTS = range(20_000, 30_000)
"""Where the health port is looked for: below what Linux gives to outgoing connections."""


@dataclass(frozen=True)
class DemoSite:
    """What was made: where it is, how its service is run, and which backups are good for showing what."""

    directory: Path
    site_file: Path
    key_file: Path
    health_url: str
    start: tuple[str, ...]
    stop: tuple[str, ...]
    status: tuple[str, ...]
    environment: Mapping[str, str]
    """What the service's commands need beside the environment they are run in."""
    good: Mapping[str, str]
    """The newest good backup's id by component: config, certs and queue."""
    fails_in_soak: str
    """A configuration that passes every check, starts, and dies a second later: its restore rolls back."""
    corrupt: str
    """A queue backup with one flipped bit."""
    truncated: str
    """A configuration archive that was cut short."""
    expired: str
    """A certificate backup whose server certificate has expired since."""


def build(
    directory: Path, now: datetime, *, messages: int = 3000, seed: int = SEED, every_kind: bool = False
) -> DemoSite:
    """Make the site in a new or empty directory; ``messages`` wait in its live queue. Raises Refused.

    ``now`` is aware; every time in the site is relative to it, and names of backups are in UTC. With ``every_kind`` it
    has a Litestream replica too and, where this machine has git, the configuration's history.
    """
    now = now.astimezone(UTC)
    directory = _claim(directory)
    try:
        return _Maker(directory, now, history(now, messages, seed), seed, every_kind).make()
    except (OSError, sqlite3.Error) as error:
        message = f"The demo site could not be made in {safe(directory)}: {getattr(error, 'strerror', None) or error}"
        raise Refused(message, "Free some space or choose another directory; what is there so far can go.") from error


def _claim(directory: Path) -> Path:
    """The directory, made private and marked as a demo; never one with anything in it."""
    path = directory.resolve()
    if set('${}\n\r\t\\"') & set(str(path)) or not str(path).isprintable():
        raise Refused(
            f"{safe(path)} has a character that the demo's configuration cannot carry", "Choose another name."
        )
    try:
        private_directory(path)
        present = os.listdir(path)
        if MARKER in present:
            hint = f"Open it with --site {safe(path / 'site.yaml')}, or choose another directory; remove it yourself."
            raise Refused(f"{safe(path)} already holds a demo site", hint)
        if present:
            raise Refused(f"{safe(path)} is not empty", "Choose a new or an empty directory: the demo deletes nothing.")
        path.chmod(0o700)
        _write(path / MARKER, b"Made by pacs-recover demo. Everything in this directory is synthetic.\n")
    except OSError as error:
        raise Refused(f"{safe(path)} cannot be used: {error.strerror or error}", "Choose another directory.") from error
    return path


class _Maker:
    """One site in the making: what its parts are made of, and the parts one by one."""

    def __init__(self, directory: Path, now: datetime, traffic: list[Message], seed: int, every_kind: bool) -> None:
        self.directory, self.now, self.traffic, self.seed = directory, now, traffic, seed
        self.live = directory / "live"
        self.store = Store(directory / "backups")
        self.every_kind = every_kind
        self.sources: list[dict[str, object]] = [{"name": SOURCE, "kind": "local", "path": str(self.store.directory)}]
        self.key_file = directory / KEY
        self.settings = Settings(self.live, _free_port())
        self.authority = certificates.authority(now)
        self.client = self.authority.client(now - timedelta(days=100))
        self.password = secrets.token_urlsafe(32).encode()

    def make(self) -> DemoSite:
        """All of it."""
        _write(self.key_file, self.password + b"\n")
        current = self._certificates(issued_days_ago=6)
        self._live(current)
        good_certs, expired = self._certificate_backups(current)
        good_config, fails_in_soak, truncated = self._config_backups(current)
        good_queue, corrupt = self._queue_backups()
        self._log_backups()
        if self.every_kind:
            self._history(current)
            self._replica()
        commands = program(self.live)
        environment = {**ENVIRONMENT, "PACS_BRIDGE_PORT": str(_free_port()), **python_path()}
        health_url = f"http://127.0.0.1:{self.settings.health_port}/health/ready"
        text = site_file(self.directory, commands, environment, health_url, self.sources, self.now)
        _write(self.directory / "site.yaml", text.encode())
        return DemoSite(
            directory=self.directory,
            site_file=self.directory / "site.yaml",
            key_file=self.key_file,
            health_url=health_url,
            start=commands["start"],
            stop=commands["stop"],
            status=commands["status"],
            environment=environment,
            good={"config": good_config, "certs": good_certs, "queue": good_queue},
            fails_in_soak=fails_in_soak,
            corrupt=corrupt,
            truncated=truncated,
            expired=expired,
        )

    def _certificates(self, issued_days_ago: int) -> dict[str, bytes]:
        """The certificate directory of a time: the server's certificate is renewed every 80 days."""
        issued = self.now - timedelta(days=issued_days_ago)
        return self.authority.files(self.authority.server(issued), self.client)

    def _live(self, certs: Mapping[str, bytes]) -> None:
        etc, state, log = (
            self.live / part for part in ("etc/pacs_bridge", "var/lib/pacs_bridge", "var/log/pacs_bridge")
        )
        for name, content in self._config_files(self.settings, certs).items():
            _write(etc / name, content, mode_of(name))
        private_directory(state)
        queue.write(state / "queue.db", self.traffic, self.now)
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        _write(log / "bridge.log", logs.bridge_log(midnight, self.now, self.seed).encode())
        _write(log / "bridge.log.1", logs.bridge_log(midnight - timedelta(days=1), midnight, self.seed + 1).encode())
        _write(log / "audit.log", logs.audit_log(midnight, self.now, self.seed).encode())

    @staticmethod
    def _config_files(settings: Settings, certs: Mapping[str, bytes]) -> dict[str, bytes]:
        return settings.files() | {f"certs/{name}": content for name, content in certs.items()}

    def _config_backups(self, certs: Mapping[str, bytes]) -> tuple[str, str, str]:
        """Daily at two: the newest is good, the next fails in the soak, the fourth is cut short."""
        last, day = self._last(2), timedelta(days=1)
        generations = (
            replace(self.settings, max_connections=100),
            replace(self.settings, max_connections=100, fail_after=1.0),
            replace(self.settings, max_connections=100, listener_port=2575),
            replace(self.settings, max_connections=50, listener_port=2575, rules=4),
            replace(self.settings, max_connections=50, listener_port=2575, rules=3),
        )
        ids = [
            self.store.config(last - age * day, self._config_files(settings, certs))
            for age, settings in enumerate(generations)
        ]
        self.store.cut("config", last - 3 * day)
        return ids[0], ids[1], ids[3]

    def _certificate_backups(self, current: Mapping[str, bytes]) -> tuple[str, str]:
        """At three: the current ones, the former ones that expire in days, and old ones that have expired."""
        last = self._last(3)
        good = self.store.certs(last, current, self.password)
        self.store.record("certs", last)
        self.store.certs(last - timedelta(days=7), self._certificates(86), self.password)
        expired = self.store.certs(last - timedelta(days=80), self._certificates(166), self.password)
        return good, expired

    def _queue_backups(self) -> tuple[str, str]:
        """On the hour: good ones of several ages, the oldest past the messages' time to live, and a corrupt one.

        The newest have a manifest, as from the time when the program began to make them.
        """
        last = (self.now - timedelta(minutes=5)).replace(minute=0, second=0, microsecond=0)
        ids = {
            hours: self._queue_backup(last - timedelta(hours=hours), recorded=hours in (0, 1))
            for hours in (0, 1, 2, 6, 26, 50)
        }
        self.store.flip_a_bit("queue", last - timedelta(hours=2))
        return ids[0], ids[2]

    def _queue_backup(self, taken: datetime, *, recorded: bool) -> str:
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            database = Path(scratch) / "queue.db"
            queue.write(database, self.traffic, taken)
            id = self.store.queue(taken, database)
            if recorded:
                self.store.record("queue", taken, dict(tables(database)))
            return id

    def _history(self, certs: Mapping[str, bytes]) -> None:
        """Three commits of the configuration's directory."""
        changes = (
            (5, "Limit connections to 50", replace(self.settings, max_connections=50, listener_port=2575, rules=4)),
            (3, "Route results to the archive", replace(self.settings, max_connections=50, listener_port=2575)),
            (1, "Allow 100 connections", replace(self.settings, max_connections=100)),
        )
        days = [(self.now - timedelta(days=age), text, self._config_files(new, certs)) for age, text, new in changes]
        repository = self.directory / "config.git"
        if commits.write(repository, days):
            self.sources.append(
                {"name": commits.SOURCE, "kind": "git", "repository": str(repository), "branch": commits.BRANCH}
            )

    def _replica(self) -> None:
        root = self.directory / "litestream"
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            replica.write(root, Path(scratch), self.traffic, self.now)
        no_service = {"followed": False}
        self.sources.append({"name": replica.SOURCE, "kind": "litestream", "path": str(root), **no_service})

    def _log_backups(self) -> None:
        last = self._last(4)
        for age in range(1, 6):
            taken = last - timedelta(days=age)
            begin = taken - timedelta(days=1)
            self.store.log("bridge.log", taken, logs.bridge_log(begin, taken, self.seed + age))
            self.store.log("audit.log", taken, logs.audit_log(begin, taken, self.seed + age))

    def _last(self, hour: int) -> datetime:
        """The last time that it was this hour, at least some minutes ago."""
        today = self.now.replace(hour=hour, minute=0, second=0, microsecond=0)
        return today if today <= self.now - timedelta(minutes=5) else today - timedelta(days=1)


def _free_port() -> int:
    for port in Random().sample(PORTS, 50):  # noqa: S311 - a port is no secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Refused("No free port was found on the loopback interface", "Close some programs and try again.")


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    with new_file(path, mode) as stream:
        stream.write(content)
