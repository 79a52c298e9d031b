"""The tar format, read strictly and in constant memory: POSIX ustar and pax, GNU and v7, as tar programs write them.

The standard library's reader is not used: it takes a damaged header for the end of the archive, needs no end marker,
and holds header records of any size in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pacs_recover.errors import BadBackup
from pacs_recover.formats.streams import CHUNK, Reader, chunks, exactly
from pacs_recover.text import safe
from pacs_recover.text import size as human

BLOCK = 512
"""Bytes of a tar block (POSIX pax, "ustar Interchange Format"); headers are one block, contents are padded to it."""
ZEROS = bytes(BLOCK)
LONGEST_NOTE = 256 * 1024
"""Bytes that a long name or a pax header may have: Linux allows 64 KiB of extended attributes and ACLs each."""
ALL_NOTES = 32 << 20
"""Bytes of them in one archive: what can be read in seconds."""
MOST_NOTES = 4
"""Headers that may describe one member: a pax global and extended header, GNU's long name and long link."""
RAISE = "If the backup is known to be good, raise limits.members or limits.megabytes in the site file"
ANOTHER = "It was cut short or changed after it was made: take another backup."
UNUSUAL = "A backup of a configuration holds no such thing: it was crafted, or made in an unusual way. Take another."

Kind = Literal["file", "directory", "symlink", "hardlink"]
KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",  # contiguous, which no system distinguishes
    b"1": "hardlink",
    b"2": "symlink",
    b"5": "directory",
}
OTHERS = {b"3": "a device", b"4": "a device", b"6": "a fifo", b"S": "a sparse file"}
PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK = b"x", b"g", b"L", b"K"


@dataclass(frozen=True)
class Member:
    """One member as its headers describe it; nothing about it has been judged yet."""

    name: str
    """As stored, decoded as file names are (undecodable bytes become surrogates); never empty, no NUL."""
    kind: Kind
    mode: int
    """Permission bits with setuid, setgid and sticky."""
    size: int
    """Bytes of content; 0 for all but files."""
    target: str
    """Where a link points."""


@dataclass(frozen=True)
class _Header:
    type: bytes
    name: bytes
    target: bytes
    mode: int
    size: int


class Tar:
    """The members of a tar stream of at most ``limit`` bytes, headers and padding included."""

    def __init__(self, raw: Reader, limit: int) -> None:
        self._raw = raw
        self._limit = limit
        self._left = 0
        self._noted = 0
        self.position = 0
        """Bytes of the stream read so far."""

    def members(self) -> Iterator[Member]:
        """Every member in turn, its unread content skipped; at the end the end marker and what follows are checked.

        Raises BadBackup where the stream is damaged, cut short, over the limit or holds what is no file or link.
        """
        while member := self._member():
            padding = -member.size % BLOCK
            self._left = member.size
            yield member
            for _ in self.content():
                pass
            self._take(padding)
        self._ended()

    def content(self) -> Iterator[bytes]:
        """The content of the member that ``members`` is at, in pieces."""
        while self._left:
            piece = self._take(min(CHUNK, self._left))
            self._left -= len(piece)
            yield piece

    def _take(self, count: int) -> bytes:
        if self.position + count > self._limit:
            raise BadBackup(
                f"The tar archive is larger than the {human(self._limit)} that are allowed here",
                f"It may be a decompression bomb. {RAISE}.",
            )
        taken = exactly(self._raw, count)
        self.position += len(taken)
        if len(taken) < count:
            raise BadBackup("The tar archive is cut short: it ends before its end marker", ANOTHER)
        return taken

    def _member(self) -> Member | None:
        notes: dict[str, bytes] = {}
        for seen in range(MOST_NOTES + 1):
            block = self._take(BLOCK)
            if block == ZEROS and not seen:
                return None
            header = self._header(block)
            if header.type not in (PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK):
                return _member(header, notes)
            notes |= self._note(header)
        raise BadBackup("The tar archive describes one member again and again", UNUSUAL)

    def _header(self, block: bytes) -> _Header:
        if not is_header(block):
            if self.position == BLOCK:
                raise BadBackup("There is no tar archive: its first header is not one", ANOTHER)
            raise BadBackup(
                f"The tar archive is damaged: the header at byte {self.position - BLOCK} is not one", ANOTHER
            )
        return _header(block)

    def _note(self, header: _Header) -> dict[str, bytes]:
        self._noted += header.size
        if header.size > LONGEST_NOTE or self._noted > ALL_NOTES:
            raise BadBackup(f"The tar archive has headers of {human(self._noted)}", UNUSUAL)
        text = self._take(header.size)
        self._take(-header.size % BLOCK)
        if header.type == PAX:
            return dict(_records(text))
        if header.type == PAX_GLOBAL:
            if {"path", "linkpath", "size"} & dict(_records(text)).keys():
                raise BadBackup("The tar archive gives all its members one name or size", UNUSUAL)
            return {}
        return {"path" if header.type == LONG_NAME else "linkpath": text.rstrip(b"\0")}

    def _ended(self) -> None:
        if self._take(BLOCK) != ZEROS:
            raise BadBackup("The tar archive is damaged: its end marker is only half there", ANOTHER)
        for rest in chunks(self._raw):  # also lets the layers below prove their own ends
            self.position += len(rest)
            if rest.strip(b"\0"):
                raise BadBackup("The tar archive is damaged: something else follows its end marker", ANOTHER)
            if self.position > self._limit:
                raise BadBackup("The tar archive is followed by more zeros than are allowed here", UNUSUAL)


def is_header(block: bytes) -> bool:
    """Whether a block is a tar header, which its checksum shows (unsigned, or signed as some old programs wrote it)."""
    if len(block) != BLOCK or block == ZEROS:
        return False
    summed = block[:148] + b" " * 8 + block[156:]
    try:
        stated = _number(block[148:156])
    except BadBackup:
        return False
    return stated == sum(summed) or stated == sum(memoryview(summed).cast("b"))


def _header(block: bytes) -> _Header:
    name, kind = _text(block[:100]), block[156:157]
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):  # GNU's own magic has other things there
        name = prefix + b"/" + name
    if kind in (b"0", b"\0") and name.endswith(b"/"):  # v7 knew directories by their names alone
        kind = b"5"
    mode, size = _number(block[100:108]) & 0o7777, _number(block[124:136])
    return _Header(kind, name, _text(block[157:257]), mode, size)


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base-256 where the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = _text(field).strip(b" ")
    if digits.strip(b"01234567"):
        raise BadBackup("The tar archive is damaged: a number in a header is not one", ANOTHER)
    return int(digits or b"0", 8)


def _records(text: bytes) -> Iterator[tuple[str, bytes]]:
    """The ``length key=value\\n`` records of a pax header."""
    start = 0
    while start < len(text):
        digits, _, _ = text[start : start + 20].partition(b" ")
        end = start + (int(digits) if digits.isdigit() else 0)
        key, equals, value = text[start + len(digits) + 1 : end].partition(b"=")
        if not equals or end > len(text) or not value.endswith(b"\n"):
            raise BadBackup("The tar archive is damaged: a pax header is not one", ANOTHER)
        yield key.decode("utf-8", "replace"), value[:-1]
        start = end


def _member(header: _Header, notes: dict[str, bytes]) -> Member:
    name = os.fsdecode(notes.get("path", header.name))
    target = os.fsdecode(notes.get("linkpath", header.target))
    size = _size(notes["size"]) if "size" in notes else header.size
    sparse = any(key.startswith(("GNU.sparse.", "SCHILY.realsize")) for key in notes)
    kind = KINDS.get(header.type)
    if kind is None or sparse:
        what = (
            "a sparse file" if sparse else OTHERS.get(header.type, f"of the kind {safe(header.type.decode('latin-1'))}")
        )
        raise BadBackup(f"The tar archive is refused: {safe(name)} is {what}", UNUSUAL)
    if not name or "\0" in name + target:
        raise BadBackup("The tar archive is refused: a name in it is empty or has a NUL in it", UNUSUAL)
    if size and kind != "file":
        raise BadBackup(f"The tar archive is refused: {safe(name)} is a {kind} with content", UNUSUAL)
    return Member(name, kind, header.mode, size, target)


def _size(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 20:
        raise BadBackup("The tar archive is damaged: a size in a pax header is not one", ANOTHER)
    return int(digits)
