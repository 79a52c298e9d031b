"""Measures two contenders in turn (A, B, A, B, …) and writes down the ratios of their medians, with their spread."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pacs_recover
from pacs_recover import __version__

PACKAGE = Path(pacs_recover.__file__).parent
DOCUMENT = Path(__file__).parents[1] / "docs/performance.md"
BLOCK = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- /table -->)", re.DOTALL)
HEAD = "| what | against | ours | theirs | ratio (spread) | target | memory, MiB |\n|---|---|---|---|---|---|---|\n"
MIB = 1 << 20

Sample = Mapping[str, float]
"""What one round measured: ``seconds``, ``peak`` (bytes of memory), ``at`` (when it began, seconds since 1970).

Of a restore also ``up`` (seconds until the service was started) and ``down`` (seconds between its stop and its start).
"""
Contender = Callable[[], Sample]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    target: float | None = None
    """Which ratio is asked for; None: it is only told."""
    measure: str = "seconds"


@dataclass(frozen=True)
class Comparison:
    """Two contenders that do the same."""

    name: str
    against: str
    """The other side, as somebody would type it."""
    rows: tuple[Row, ...]
    ours: Contender
    theirs: Contender
    rounds: int = 5
    warm: int = 1
    """Rounds before these that do not count; what takes long needs none: its files were written just now."""
    before: Callable[[], None] = lambda: None
    """What each contender finds, made anew; its time does not count."""


@dataclass(frozen=True)
class Size:
    """How much is measured with."""

    queue: int
    """MiB of a queue, as SQLite has it."""
    files: int
    objects: int
    rounds: int
    """Of what takes seconds."""
    starts: int
    """Rounds of what takes a fraction of a second."""


FULL = Size(queue=1024, files=100_000, objects=20_000, rounds=3, starts=9)
QUICK = Size(queue=64, files=10_000, objects=3_000, rounds=2, starts=4)


@dataclass
class Result:
    """The samples of both sides of a comparison, round by round."""

    comparison: Comparison
    pairs: Sequence[tuple[Sample, Sample]]

    def lines(self) -> Iterator[str]:
        """Its rows of the table."""
        for row in self.comparison.rows:
            yield self._line(row)

    def _line(self, row: Row) -> str:
        ours, theirs = ([max(pair[side].get(row.measure, 0.0), 1e-4) for pair in self.pairs] for side in (0, 1))
        each = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        ratio = statistics.median(ours) / statistics.median(theirs)
        met = "" if row.target is None else f"≤ {row.target:g} {'met' if ratio <= row.target else '**missed**'}"
        peaks = [max((pair[side].get("peak", 0.0) for pair in self.pairs), default=0.0) / MIB for side in (0, 1)]
        memory = " / ".join(f"{peak:.0f}" if peak else "–" for peak in peaks)
        against = "" if row.what.startswith("…") else f"`{self.comparison.against}`".replace("|", "\\|")
        spread = f"{ratio:.2f} ({min(each):.2f}–{max(each):.2f})"
        return f"| {row.what} | {against} | {_time(ours)} | {_time(theirs)} | {spread} | {met} | {memory} |\n"


def _time(values: Sequence[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:.2f} s" if middle >= 1 else f"{middle * 1000:.0f} ms"


def main() -> int:
    """Measure what was asked for; the exit status is 1 where a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="one comparison; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: to try the harness")
    parser.add_argument("--directory", type=Path, help="where the files of some GB are made")
    options = parser.parse_args()
    compileall.compile_dir(PACKAGE, quiet=1)  # as pip does; a checkout may have no bytecode, nor be allowed to keep any
    began, lines = time.monotonic(), []
    for result in _measured(QUICK if options.quick else FULL, options.only, options.directory):
        for line in result.lines():
            sys.stdout.write(line)
            lines.append(line)
        sys.stdout.flush()
    told = f"{machine()}; {time.monotonic() - began:.0f} s in all"
    sys.stdout.write(f"{told}\n")
    if not (options.quick or options.only):
        write(lines, told)
    return 1 if any("**missed**" in line for line in lines) else 0


def _measured(size: Size, only: Sequence[str] | None, directory: Path | None) -> Iterator[Result]:
    from benchmarks import listing, looking, replicas, restoring, starting

    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as root:
        for module in (starting, restoring, looking, replicas, listing):
            wanted = set(only or module.NAMES) & set(module.NAMES)
            home = Path(root) / module.__name__
            home.mkdir()
            for comparison in module.suite(size, home) if wanted else ():
                if comparison.name in wanted:
                    yield measure(comparison)
            shutil.rmtree(home)


def measure(comparison: Comparison) -> Result:
    """All rounds, each side once in each."""
    pairs = []
    for number in range(-comparison.warm, comparison.rounds):
        samples = []
        for contender in (comparison.ours, comparison.theirs):
            comparison.before()
            os.sync()
            samples.append(contender())
        if number >= 0:
            pairs.append((samples[0], samples[1]))
    return Result(comparison, pairs)


def process(argv: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Sample:
    """Run a program to its end: seconds, and the memory of the largest process of it. RuntimeError where it fails."""
    timed = [sys.executable, "-I", "-S", str(Path(__file__).with_name("timed.py")), *map(str, argv)]
    done = subprocess.run(timed, capture_output=True, env=environment, stdin=subprocess.DEVNULL, check=True)
    sample: dict[str, float] = json.loads(done.stdout)
    if sample.pop("code") != 0:
        raise RuntimeError(f"{argv} failed: {done.stderr[-2000:].decode(errors='replace')}")
    return sample


def shell(command: str) -> Contender:
    """A pipeline, with its failures believed."""
    return lambda: process(["bash", "-e", "-o", "pipefail", "-c", command])


def machine() -> str:
    """What it was measured on, and with."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    where = f"{os.cpu_count()} × {model[1] if model else platform.machine()}, {memory:.0f} GB, {platform.release()}"
    return f"{where}, Python {platform.python_version()}, pacs-recover {__version__}, {datetime.now(UTC):%Y-%m-%d}"


def write(lines: Sequence[str], told: str) -> None:
    """The table, in its place in the document."""
    text = f"\nMeasured by `make bench` on {told}.\n\n{HEAD}{''.join(lines)}\n"
    DOCUMENT.write_text(BLOCK.sub(lambda _: text, DOCUMENT.read_text()))
