"""Logs: looked at and extracted, never put over live ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pacs_recover.components import Comparison, Job, Look, Unpack
from pacs_recover.formats import streams
from pacs_recover.formats.streams import Reader
from pacs_recover.model import Amount, Backup, Fact, Preview, Step
from pacs_recover.text import safe, size

LINES = 50_000_000
"""Lines after which counting stops."""


class Logs:
    """``*.gz`` of the service's logs."""

    name = "logs"

    def unpack(self, raw: Reader, backup: Backup, into: Path, look: Look) -> Unpack:
        """One log file under its own name. BadBackup, OSError."""
        name = Path(backup.key).name.removesuffix(".gz") or "log"
        done = 0
        with (into / name).open("xb") as out:
            os.fchmod(out.fileno(), 0o600)
            for done in streams.copy(raw, out):
                streams.leave_room(out.fileno())
                yield Amount(done, None)
        return done

    def settle(self, content: Path, look: Look) -> None:
        """A copied log is what it is."""

    def preview(self, content: Path, look: Look) -> Preview:
        """Size and number of lines; never a line, as logs may name patients."""
        facts = [
            Fact(safe(path.name), f"{size(path.stat().st_size)}, {_lines(path):,} lines") for path in _files(content)
        ]
        return Preview(
            tuple(facts), {"files": [{"name": safe(p.name), "bytes": p.stat().st_size} for p in _files(content)]}
        )

    def compare(self, content: Path, look: Look, scratch: Path) -> Comparison:
        """Nothing: logs are not restored."""
        return Comparison(("logs: extracted only, nothing live changes",))

    def prepare(self, job: Job) -> Iterator[Step]:
        """No steps."""
        yield from ()

    def swap(self, job: Job) -> Iterator[Step]:
        """No steps."""
        yield from ()


def _files(content: Path) -> list[Path]:
    return sorted(path for path in content.iterdir() if path.is_file())


def _lines(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            total += chunk.count(b"\n")
            if total > LINES:
                break
    return total


LOGS = Logs()
