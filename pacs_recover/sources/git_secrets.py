"""What a commit should not hold: private keys, and other repositories whose files it does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pacs_recover.errors import SourceError
from pacs_recover.model import Fact
from pacs_recover.sources.git_objects import DIRECTORY, LINK, SUBMODULE, Header, Item, Objects, items
from pacs_recover.text import safe

KEY = re.compile(
    rb".*\.(?:key|p8|p12|pfx|jks|keystore)|(?:.*[._-])?(?:key|privkey)\.pem|id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?", re.I
)
"""What files are called that hold a private key."""
PEM = re.compile(rb".*\.(?:pem|crt|cer|cert)", re.I)
"""What files are called that hold a certificate, and by mistake its key."""
MARK = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
LOOKED_INTO = 1 << 18
"""Bytes of a certificate's file that is looked into."""
LARGEST = 1 << 20
"""Bytes of a tree that is looked through."""
DEEPEST = 32
NAMED = 5
"""How many are named of one kind."""
REMEMBERED = 50_000
"""Trees and files whose outcome is kept, as most commits share most of them."""


class Found(NamedTuple):
    """One thing that a tree should not hold."""

    what: str
    name: str


class Secrets:
    """Looks through trees by their names; one that was seen is not read again."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._trees: dict[str, tuple[Found, ...]] = {}
        self._files: dict[str, bool] = {}

    def close(self) -> None:
        """Let git go."""
        self.objects.close()

    def of(self, tree: Header, content: bytes) -> Iterator[Fact]:
        """The facts of a tree. SourceError where one in it is missing or damaged."""
        found = self._tree(tree, content, 0)
        for what in dict.fromkeys(one.what for one in found):
            named = [one.name for one in found if one.what == what]
            more = f" and more ({len(named) - NAMED} at least)" if len(named) > NAMED else ""
            yield Fact(what, ", ".join(named[:NAMED]) + more, "warn")

    def _tree(self, header: Header, content: bytes, depth: int) -> tuple[Found, ...]:
        known = self._trees.get(header.oid)
        if known is None:
            if len(self._trees) > REMEMBERED:
                self._trees.clear()
            known = self._trees[header.oid] = tuple(self._look(header, content, depth))
        return known

    def _look(self, header: Header, content: bytes, depth: int) -> Iterator[Found]:
        if header.size > LARGEST or depth > DEEPEST:
            yield Found("not looked through", "a directory of very many files, or very deep")
            return
        left = 4 * NAMED
        for item in items(content, len(header.oid) // 2, header.oid):
            for one in self._item(item, depth) if left > 0 else ():
                left -= 1
                yield one

    def _item(self, item: Item, depth: int) -> Iterator[Found]:
        name = safe(item.name.decode(errors="replace"))
        if item.kind == DIRECTORY:
            for one in self._below(item.oid, depth + 1):
                yield Found(one.what, safe(f"{name}/{one.name}"))
        elif item.kind == SUBMODULE:
            yield Found("submodule, not in this backup", name)
        elif item.kind != LINK and (KEY.fullmatch(item.name) or (PEM.fullmatch(item.name) and self._is_key(item.oid))):
            yield Found("private key committed", name)

    def _below(self, oid: str, depth: int) -> tuple[Found, ...]:
        known = self._trees.get(oid)
        if known is not None:
            return known
        header = self.objects.must(oid, "tree")
        return self._tree(header, self.objects.whole(header) if header.size <= LARGEST else b"", depth)

    def _is_key(self, oid: str) -> bool:
        """Whether a file holds a private key; False where its content is not at hand, as of a repository elsewhere."""
        if oid not in self._files:
            if len(self._files) > REMEMBERED:
                self._files.clear()
            header = self.objects.find(oid)
            readable = header is not None and header.kind == "blob" and header.size <= LOOKED_INTO
            self._files[oid] = readable and header is not None and self._marked(header)
        return self._files[oid]

    def _marked(self, header: Header) -> bool:
        try:
            return bool(MARK.search(self.objects.whole(header)))
        except SourceError:  # a damaged file is found when it is restored
            return False
