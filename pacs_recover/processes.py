"""Which processes hold a file open: a service that was stopped may have left one that still writes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pacs_recover.text import safe

DELETED = " (deleted)"
"""What the kernel appends to the name of a file that is open but has none any more."""


@dataclass(frozen=True)
class Holder:
    """One process and one file that it holds open, both made harmless for people."""

    pid: int
    name: str
    path: str


@dataclass(frozen=True)
class Holders:
    """Who holds the files, and how many processes could not be looked at (0 for root)."""

    found: tuple[Holder, ...]
    unseen: int


def holders(paths: Iterable[Path]) -> Holders:
    """Every process but this one that holds any of these files, or any file below these directories.

    Found by device and inode, so under any name and in any container; a deleted file by the name that it had.
    """
    wanted = _Wanted(paths)
    found: dict[Holder, None] = {}
    unseen = 0
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid == os.getpid():
            continue
        try:
            held = [name for number in os.listdir(f"/proc/{pid}/fd") if (name := wanted.name_of(pid, number))]
        except PermissionError:
            unseen += _has_program(pid)
        except OSError:
            continue  # it has ended meanwhile
        else:
            found |= dict.fromkeys(Holder(pid, _program(pid), safe(name)) for name in held)
    return Holders(tuple(found), unseen)


class _Wanted:
    """The files that are looked for."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.tops = tuple(os.path.realpath(path) for path in paths)
        self.files = {identity for top in self.tops for identity in _files(top)}
        self.inodes = {inode for _, inode in self.files}

    def name_of(self, pid: int, number: str) -> str:
        """The name of what a descriptor holds, where it is one of the files; else empty.

        A file is asked only when its name or its inode's number already fits: one on a dead network mount would hang.
        """
        descriptor = f"/proc/{pid}/fd/{number}"
        try:
            name = os.readlink(descriptor)  # noqa: PTH115 - thousands of them
            if not name.startswith("/"):
                return ""  # a socket, a pipe and such
            fits = self._is_below(name.removesuffix(DELETED))
            if fits and name.endswith(DELETED):
                return name
            inode = _inode(pid, number)
            if not fits and inode is not None and inode not in self.inodes:
                return ""
            found = os.stat(descriptor)
        except OSError:
            return ""  # closed meanwhile
        return name if (found.st_dev, found.st_ino) in self.files else ""

    def _is_below(self, name: str) -> bool:
        return any(name == top or name.startswith(f"{top.rstrip('/')}/") for top in self.tops)


def _files(top: str) -> Iterator[tuple[int, int]]:
    """Device and inode of a file, or of all below a directory; directories are left out: holding one is no harm."""
    with suppress(OSError):
        found = os.lstat(top)
        if not stat.S_ISDIR(found.st_mode):
            yield found.st_dev, found.st_ino
            return
    for directory, _, names in os.walk(top):
        for name in names:
            with suppress(OSError):
                found = os.lstat(os.path.join(directory, name))
                yield found.st_dev, found.st_ino


def _inode(pid: int, number: str) -> int | None:
    """The inode's number as the kernel has it in memory (since Linux 5.14); None where it does not tell."""
    with open(f"/proc/{pid}/fdinfo/{number}", "rb", buffering=0) as file:
        for line in file.read(512).splitlines():
            if line.startswith(b"ino:"):
                return int(line[4:])
    return None


def _program(pid: int) -> str:
    try:
        return safe(Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()) or "?"
    except OSError:
        return "?"


def _has_program(pid: int) -> bool:
    """Whether it is a process with a program, not a kernel thread or one that has ended: those hold no files."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False
