"""A branch as backups: every commit that changed the configuration's directory, the newest first, as git finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain, islice, pairwise

from msgspec import Struct

from pacs_recover.errors import SourceError
from pacs_recover.model import Backup, Fact
from pacs_recover.sources import git_client, names
from pacs_recover.sources.git_objects import Objects
from pacs_recover.sources.git_repository import Repository
from pacs_recover.sources.git_secrets import LARGEST, Secrets
from pacs_recover.text import safe, stamp

RECORD = 1 << 16
"""Bytes of a commit that are held: the headers and the subject come first."""
WINDOW = 32
"""Commits that are looked into together."""
SHORT = 7
"""Digits of a commit's hash that tell apart what was committed in one second."""
WHO = re.compile(rb"(?P<name>.*?) ?<[^>]*> (?P<time>-?\d{1,20}) [+-]\d{1,6}", re.DOTALL)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FUTURE = "in the future: was the clock of the host right on which it was committed, and is this host's?"
SIGNED = "signed; who signed it is not checked here (git verify-commit)"


class Commit(Struct, frozen=True):
    """What a backup takes from a commit."""

    hash: str
    author: str
    """Safe to show, as is the subject."""
    subject: str
    committed: datetime | None
    """None where it is no date."""
    authored: datetime | None
    signed: bool

    @property
    def taken_at(self) -> datetime:
        """The committer's time; the epoch where there is none."""
        return self.committed or EPOCH


def backups(repository: Repository, source: str, directory: str) -> Iterator[Backup]:
    """Every commit in which the directory is there and differs from its parents'. SourceError, at last if at all."""
    ids, now, found = names.Ids(), datetime.now(UTC), False
    with closing(Secrets(Objects(repository))) as secrets:
        for window in _windows(_told_apart(commits(repository, directory))):
            trees = secrets.objects.trees([f"{commit.hash}:{directory}" for commit, _ in window], LARGEST)
            for (commit, oldest), tree in zip(window, trees, strict=True):
                if tree is None:
                    continue  # the commit that removed it
                found = True
                findings = (*facts(commit, now), *secrets.of(*tree))
                wanted = ids.unique(identity(commit, source, oldest), commit.hash)
                key = f"{commit.hash}:{directory}" if directory else commit.hash
                yield _backup(wanted, source, key, commit.taken_at, findings)
    if not found:
        what = f"no commit has a directory {safe(directory)}" if directory else "no commit has a file in it"
        raise SourceError(f"{repository.place.shown}: {what}", "mend `directory` or `branch` in the site file")


def _told_apart(found: Iterator[Commit]) -> Iterator[tuple[Commit, bool]]:
    """Each commit, and whether it is the oldest of its second (as far as they come one after the other)."""
    for commit, older in pairwise(chain(found, (None,))):
        if commit:
            yield commit, older is None or older.taken_at != commit.taken_at


def _windows(found: Iterator[tuple[Commit, bool]]) -> Iterator[list[tuple[Commit, bool]]]:
    """Commits that are looked into together: first one, so that it is soon told, then more and more."""
    most = 1
    while window := list(islice(found, most)):
        yield window
        most = min(2 * most, WINDOW)


def identity(commit: Commit, source: str, oldest: bool) -> str:
    """The id of a commit; of those of one second the oldest goes without its hash, as later ones may yet come."""
    own = "" if oldest else f"~{commit.hash[:SHORT]}"
    return f"config/{commit.taken_at:%Y%m%d_%H%M%S}{own}@{source}"


def _backup(id: str, source: str, key: str, taken_at: datetime, findings: tuple[Fact, ...]) -> Backup:
    return Backup(
        id=id,
        component="config",
        source=source,
        key=key,
        taken_at=taken_at,
        stored=key,
        format="tar",
        recorded=key.partition(":")[0],
        findings=findings,
    )


def commits(repository: Repository, directory: str) -> Iterator[Commit]:
    """Every commit of all lines of history that changed the directory, as soon as git finds it. SourceError."""
    words = ("--header", "--encoding=UTF-8", "--full-history", repository.tip, "--", directory or ".")
    git = git_client.Running(git_client.command("rev-list", *words), repository.variables)
    with closing(git):
        while record := git.until(b"\0", RECORD):
            yield parsed(record)
        if not git.ended_well():
            reason = f"{repository.place.shown}: older commits cannot be read: {git.complaint() or 'git was stopped'}"
            raise SourceError(reason, "the repository may be damaged: see git fsck")


def parsed(record: bytes) -> Commit:
    """A commit as ``git rev-list --header`` prints it: its hash, its headers, and its message indented."""
    head, _, message = record.partition(b"\n\n")
    hash, *lines = head.split(b"\n")
    headers = dict(line.split(b" ", 1) for line in reversed(lines) if b" " in line[1:])
    author, authored = _who(headers.get(b"author", b""))
    subject = next((line.strip() for line in message.split(b"\n") if line.strip()), b"")
    signed = any(name.startswith(b"gpgsig") for name in headers)
    committed = _who(headers.get(b"committer", b""))[1]
    return Commit(hash.decode(errors="replace"), author, _shown(subject), committed, authored, signed)


def _who(line: bytes) -> tuple[str, datetime | None]:
    found = WHO.fullmatch(line)
    if not found:
        return _shown(line), None
    try:
        return _shown(found["name"]), EPOCH + timedelta(seconds=int(found["time"]))
    except OverflowError:
        return _shown(found["name"]), None


def _shown(text: bytes) -> str:
    return safe(text.decode(errors="replace"))


def facts(commit: Commit, now: datetime) -> Iterator[Fact]:
    """Who committed what, and what is odd about when."""
    yield Fact("author", commit.author)
    yield Fact("subject", commit.subject)
    if commit.committed is None:
        yield Fact("time", "the commit's own time is no date", "warn")
    elif commit.committed > now + names.SKEW:
        yield Fact("time", FUTURE, "warn")
    elif commit.authored and abs(commit.authored - commit.committed) > names.FAR:
        yield Fact("authored", stamp(commit.authored))
    if commit.signed:
        yield Fact("signature", SIGNED)
