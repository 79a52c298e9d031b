"""A repository's objects as git reads them without its settings: of this host in place, of another one fetched.

Git is never run inside the repository. A private directory of ours stands for it and borrows only its objects, so that
neither its settings, hooks, attributes, filters, grafts, replacements nor its promise to fetch what lacks have a say.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from pacs_recover.errors import SourceError
from pacs_recover.services.calls import Answer
from pacs_recover.sources import git_client
from pacs_recover.sources.file import hint_for, unreadable
from pacs_recover.sources.git_places import KINDS, Place, branch_reference, explained
from pacs_recover.text import safe

HERE = "refs/heads/source"
"""What a fetched history is called in our own directory."""
LISTED = 45.0
"""Seconds that fetching a history may take: the catalog waits no longer."""
OPENED = 900.0
"""Seconds that fetching one commit may take."""
FETCH = ("fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--no-auto-gc", "--refmap=")
ALGORITHMS = ("sha1", "sha256")


class Repository(Struct, frozen=True):
    """Objects that git can read."""

    place: Place
    variables: dict[str, str]
    algorithm: str = "sha1"
    tip: str = ""
    """The commit at which a listing begins."""


@contextmanager
def history(place: Place, branch: str | None) -> Iterator[Repository]:
    """A repository with the commits and trees of a branch. SourceError."""
    with private(None) as home:
        if place.path:
            repository, layout = _local(place, place.path, home)
            yield _with_tip(repository, _tip(place, layout, branch))
        else:
            yield _fetched(place, home, f"+{branch_reference(branch)}:{HERE}", branch)


@contextmanager
def commit(place: Place, branch: str | None, key: str, scratch: Path) -> Iterator[Repository]:
    """A repository with one commit and all that it holds; one of another host is fetched into scratch. SourceError."""
    with private(None if place.path else scratch) as home:
        if place.path:
            yield _local(place, place.path, home)[0]
        else:
            yield _one_commit(place, home, branch, key)


@contextmanager
def private(parent: Path | None) -> Iterator[Path]:
    """A directory that only we can enter, and that is gone afterwards. SourceError."""
    try:
        home = tempfile.mkdtemp(prefix="pacs-recover-git-", dir=parent)
    except OSError as error:
        raise SourceError(
            f"no temporary directory can be made: {error.strerror}", "make room, or set TMPDIR"
        ) from error
    try:
        yield Path(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


class _Layout(Struct, frozen=True):
    git: str
    objects: str
    common: str


def _local(place: Place, path: Path, home: Path) -> tuple[Repository, _Layout]:
    git = _git_directory(place, path)
    words = ("--path-format=absolute", "--git-path", "objects", "--git-common-dir", "--show-object-format")
    answer = _asked(git, "rev-parse", *words)
    lines = answer.output.splitlines()
    if answer.code or len(lines) != 3 or lines[2] not in ALGORITHMS:
        raise explained(place, answer.complaint)
    layout, own = _Layout(git, lines[0], lines[1]), home / "git"
    plant(own, lines[2])
    with suppress(FileNotFoundError):
        shutil.copyfile(Path(layout.common) / "shallow", own / "shallow")
    variables = git_client.environment(GIT_DIR=str(own), GIT_OBJECT_DIRECTORY=layout.objects)
    return Repository(place, variables, lines[2]), layout


def _git_directory(place: Place, path: Path) -> str:
    """Where git keeps a repository: in ``.git`` or, bare, in itself; directories above are never tried. SourceError."""
    try:
        inside = os.listdir(path)
        own = str(path / ".git") if ".git" in inside else str(path)
        if ".git" in inside or {"HEAD", "objects"} <= set(inside):
            os.stat(own)
            return own
    except OSError as error:
        raise unreadable(path, error) from error
    raise SourceError(f"{place.shown} is no Git repository", KINDS)


def _asked(git: str, *words: str) -> Answer:
    """A question that reads no object; should one be missing all the same, no protocol is allowed to get it."""
    return git_client.ask(git_client.command(f"--git-dir={git}", *words, trusted="*"), git_client.environment())


def _tip(place: Place, layout: _Layout, branch: str | None) -> str:
    full = branch_reference(branch)
    tries = [full] if branch is None or full == branch else [full, f"refs/remotes/{branch}", f"refs/tags/{branch}"]
    for reference in tries:
        answer = _asked(layout.git, "show-ref", "--verify", reference)
        if answer.code == 0 and answer.output:
            return answer.output.split()[0]
    raise _no_tip(place, layout, branch, answer.complaint)


def _no_tip(place: Place, layout: _Layout, branch: str | None, said: str) -> SourceError:
    listed = _asked(layout.git, "for-each-ref", "--count=10", "--format=%(refname:short)", "refs/heads")
    if "not a valid ref" not in said or listed.code:
        return explained(place, said if "not a valid ref" not in said else listed.complaint)
    known = ", ".join(safe(line) for line in listed.output.splitlines())
    if not known:
        return SourceError(
            f"{place.shown} is an empty repository: it has no commits", "is it the one that is pushed to?"
        )
    what = f"there is no branch {safe(branch)}" if branch else "its HEAD names no branch that exists"
    return SourceError(f"{place.shown}: {what}", f"set `branch` in the site file to one that it has: {known}")


def plant(own: Path, algorithm: str) -> None:
    """An empty repository of ours, without templates. SourceError."""
    version = f"1\n[extensions]\n\tobjectformat = {algorithm}" if algorithm != "sha1" else "0"
    try:
        for below in ("refs/heads", "objects/info", "objects/pack"):
            (own / below).mkdir(parents=True)
        (own / "HEAD").write_text(f"ref: {HERE}\n")
        (own / "config").write_text(f"[core]\n\tbare = true\n\trepositoryformatversion = {version}\n")
    except OSError as error:
        raise SourceError(f"cannot write {safe(own)}: {error.strerror}", hint_for(error)) from error


def _fetched(place: Place, home: Path, what: str, branch: str | None) -> Repository:
    """Commits and trees of a branch; no file's content, where the other host knows how to leave it out. SourceError."""
    for algorithm in ALGORITHMS:
        repository = _planted(place, home, algorithm)
        said = _fetch(repository, LISTED, "--filter=blob:none", "--", place.url, what)
        if not said:
            return _with_tip(repository, HERE)
        if "mismatched algorithms" not in said:
            break
    raise explained(place, said, branch)


def _one_commit(place: Place, home: Path, branch: str | None, key: str) -> Repository:
    """One commit alone or, where the other host gives none by its hash, the whole branch. SourceError."""
    repository = _planted(place, home, "sha256" if len(key) == 64 else "sha1")
    said = _fetch(repository, OPENED, "--depth=1", "--", place.url, key)
    if said:
        said = _fetch(repository, OPENED, "--", place.url, f"+{branch_reference(branch)}:{HERE}")
    if said:
        raise explained(place, said, branch)
    return repository


def _planted(place: Place, home: Path, algorithm: str) -> Repository:
    own = home / algorithm
    plant(own, algorithm)
    return Repository(place, git_client.environment(GIT_DIR=str(own)), algorithm)


def _fetch(repository: Repository, longest: float, *words: str) -> str:
    """What git complained of; nothing where it went well. SourceError where it does not end in time."""
    place = repository.place
    variables = repository.variables | {"GIT_ALLOW_PROTOCOL": place.protocol}
    silence = git_client.CONNECT + 1 if longest == LISTED else git_client.SILENCE
    try:
        return git_client.watched(git_client.command(*FETCH, *words), variables, silence, longest)
    except SourceError as error:
        raise SourceError(f"{place.shown}: {error.message}", error.hint) from error


def _with_tip(repository: Repository, tip: str) -> Repository:
    return Repository(repository.place, repository.variables, repository.algorithm, tip)
