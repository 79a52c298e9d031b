"""Fuzz one target, or all: ``python -m tests.fuzz TARGET --seconds N``; exit status 1 and a file where one crashed."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.driver import Crash, fuzz, one
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.runs.small_site import make

MEMORY = 2 << 30
"""Bytes of address space: more, and an input has found a way to take memory."""


def main() -> int:
    """Run as said above."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--input", type=Path, help="feed this file instead, as one that crashed it")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if given.input:
        return int(one(given.target, TARGETS[given.target], given.input.read_bytes(), str(given.input)))
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        sound = seeds(make(Path(directory) / "site"))
    wrong = 0
    for name in TARGETS if given.target == "all" else [given.target]:
        try:
            tried = fuzz(name, TARGETS[name], sound[name], seconds=given.seconds, most=1 << 40, seed=given.seed)
            print(f"{name}: {tried.inputs:,} inputs, {tried.refused:,} refused")
        except Crash as crash:
            path = Path(tempfile.gettempdir()) / f"crash-{name}"
            path.write_bytes(crash.data)
            print(f"{name}: CRASH: {crash}\n  python -m tests.fuzz {name} --input {path}")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
