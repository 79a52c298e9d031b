"""The shim from Python: compiled once, armed for one worker, asked how many calls it saw."""

from __future__ import annotations

import errno
import json
import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

CREATE, WRITE, SYNC, NAME, ATTRIBUTE, READ = (1 << bit for bit in range(6))
"""Kinds of calls, as in shim.c."""
CHANGES = CREATE | WRITE | SYNC | NAME | ATTRIBUTE
ALLOCATES = CREATE | WRITE
HUNG = -14
"""What a worker that does not end is said to end with."""


@dataclass(frozen=True)
class Injection:
    """What the shim does, at which call of which kinds, below which directories."""

    how: str = ""
    """kill, torn, fail, cut, clock or script (shim.c); nothing only counts."""
    kinds: int = CHANGES
    lasting: bool = False
    error: int = errno.EIO
    roots: tuple[Path, ...] = ()
    script: Path | None = None
    disk: Path | None = None
    clock: int = 0
    boot: Path | None = None
    record: Path | None = None
    trace: Path | None = None
    at: int = 0

    def placed(self, at: int) -> Injection:
        """The same, at the nth call."""
        return replace(self, at=at)

    def environment(self, said: Path) -> dict[str, str]:
        """As the shim reads it."""
        return {
            "FAULT_ROOTS": ":".join(map(str, self.roots)),
            "FAULT_KINDS": str(self.kinds),
            "FAULT_AT": str(self.at),
            "FAULT_LASTING": str(int(self.lasting)),
            "FAULT_HOW": self.how,
            "FAULT_ERROR": str(self.error),
            "FAULT_CLOCK": str(self.clock),
            "FAULT_SCRIPT": str(self.script or ""),
            "FAULT_DISK": str(self.disk or ""),
            "FAULT_BOOT": str(self.boot or ""),
            "FAULT_RECORD": str(self.record or ""),
            "FAULT_TRACE": str(self.trace or ""),
            "FAULT_SAID": str(said),
        }


UNHARMED = Injection()


@dataclass(frozen=True)
class Worked:
    """How a worker ended."""

    code: int
    seen: int
    """Calls that the shim counted."""
    struck: bool


class Workers:
    """Starts workers under the shim, one after the other."""

    def __init__(self, shim: Path, home: Path) -> None:
        self.shim = shim
        self.said = home / "said"
        environment = {**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": str(Path(__file__).parents[2])}
        self._server = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def work(self, purpose: str, run: Path, injection: Injection = UNHARMED) -> Worked:
        """Have a worker restore, resume or roll back a run, and wait for it."""
        assert self._server.stdin
        assert self._server.stdout
        self.said.write_bytes(bytes(16))
        asked = {"argv": [purpose, str(run), "test"], "environment": injection.environment(self.said)}
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        seen, struck = struct.unpack("ll", self.said.read_bytes())
        return Worked(code, seen, bool(struck))

    def environment(self, program: str, injection: Injection) -> dict[str, str]:
        """What arms the shim in a real command: in each process with the argument ``program``, and no other."""
        self.said.write_bytes(bytes(16))
        shimmed = {"LD_PRELOAD": str(self.shim), "FAULT_PROGRAM": program}
        return {**os.environ, **injection.environment(self.said), **shimmed}

    def count(self) -> tuple[int, bool]:
        """Calls seen, and whether it struck, by the last armed process."""
        with self.said.open("rb") as file, mmap.mmap(file.fileno(), 16, prot=mmap.PROT_READ) as shared:
            seen, struck = struct.unpack("ll", shared[:16])
        return seen, bool(struck)

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.wait(10)
        self._server.stdout.close()


def compile_shim(home: Path) -> Path:
    """Build the shim with the machine's compiler."""
    made = home / "shim.so"
    source = Path(__file__).with_name("shim.c")
    warnings: Sequence[str] = ("-Wall", "-Wextra", "-Werror")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", *warnings, "-o", made, source, "-ldl"], check=True)
    return made


@contextmanager
def workers(home: Path) -> Iterator[Workers]:
    """A server with the shim, ended afterwards."""
    served = Workers(compile_shim(home), home)
    try:
        yield served
    finally:
        served.close()
