"""Archives of files: judged member by member before anything is written, and unpacked so that nothing lands outside.

Safety rests on three things, none of which asks the file system where a path leads: every directory is opened from its
parent's descriptor without following links; links may climb only out of real directories, and not out of the tree; and
a name, once taken, is never replaced.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal

from pacs_recover.errors import BadBackup
from pacs_recover.formats.streams import Reader
from pacs_recover.formats.tar import RAISE, UNUSUAL, Member, Tar
from pacs_recover.formats.tree import Parts, Tree, planted
from pacs_recover.model import Amount
from pacs_recover.text import safe
from pacs_recover.text import size as human

PROGRESS = 4 << 20
"""Bytes between two reports of progress."""
TOO_LARGE = f"It may be a bomb. {RAISE}; otherwise take another."
LONGEST_PART = 255
"""Bytes of one part of a name (NAME_MAX of Linux)."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold; the defaults fit configuration, certificates and logs many times over."""

    members: int = 10_000
    """Also counts directories that are only implied by a name."""
    total: int = 1 << 30
    """Bytes of the tar stream, and of the files that come out of it."""
    file: int = 1 << 28
    """Bytes of one file."""
    depth: int = 32
    """Parts of a name."""
    name: int = 1024
    """Bytes of a name or of a link's target."""


DEFAULTS = Limits()


@dataclass(frozen=True)
class Entry:
    """One thing of the unpacked tree."""

    name: str
    """Relative to the tree, without ``./``; bytes that are no UTF-8 are surrogates, as in ``os.fsdecode``."""
    mode: int
    """As recorded; unpacked without group and world write, setuid, setgid and sticky."""
    size: int
    kind: Literal["file", "directory", "symlink"]
    """Hard links are unpacked as files of their own: no two names share an owner or a mode."""
    target: str = ""
    """Where a symbolic link points."""


@dataclass(frozen=True)
class Extracted:
    """What an archive holds, proven to its end."""

    members: int
    """In the archive; ``entries`` has more where it implies directories."""
    files: int
    bytes: int
    """Of the files."""
    entries: tuple[Entry, ...]

    def leaving(self, top: str) -> tuple[str, ...]:
        """Names of the links in the directory ``top`` that would lead out of it if it were moved away alone."""
        above = _parts(top)
        links = (entry for entry in self.entries if entry.kind == "symlink")
        inside = ((entry, _parts(entry.name)) for entry in links)
        return tuple(
            entry.name
            for entry, parts in inside
            if parts[: len(above)] == above and len(parts) - 1 - _climbs(entry.target) < len(above)
        )


def check(raw: Reader, limits: Limits = DEFAULTS) -> Extracted:
    """Read an archive to its end with every check of ``extract`` and write nothing. Raises BadBackup."""
    tar = Tar(raw, limits.total)
    rules = _Rules(limits)
    for member in tar.members():
        rules.admit(member)
    return rules.extracted()


def extract(raw: Reader, into: Path, limits: Limits = DEFAULTS) -> Generator[Amount, None, Extracted]:
    """Unpack an archive into the empty directory ``into`` and prove it complete; progress is in bytes of the tar.

    Files get their recorded permissions without group and world write, directories at least 0700, both the owner that
    unpacks them. Raises BadBackup for a damaged or hostile archive and RecoverError where it cannot be written; what
    was unpacked until then stays for the caller to remove.
    """
    tar = Tar(raw, limits.total)
    rules = _Rules(limits)
    told = 0
    with planted(into) as tree:
        for member in tar.members():
            for _ in _unpack(rules.admit(member), member, tar, tree):
                if tar.position - told >= PROGRESS:
                    told = tar.position
                    yield Amount(told, None)
        extracted = rules.extracted()
        for entry in reversed(extracted.entries):
            if entry.kind == "directory":
                tree.finish(_parts(entry.name), entry.mode)
    return extracted


def _unpack(entry: Entry | None, member: Member, tar: Tar, tree: Tree) -> Iterator[int]:
    if entry is None:  # the tree's own top
        return
    parts = _parts(entry.name)
    if entry.kind == "directory":
        tree.directory(parts)
    elif entry.kind == "symlink":
        tree.symlink(parts, entry.target)
    elif member.kind == "hardlink":
        yield from tree.duplicate(parts, _parts(member.target), entry.mode)
    else:
        yield from tree.file(parts, tar.content(), entry.mode)


class _Rules:
    """What the archive has brought so far: whether the next member may come is asked of this, never of the disk."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[Parts, Entry] = {}
        self._members = 0
        self._bytes = 0
        self._rooted = False

    def admit(self, member: Member) -> Entry | None:
        """The entry that a member becomes; None for the tree's own top. BadBackup where it must not come."""
        self._members += 1
        parts = self._named(member.name)
        if not parts and member.kind == "directory":
            self._rooted = True
        elif not parts:
            raise _refused(member.name, "takes the place of the whole tree")
        else:
            self._reach(parts)
            self._known[parts] = self._entry(parts, member)
        if max(self._members, len(self._known)) > self._limits.members:
            raise BadBackup(f"The archive holds more than the {self._limits.members:,} members allowed here", TOO_LARGE)
        return self._known.get(parts)

    def extracted(self) -> Extracted:
        """All that was admitted. BadBackup where that is nothing."""
        if not self._known:
            raise BadBackup(
                "The archive holds nothing", "It was made from an empty or missing directory: take another."
            )
        entries = tuple(self._known.values())
        return Extracted(self._members, sum(entry.kind == "file" for entry in entries), self._bytes, entries)

    def _named(self, name: str) -> Parts:
        parts = _parts(name)
        if name.startswith("/"):
            raise _refused(name, "has an absolute name")
        if ".." in parts:
            raise _refused(name, "climbs with .. in its name")
        if len(os.fsencode(name)) > self._limits.name or any(len(os.fsencode(part)) > LONGEST_PART for part in parts):
            raise _refused(name, "has too long a name")
        if len(parts) > self._limits.depth:
            raise _refused(name, f"lies more than {self._limits.depth} directories deep")
        return parts

    def _reach(self, parts: Parts) -> None:
        for depth in range(1, len(parts)):
            above = parts[:depth]
            kind = self._known.setdefault(above, Entry("/".join(above), 0o700, 0, "directory")).kind
            if kind != "directory":
                raise _refused("/".join(parts), f"goes through a {kind} of the archive")

    def _entry(self, parts: Parts, member: Member) -> Entry:
        name = "/".join(parts)
        known = self._known.get(parts)
        if known and not known.kind == member.kind == "directory":
            raise _refused(name, f"comes again, over a {known.kind}")
        if member.kind == "directory":
            return Entry(name, member.mode, 0, "directory")
        if member.kind == "symlink":
            self._judge_link(parts, member.target)
            return Entry(name, member.mode, 0, "symlink", member.target)
        size = self._linked(name, member.target).size if member.kind == "hardlink" else member.size
        self._judge_file(name, member.mode, size)
        return Entry(name, member.mode, size, "file")

    def _judge_link(self, parts: Parts, target: str) -> None:
        name, climbs = "/".join(parts), _climbs(target)
        top = 0 if self._rooted else min(1, len(parts) - 1)
        if not target or len(os.fsencode(target)) > self._limits.name:
            raise _refused(name, "is a link without a target, or with too long a one")
        if target.startswith("/") or len(parts) - 1 - climbs < top:
            raise _refused(name, "is a link that leads out of the archive's tree")
        if ".." in _parts(target)[climbs:]:
            raise _refused(name, "is a link that climbs with .. after it went down")

    def _linked(self, name: str, target: str) -> Entry:
        known = self._known.get(self._named(target))
        if not known or known.kind != "file":
            raise _refused(name, "is a hard link to what is no file that came before it in the archive")
        return known

    def _judge_file(self, name: str, mode: int, size: int) -> None:
        if mode & (stat.S_ISUID | stat.S_ISGID):
            raise _refused(name, "is setuid or setgid")
        self._bytes += size
        if size > self._limits.file or self._bytes > self._limits.total:
            most = self._limits.file if size > self._limits.file else self._limits.total
            raise BadBackup(f"The archive is refused: {safe(name)} takes it over the {human(most)} allowed", TOO_LARGE)


def _parts(name: str) -> Parts:
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _climbs(target: str) -> int:
    """How many directories a link's target climbs before it goes down."""
    return len(tuple(takewhile("..".__eq__, _parts(target))))


def _refused(name: str, why: str) -> BadBackup:
    return BadBackup(f"The archive is refused: {safe(name)} {why}", UNUSUAL)
