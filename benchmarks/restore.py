"""Compares reading and proving backups with the guide's own commands, as ratios of one run on one machine.

``python benchmarks/restore.py [--mebibytes 300] [--rounds 3] [--directory DIR]``; needs sqlite3, gunzip, openssl, tar.
A ratio of 0.50 says that ours takes half the time. The best of some alternating rounds counts: others only add to it.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pacs_recover.demo.queue import SCHEMA
from pacs_recover.formats import archive, openssl_enc, sqlite, streams
from pacs_recover.formats.wrapping import unwrap

ROW = 2048
"""Bytes of one message's payload, about those of an HL7 order."""
INSERT = "INSERT INTO message_queue VALUES (?, 'RIS', ?, 0, 0, ?, ?, 0, NULL, NULL, 'ORM^O01')"
WHEN = "2026-01-01 00:00:00.000"
CERTS = 200
"""Files in the certificate archive; a real one has a dozen, which no clock can tell apart from starting a process."""

Contender = Callable[[], None]


def main() -> int:
    """Make the backups, let both sides restore them in turn, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        home = Path(directory)
        sys.stdout.write(f"{'':44}{'ours':>8}{'theirs':>9}{'ratio':>8}\n")
        compare(f"queue.db.gz of {options.mebibytes} MiB, unpack and integrity", *queue(home, options))
        compare("the same, hashed and synced too", *proven(home, options))
        compare(f"certs.tar.enc of {CERTS} files, decrypt and untar", *certs(home, options))
    return 0


def compare(title: str, ours: Contender, theirs: Contender, rounds: int) -> None:
    """Print the best time of each and their ratio."""
    mine, others = [], []
    for _ in range(rounds):
        mine.append(seconds(ours))
        others.append(seconds(theirs))
    best, other = min(mine), min(others)
    sys.stdout.write(f"{title:44}{best:7.2f}s{other:8.2f}s{best / other:8.2f}\n")
    sys.stdout.flush()


def seconds(contender: Contender) -> float:
    """How long it takes."""
    began = time.perf_counter()
    contender()
    return time.perf_counter() - began


def shell(command: str) -> Contender:
    """The guide's way: a shell pipeline, with its failures believed."""
    argv = ["bash", "-e", "-o", "pipefail", "-c", command]

    def run() -> None:
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)

    return run


def queue(home: Path, options: argparse.Namespace) -> tuple[Contender, Contender, int]:
    """Ours and ``gunzip`` with ``sqlite3``, on one backup."""
    backup = home / "queue_20260101_000000.db.gz"
    write_queue(home / "queue.db", options.mebibytes)
    subprocess.run(["gzip", "--fast", home / "queue.db"], check=True)
    (home / "queue.db.gz").rename(backup)
    out = shlex.quote(str(home / "theirs.db"))
    check = f"[ \"$(sqlite3 {out} 'PRAGMA integrity_check')\" = ok ]"
    theirs = shell(f"gunzip -c {shlex.quote(str(backup))} | cat > {out} && {check}")
    return lambda: unpack_queue(backup, home / "ours"), theirs, options.rounds


def proven(home: Path, options: argparse.Namespace) -> tuple[Contender, Contender, int]:
    """With the SHA-256 and the fsync that a restore does beside it, on both sides; made by ``queue`` before."""
    backup, out = home / "queue_20260101_000000.db.gz", shlex.quote(str(home / "theirs.db"))
    source = shlex.quote(str(backup))
    check = f"[ \"$(sqlite3 {out} 'PRAGMA integrity_check')\" = ok ]"
    theirs = shell(f"sha256sum {source} && gunzip -c {source} | cat > {out} && {check} && sync {out}")
    return lambda: unpack_queue(backup, home / "ours", durable=True), theirs, options.rounds


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


def unpack_queue(backup: Path, into: Path, *, durable: bool = False) -> None:
    """As the steps of a restore do it: unwrap, CRC to the end, write, full integrity check."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    with backup.open("rb") as raw:
        source = streams.Hashing(raw) if durable else raw
        with (into / "queue.db").open("xb") as out:
            for _ in streams.copy(unwrap(source, "db.gz", bytes), out):
                pass
            out.flush()
            if durable:
                os.fsync(out.fileno())
    sqlite.integrity(into / "queue.db")


def certs(home: Path, options: argparse.Namespace) -> tuple[Contender, Contender, int]:
    """Ours and ``openssl enc -d`` with ``tar``, on one backup."""
    tree, key = home / "certs", home / "key"
    tree.mkdir()
    key.write_text("a password\n")
    for number in range(CERTS):
        (tree / f"server-{number}.key").write_bytes(os.urandom(100_000))
    backup = home / "certs_20260101_000000.tar.enc"
    arguments = f"-aes-256-cbc -pbkdf2 -pass file:{shlex.quote(str(key))}"
    make = (
        f"tar -cf - -C {shlex.quote(str(home))} certs | openssl enc {arguments} -salt -out {shlex.quote(str(backup))}"
    )
    shell(make)()
    out = shlex.quote(str(home / "theirs"))
    theirs = shell(
        f"rm -rf {out} && mkdir {out} && openssl enc -d {arguments} -in {shlex.quote(str(backup))} | tar -xf - -C {out}"
    )
    return lambda: unpack_certs(backup, key, home / "ours"), theirs, options.rounds


def unpack_certs(backup: Path, key: Path, into: Path) -> None:
    """As the steps of a restore do it: decrypt, refuse hostile members, extract."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    with backup.open("rb") as raw:
        for _ in archive.extract(unwrap(raw, "tar.enc", lambda: openssl_enc.password_from(key)), into):
            pass


if __name__ == "__main__":
    sys.exit(main())
