"""What earlier runs set aside, and what their rollbacks withdrew: kept, so that a restore can be undone by another."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pacs_recover.model import Backup
from pacs_recover.sources import Problem, names


class AsideSource:
    """The rooms in which the runs of these journals keep what was live before them."""

    name = "aside"
    kind = "aside"
    proof = "no recorded hash: it is what lived here"

    def __init__(self, journals: Iterable[Path]) -> None:
        self.journals = tuple(journals)

    def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
        """One backup for each part that still stands aside, and for each that a rollback withdrew."""
        ids = names.Ids()
        for path in self.journals:
            from pacs_recover.sources import set_aside  # deferred: most sites have no run

            yield from set_aside.listing(path, component, ids)

    @contextmanager
    def open(self, backup: Backup, scratch: Path) -> Iterator[BinaryIO]:  # noqa: ARG002 - the protocol's
        """A tar of the set, made while it is read. SourceError, here and by later reads."""
        from pacs_recover.formats.streams import CHUNK
        from pacs_recover.sources.tarball import Tarball

        tar = Tarball(Path(backup.key))
        with cast(BinaryIO, io.BufferedReader(tar, CHUNK)) as file:
            tar.begin()
            yield file
