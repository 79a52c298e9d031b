"""Asking a service from inside its own network namespace, by a process that was entered into it."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from pacs_recover.errors import RecoverError
from pacs_recover.services.health import Health
from pacs_recover.services.prober import Answer, AskHealth, Question

MARGIN = 5.0
"""Seconds that the prober gets beyond its question's own time: to start, and to answer."""
LONGEST = 4 << 20
"""Bytes of one answer."""


@dataclass
class Inside:
    """A prober in the network of one process; closed, it is gone."""

    process: subprocess.Popen[bytes]

    @classmethod
    def of(cls, pid: int) -> Inside:
        """Start one that enters the network of this process; where it cannot, it answers nothing. OSError."""
        path = os.pathsep.join(entry for entry in sys.path if entry)
        return cls(
            subprocess.Popen(
                [sys.executable, "-P", "-m", "pacs_recover.services.prober", str(pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": path},
                cwd="/",
            )
        )

    def ask(self, question: Question) -> Answer:
        """One question, answered in time or not at all. RecoverError."""
        assert self.process.stdin
        try:
            self.process.stdin.write(msgspec.json.encode(question) + b"\n")
            self.process.stdin.flush()
            line = self._line(time.monotonic() + question.timeout + MARGIN)
            return msgspec.json.decode(line, type=Answer)
        except (OSError, msgspec.DecodeError) as error:
            self.close()
            raise RecoverError(
                "the probe inside the sandbox ended without an answer", "has the sandbox ended?"
            ) from error

    def health(self, url: str, timeout: float) -> Health:
        """Ask a health address in there; never raises."""
        try:
            said = self.ask(AskHealth(url, timeout))
        except RecoverError as error:
            return Health(False, error.message)
        return Health(not said.problem, said.detail)

    def _line(self, deadline: float) -> bytes:
        assert self.process.stdout
        found = bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            while not found.endswith(b"\n"):
                if not ready.select(max(0.0, deadline - time.monotonic())) or len(found) > LONGEST:
                    raise TimeoutError
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    raise OSError("it ended")
                found += data
        return bytes(found)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with suppress(OSError):
                    stream.close()
