"""The configuration's own Git history, on this host or another: every commit is a backup."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pacs_recover.errors import SourceError
from pacs_recover.formats.streams import CHUNK
from pacs_recover.model import Backup
from pacs_recover.sources import Problem, git_history, git_repository
from pacs_recover.sources.git_objects import Objects
from pacs_recover.sources.git_places import directory_of, place_of
from pacs_recover.sources.git_tar import CommitTar
from pacs_recover.text import safe


class GitSource:
    """The commits of one branch that changed one directory."""

    kind = "git"
    proof = "Git's own hash of every object, from the commit on"

    def __init__(self, name: str, repository: str, branch: str | None = None, directory: str = "") -> None:
        self.name = name
        self.repository = repository
        """A path, or a URL of ssh, https or file."""
        self.branch = branch
        """None: the repository's own HEAD."""
        self.directory = directory
        """Of the configuration inside the repository."""

    def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
        """The commits, newest first, while git still reads; what is elsewhere is fetched without files' content."""
        if component not in (None, "config"):
            return
        try:
            place, directory = place_of(self.repository), directory_of(self.directory)
            with git_repository.history(place, self.branch) as repository:
                yield from git_history.backups(repository, self.name, directory)
        except SourceError as error:
            yield Problem(safe(self.name), error.message, error.hint)

    @contextmanager
    def open(self, backup: Backup, scratch: Path) -> Iterator[BinaryIO]:
        """A tar of the commit's directory; a commit of another host is fetched into scratch. SourceError."""
        commit, place = backup.key.partition(":")[0], place_of(self.repository)
        with (
            git_repository.commit(place, self.branch, commit, scratch) as repository,
            closing(Objects(repository)) as objects,
            CommitTar(objects, backup.key) as tar,
            cast(BinaryIO, io.BufferedReader(tar, CHUNK)) as file,
        ):
            tar.begin()
            yield file
