"""A page's commands, typed one after the other into one shell on a terminal, and what the page says of their output.

A block of ``console`` has commands behind ``$ `` and lines of their output; ``…`` stands for anything, alone on a line
for any lines. A line that ends in a prompt and what is typed there says so to whoever reads it and to this as well.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(r"^( *)```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PROMPTS = re.compile(r"(to go on: |yes or no: )(\S+)$")
MARK = "\x1e"
SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PATIENCE = 120.0
"""Seconds that one command may take."""


@dataclass
class Command:
    """One command of a page, with what the page shows below it."""

    text: str
    shown: list[str] = field(default_factory=list)

    @property
    def answers(self) -> list[tuple[str, str]]:
        """What is typed at which prompt, in its order."""
        return [(found[1], found[2]) for line in self.shown if (found := PROMPTS.search(line))]

    def fits(self, said: str) -> bool:
        """Whether the output is what the page shows."""
        lines = (r"(?:.*\n)*?" if line == "…" else _line(line) for line in self.shown)
        return re.fullmatch("".join(lines) + r"\s*", said) is not None


def _line(line: str) -> str:
    return ".*".join(re.escape(part.rstrip()) for part in line.split("…")) + r" *\n"


def commands(page: Path) -> list[Command]:
    """Every command of a page's console blocks."""
    found: list[Command] = []
    for block in BLOCK.finditer(page.read_text()):
        for line in block[2].splitlines():
            line = line.removeprefix(block[1])
            if line.startswith("$ "):
                found.append(Command(line[2:]))
            else:
                found[-1].shown.append(line)
    return found


class Typist:
    """A shell on a terminal of 80 columns."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.chdir(home)
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"], dict(environment))
        self.seen = ""
        self._send(f"stty cols 80 rows 24; PS1= PS2=; printf '{MARK}%s{MARK}\\n' begun")
        self._until(f"{MARK}begun{MARK}\n", ())

    def type(self, command: Command) -> tuple[str, int]:
        """Type it with the answers that the page gives: its output, its exit status."""
        self.seen = ""
        self._send(f"{command.text}; printf '{MARK}%s{MARK}\\n' \"$?\"")
        self._until(f"{MARK}\n", command.answers)
        plain = SEQUENCES.sub("", self.seen).replace("\r\n", "\n")
        drawn = "\n".join(line.rpartition("\r")[2] for line in plain.split("\n"))
        said, _, status = drawn.removesuffix(f"{MARK}\n").rpartition(MARK)
        return said.partition("\n")[2], int(status)

    def close(self) -> None:
        """End it and what it started."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.master)

    def _send(self, text: str) -> None:
        os.write(self.master, text.encode() + b"\n")

    def _until(self, end: str, answers: Iterable[tuple[str, str]]) -> None:
        pending = iter(answers)
        awaited, deadline = next(pending, None), time.monotonic() + PATIENCE
        while not self.seen.replace("\r", "").endswith(end) or self.seen.count(MARK) < 2:
            assert time.monotonic() < deadline, f"{end!r} never came:\n{self.seen}"
            if select.select([self.master], [], [], 0.5)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
            if awaited and self.seen.endswith(awaited[0]):
                self._send(awaited[1])
                awaited = next(pending, None)
