"""A Litestream replica restored to its newest and to an earlier point, against the real program."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import lab
from benchmarks.harness import Comparison, Contender, Row, Sample, Size, process
from benchmarks.lab import Lab
from tests.sources.make_replica import VERSIONS, binary, configuration

NAMES = ("litestream-latest", "litestream-point")
BATCHES = 12
"""Transactions after the first snapshot, each of which touches a twentieth of the rows."""
CHANGE = "UPDATE message_queue SET priority = priority + 1 WHERE abs(random()) % 20 = ?"


def suite(size: Size, home: Path) -> Iterator[Comparison]:
    """Both sides write a database of its own each time; ours holds it against the replica's checksums as well."""
    program, root = binary("0.5", home), home / "replica"
    middle = replicate(program, home, root, size.queue // 4)
    source = {"kind": "litestream", "name": "replica", "path": str(root), "followed": False}
    host = lab.make(home / "host", sources=[source])
    words = ("points", "--json", "--at", f"{middle:%Y-%m-%dT%H:%M:%S.%fZ}")
    for name, which, at, what in (
        ("litestream-latest", ("points", "--json"), (), "the newest point"),
        ("litestream-point", words, ("-timestamp", f"{middle:%Y-%m-%dT%H:%M:%S.%fZ}"), "an earlier point"),
    ):
        said = subprocess.run(host.argv(*which), check=True, capture_output=True).stdout
        yield Comparison(
            name,
            f"litestream {VERSIONS['0.5']} restore",
            (Row(f"Litestream replica of {size.queue // 4} MiB, {what}", 1.0),),
            ours(host, json.loads(said)["points"][0]["id"]),
            theirs(program, home, root, at),
            size.rounds,
            before=host.fresh,
        )


def replicate(program: Path, home: Path, root: Path, mebibytes: int) -> datetime:
    """A replica with some history, and a time in the middle of it."""
    database, settings = home / "queue.db", home / "litestream.yml"
    lab.write_queue(database, mebibytes)
    settings.write_text(json.dumps(configuration("0.5", database, "200ms", "1h", {"type": "file", "path": str(root)})))
    running = subprocess.Popen(
        [program, "replicate", "-config", settings], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        middle = change(database, root)
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(60)
    return middle


def change(database: Path, root: Path) -> datetime:
    """Transactions while it is replicated; a time between two of them."""
    chance, middle = random.Random(3), datetime.now(UTC)  # noqa: S311 - no secret
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        while not any(root.rglob("*.ltx")):
            time.sleep(0.1)
        for number in range(BATCHES):
            with connection:
                connection.execute(CHANGE, (chance.randrange(20),))
            time.sleep(1.0)
            middle = datetime.now(UTC) if number == BATCHES // 2 else middle
        time.sleep(3.0)
    return middle


def ours(host: Lab, point: str) -> Contender:
    """The database of a point, in a directory."""
    out = host.home / "out"

    def contender() -> Sample:
        lab.run(f"rm -rf '{out}'")
        return process(host.argv("extract", point, str(out)))

    return contender


def theirs(program: Path, home: Path, root: Path, at: tuple[str, ...]) -> Contender:
    """The real program's."""
    out = home / "out.db"

    def contender() -> Sample:
        lab.run(f"rm -f '{out}'")
        return process([program, "restore", *at, "-o", out, f"file://{root}"])

    return contender
