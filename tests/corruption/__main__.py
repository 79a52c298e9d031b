"""Measure it all: ``python -m tests.corruption [--each N] [--write docs/faults.md]``; exit status 1 where it is bad."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.corruption.measuring import KINDS, measure, table
from tests.corruption.samples import samples
from tests.runs.small_site import make

BEGIN, END = "<!-- corruption table: begin -->", "<!-- corruption table: end -->"


def main() -> int:
    """Print the table, or put it where it stands in a document."""
    parser = argparse.ArgumentParser(prog="python -m tests.corruption")
    parser.add_argument("--each", type=int, default=70, help="injections of each kind into each format")
    parser.add_argument("--write", type=Path, help="the document whose table is replaced")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)
        small = make(home / "site")
        (home / "samples").mkdir()
        results = [measure(sample, given.each) for sample in samples(small, home / "samples")]
    print(table(results))
    print(f"{sum(one.injected for one in results):,} injections of {len(KINDS)} kinds")
    if given.write:
        text = given.write.read_text()
        head, _, rest = text.partition(BEGIN)
        given.write.write_text(f"{head}{BEGIN}\n{table(results)}\n{END}{rest.partition(END)[2]}")
    return int(any(one.wrong for one in results))


if __name__ == "__main__":
    sys.exit(main())
