"""Previews and verification, against what the guide's commands tell of the same backups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import lab
from benchmarks.harness import Comparison, Contender, Row, Size, process, shell
from benchmarks.lab import Lab

NAMES = ("preview-certs", "preview-queue", "verify")


def suite(size: Size, home: Path) -> Iterator[Comparison]:
    """Whole commands; nothing that an earlier one found out is kept for the next."""
    host = lab.make(home)
    lab.back_up_config(host)
    certs, queue = lab.back_up_certs(host), lab.back_up_queue(host, size.queue)
    scratch = f"rm -rf '{home}/x' && mkdir '{home}/x'"
    key = f"-aes-256-cbc -pbkdf2 -pass file:'{host.demo.key_file}' -in '{certs}'"
    dates = f"for c in '{home}'/x/certs/*.crt; do openssl x509 -in \"$c\" -noout -dates -subject; done"
    yield Comparison(
        "preview-certs",
        "openssl enc -d | tar -x; openssl x509 of each",
        (Row("preview of certificates"),),
        ours(host, "preview", "certs/"),
        shell(f"{scratch}; openssl enc -d {key} | tar -xf - -C '{home}/x'; {dates}"),
        size.starts,
        before=host.fresh,
    )
    count = "SELECT state, count(*) FROM message_queue GROUP BY state; SELECT count(*) FROM dead_letter_queue"
    yield Comparison(
        "preview-queue",
        "gunzip -c > file; sqlite3 file 'SELECT count(*) …'",
        (Row(f"preview of a queue of {size.queue} MiB, with its integrity", 0.6),),
        ours(host, "preview", "queue/"),
        shell(f"{scratch}; gunzip -c '{queue}' >'{home}/x/q.db'; sqlite3 '{home}/x/q.db' '{count}'"),
        size.rounds,
        warm=0,
        before=host.fresh,
    )
    yield Comparison(
        "verify",
        "verify_backups.sh",
        (Row("verify of a directory: configuration, queue, for ours also certificates", 0.7),),
        ours(host, "verify", *(word for part in ("config", "certs", "queue") for word in ("--component", part))),
        lambda: process(host.script("verify_backups.sh")),
        size.rounds,
        warm=0,
        before=host.fresh,
    )


def ours(host: Lab, *words: str) -> Contender:
    """One command."""
    return lambda: process(host.argv(*words))
