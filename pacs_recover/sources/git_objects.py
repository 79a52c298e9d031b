"""Git's objects, read one after the other from one git and proven by their own hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pacs_recover.errors import SourceError
from pacs_recover.formats.streams import CHUNK
from pacs_recover.sources import git_client
from pacs_recover.sources.git_repository import Repository
from pacs_recover.text import safe, size

TREE = 16 << 20
"""Bytes of one tree or commit that are held at most: some 300,000 entries."""
LINE = 8192
FSCK = "the repository is damaged: see git fsck, and take the commit from another copy"
DIRECTORY, LINK, SUBMODULE = 0o040000, 0o120000, 0o160000


class Header(NamedTuple):
    """What git says of an object before it gives it."""

    oid: str
    kind: str
    """``commit``, ``tree``, ``blob``, ``tag``."""
    size: int


class Item(NamedTuple):
    """One line of a tree."""

    mode: int
    name: bytes
    oid: str

    @property
    def kind(self) -> int:
        """The mode without permissions: DIRECTORY, LINK, SUBMODULE, or a file's."""
        return self.mode & 0o170000


class Objects:
    """A ``git cat-file --batch`` that is asked by name or hash. Every verb raises SourceError."""

    def __init__(self, repository: Repository) -> None:
        self.shown = repository.place.shown
        self.algorithm = repository.algorithm
        self._git = git_client.Running(git_client.command("cat-file", "--batch"), repository.variables)
        self._left = 0
        """Bytes of the last object that nobody read yet."""

    def find(self, name: str) -> Header | None:
        """The object of a hash (or ``hash:path``), to be read next; None where there is none."""
        self._skip()
        self._git.tell(name.encode())
        return self._answer()

    def trees(self, names: Sequence[str], largest: int) -> Iterator[tuple[Header, bytes] | None]:
        """The trees of these names, asked for at once, as git is quicker so; None where there is none.

        One of more than ``largest`` bytes comes empty. What was read before an error is given before it is raised.
        """
        self._skip()
        self._git.tell("\n".join(names).encode())
        found: list[tuple[Header, bytes] | None] = []
        failure = None
        try:
            found.extend(self._one(largest) for _ in names)
        except SourceError as error:
            failure = error
        yield from found
        if failure:
            raise failure

    def _one(self, largest: int) -> tuple[Header, bytes] | None:
        header = self._answer()
        is_tree = header is not None and header.kind == "tree"
        content = self.whole(header) if header and is_tree and header.size <= largest else b""
        self._skip()
        return (header, content) if header and is_tree else None

    def _answer(self) -> Header | None:
        words = self._git.until(b"\n", LINE).split()
        if not words:
            raise SourceError(f"{self.shown}: git ended: {self._git.complaint()}", FSCK)
        if len(words) != 3 or words[1] not in (b"commit", b"tree", b"blob", b"tag"):
            return None
        header = Header(words[0].decode(), words[1].decode(), int(words[2]))
        self._left = header.size + 1
        return header

    def content(self, header: Header) -> Iterator[bytes]:
        """The object that was found last, in pieces; the last one comes only if the whole has the hash it must have."""
        proof = hashlib.new(self.algorithm, f"{header.kind} {header.size}\0".encode(), usedforsecurity=False)
        while self._left > 1:
            piece = self._take(min(CHUNK, self._left - 1))
            proof.update(piece)
            if self._left == 1 and proof.hexdigest() != header.oid:
                raise SourceError(f"{self.shown}: {header.kind} {header.oid} is not what its hash says", FSCK)
            yield piece
        if not header.size and proof.hexdigest() != header.oid:
            raise SourceError(f"{self.shown}: {header.kind} {header.oid} is not what its hash says", FSCK)
        self._skip()

    def whole(self, header: Header, limit: int = TREE) -> bytes:
        """The object that was found last."""
        if header.size > limit:
            raise SourceError(
                f"{self.shown}: {header.kind} {header.oid} has {size(header.size)}", "take another commit"
            )
        return b"".join(self.content(header))

    def must(self, oid: str, kind: str) -> Header:
        """The object of a hash, which must be there and of this kind."""
        header = self.find(oid)
        if header is None:
            raise SourceError(f"{self.shown}: {kind} {oid} is missing. {self._git.complaint()}".rstrip(" ."), FSCK)
        if header.kind != kind or header.oid != oid:
            raise SourceError(f"{self.shown}: {oid} is no {kind}", FSCK)
        return header

    def tree(self, oid: str) -> Iterator[Item]:
        """What a tree holds, read whole before the first is given."""
        return items(self.whole(self.must(oid, "tree")), len(oid) // 2, oid)

    def close(self) -> None:
        """End git."""
        self._git.close()

    def _skip(self) -> None:
        while self._left:
            self._take(min(CHUNK, self._left))

    def _take(self, n: int) -> bytes:
        piece = self._git.read(n)
        if not piece:
            raise SourceError(f"{self.shown}: git ended: {self._git.complaint()}", FSCK)
        self._left -= len(piece)
        return piece


def items(content: bytes, width: int, oid: str) -> Iterator[Item]:
    """The lines of a tree: ``mode SP name NUL hash`` each, the hash being ``width`` bytes. SourceError."""
    at = 0
    while at < len(content):
        end = content.find(b"\0", at)
        mode, _, name = content[at:end].partition(b" ")
        digest = content[end + 1 : end + 1 + width]
        if end < 0 or not 0 < len(mode) < 8 or mode.strip(b"01234567") or len(digest) < width:
            raise SourceError(f"tree {oid} is malformed", FSCK)
        if name in (b"", b".", b"..") or b"/" in name or name.lower() == b".git":
            raise SourceError(
                f"tree {oid} holds {safe(name.decode(errors='replace'))!r}, a name that no git writes", FSCK
            )
        yield Item(int(mode, 8), name, digest.hex())
        at = end + 1 + width
