"""The configuration as a commit of its Git repository: no key, no secret in it, pushed, and read back from there."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pacs_recover.components import Look
from pacs_recover.errors import RecoverError, SourceError
from pacs_recover.formats import masking, streams
from pacs_recover.formats.manifest import Opened, Record
from pacs_recover.formats.tar import Member, Tar
from pacs_recover.making.artifact import maker
from pacs_recover.making.destinations import Stored
from pacs_recover.making.live import Taken
from pacs_recover.making.sealing import proof
from pacs_recover.model import Backup
from pacs_recover.site import GitConfig
from pacs_recover.sources import git_client
from pacs_recover.sources.file import opened
from pacs_recover.sources.git import GitSource
from pacs_recover.sources.git_places import Place, branch_reference, directory_of, explained, place_of
from pacs_recover.sources.git_repository import plant, private
from pacs_recover.sources.git_secrets import KEY, MARK
from pacs_recover.text import safe

MADE = "refs/heads/made"
TIP = "refs/heads/tip"
USUAL = "refs/heads/main"
"""The branch that an empty repository gets."""
TRIES = 3
"""Attempts where somebody else pushes meanwhile."""
PATIENCE = 300.0
"""Seconds that a fetch or a push may take."""
LARGEST = 16 << 20
"""Bytes of a file of a configuration; what is larger is none, and is not looked through for secrets."""
REJECTED = ("[rejected]", "fetch first", "non-fast-forward", "cannot lock ref")
OUT = "put its value into the service's environment and its name here: ${NAME}"


@dataclass(frozen=True)
class History:
    """The repository that a source reads, pushed to."""

    config: GitConfig
    site_name: str

    @property
    def name(self) -> str:
        """What the site calls it."""
        return self.config.name

    def store(self, taken: Taken, look: Look, scratch: Path) -> Stored:
        """Commit and push the configuration that was taken, if it changed. RecoverError, SourceError, OSError."""
        place, below = place_of(self.config.repository), directory_of(self.config.directory)
        refuse_secrets(taken)
        with private(scratch) as home:
            for _ in range(TRIES):
                attempt = _Attempt(place, self.config.branch, below, home / "git")
                commit = attempt.commit(taken, f"Configuration of {self.site_name}\n")
                if commit is None:
                    return self._proven(attempt.tip, look, scratch, "unchanged since that commit")
                if attempt.push():
                    return self._proven(commit, look, scratch)
        raise SourceError(f"{place.shown}: others push there all the time", "try again")

    def _proven(self, commit: str, look: Look, scratch: Path, note: str = "") -> Stored:
        """A commit, read from the repository as a restore does. RecoverError, SourceError, OSError."""
        source = GitSource(self.name, self.config.repository, self.config.branch, self.config.directory)
        backup = _listed(source, commit)
        with source.open(backup, scratch) as raw:
            found, _ = proof(backup, Opened(raw, Record(source.proof)), look, scratch)
        return Stored(backup.id, note, found)


def _listed(source: GitSource, commit: str) -> Backup:
    """The backup that a commit is, or that the last commit below it is which changed the configuration. SourceError."""
    first = None
    for found in source.listing("config"):
        if not isinstance(found, Backup):
            raise SourceError(found.reason, found.hint)
        first = first or found
        if found.key.partition(":")[0] == commit:
            return found
    if first is None:
        raise SourceError(f"what was pushed to {safe(source.name)} is not there", "try by hand: git ls-remote")
    return first


def refuse_secrets(taken: Taken) -> None:
    """RecoverError where a file holds a key or a secret: what is in a history stays readable there for ever."""
    for member, content in _files(taken):
        name = _below(member.name)
        head = streams.exactly(content, LARGEST + 1)
        if len(head) > LARGEST:
            raise RecoverError(f"{safe(name)} is too large for a configuration", "keep it out of the configuration")
        if KEY.fullmatch(os.fsencode(name.rpartition("/")[2])) or MARK.search(head):
            raise RecoverError(
                f"{safe(name)} holds a private key, which Git would keep", "keep it with the certificates"
            )
        if lines := masking.secret_lines(head.decode(errors="replace")):
            where = f"line {', '.join(map(str, lines[:5]))}"
            raise RecoverError(f"{safe(name)} holds a secret, which Git would keep ({where})", OUT)


def _below(name: str) -> str:
    """A member's name without that of the tree."""
    return name.partition("/")[2]


class _Attempt:
    """One commit on top of what the repository has now."""

    def __init__(self, place: Place, branch: str | None, below: str, own: Path) -> None:
        self.place, self.below = place, below
        self.url = place.url or f"file://{place.path}"
        shutil.rmtree(own, ignore_errors=True)
        plant(own, "sha1")
        self.variables = git_client.environment(GIT_DIR=str(own)) | {"GIT_ALLOW_PROTOCOL": place.protocol or "file"}
        self.branch, self.tip = self._remote(branch)

    def _remote(self, branch: str | None) -> tuple[str, str]:
        """The branch to push to, and its newest commit, fetched; nothing where there is none yet. SourceError."""
        self._must_be_there()
        wanted = branch_reference(branch)
        answer = git_client.ask(git_client.command("ls-remote", "--symref", "--", self.url, wanted), self.variables)
        if answer.code:
            raise explained(self.place, answer.complaint)
        lines = [line.split("\t") for line in answer.output.splitlines() if "\t" in line]
        named = next((said.removeprefix("ref: ") for said, _ in lines if said.startswith("ref: ")), "")
        full = named or (USUAL if wanted == "HEAD" else wanted)
        if not any(name == wanted and not said.startswith("ref: ") for said, name in lines):
            return full, ""
        self._run("fetch", "--progress", "--depth=1", "--no-tags", "--", self.url, f"+{full}:{TIP}")
        return full, self._asked("rev-parse", TIP)

    def _must_be_there(self) -> None:
        if self.place.path and not self.place.path.is_dir():
            hint = f"is its disk mounted? a new one: git init --bare {self.place.shown}"
            raise SourceError(f"there is no repository {self.place.shown}", hint)

    def commit(self, taken: Taken, message: str) -> str | None:
        """Make it here; None where the configuration is what the repository has. RecoverError, SourceError, OSError."""
        with _importing(self.variables) as stream:
            self._import(stream, taken, message)
        if self.tip and self._tree(MADE) == self._tree(TIP):
            return None
        return self._asked("rev-parse", MADE)

    def _tree(self, commit: str) -> str:
        return self._asked("rev-parse", f"{commit}^{{tree}}")

    def _import(self, stream: BinaryIO, taken: Taken, message: str) -> None:
        """What git fast-import reads (git-fast-import(1))."""
        who = safe(maker().replace("<", "").replace(">", ""))
        when = int(datetime.now(UTC).timestamp())
        stream.write(f"commit {MADE}\ncommitter {who} <{who}@pacs-recover> {when} +0000\n".encode())
        stream.write(_data(message.encode()))
        if self.tip:
            stream.write(f"from {self.tip}\n".encode())
        stream.write(b"D " + _quoted(self.below) + b"\n" if self.below else b"deleteall\n")
        for member, content in _entries(taken):
            name = f"{self.below}/{_below(member.name)}" if self.below else _below(member.name)
            stream.write(b"M %s inline %s\ndata %d\n" % (_mode(member), _quoted(name), _length(member)))
            for _ in streams.copy(content, stream):
                pass
            stream.write(b"\n")

    def push(self) -> bool:
        """Whether the repository took it; False where somebody else was faster. SourceError."""
        said = self._watched("push", "--progress", "--", self.url, f"{MADE}:{self.branch}")
        if not said:
            return True
        if any(sign in said for sign in REJECTED):
            return False
        if "refusing to update checked out branch" in said:
            raise SourceError(
                f"{self.place.shown} is somebody's working directory, whose branch is not pushed to",
                "name a bare repository (git init --bare), or another branch",
            )
        raise explained(self.place, said)

    def _run(self, *words: str) -> None:
        if said := self._watched(*words):
            raise explained(self.place, said)

    def _watched(self, *words: str) -> str:
        try:
            return git_client.watched(git_client.command(*words), self.variables, git_client.SILENCE, PATIENCE)
        except SourceError as error:
            raise SourceError(f"{self.place.shown}: {error.message}", error.hint) from error

    def _asked(self, *words: str) -> str:
        answer = git_client.ask(git_client.command(*words), self.variables)
        if answer.code:
            raise explained(self.place, answer.complaint)
        return answer.output.strip()


@contextmanager
def _importing(variables: dict[str, str]) -> Iterator[BinaryIO]:
    """The input of a git that makes a commit of it. SourceError where it does not."""
    command = git_client.command("fast-import", "--quiet", "--force")
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=variables, cwd="/"
        )
    except OSError as error:
        raise git_client.not_installed(error) from error
    assert process.stdin
    assert process.stderr
    try:
        yield process.stdin  # type: ignore[misc]
        process.stdin.close()
        said = process.stderr.read(git_client.TAIL)
        if process.wait(git_client.SILENCE):
            raise SourceError(f"git made no commit: {git_client.complaint(said)}", "see whether this disk has room")
    except BrokenPipeError as error:
        said = process.stderr.read(git_client.TAIL)
        raise SourceError(
            f"git made no commit: {git_client.complaint(said)}", "see whether this disk has room"
        ) from error
    finally:
        git_client.end(process)


def _entries(taken: Taken) -> Iterator[tuple[Member, streams.Reader]]:
    """Every file and link of an archive, with its content; a link's is where it points."""
    with opened(taken.path) as raw:
        tar = Tar(raw, taken.path.stat().st_size)
        for member in tar.members():
            if member.kind == "file":
                yield member, streams.Pieces(tar.content())
            elif member.kind == "symlink":
                yield member, streams.Pieces(iter([os.fsencode(member.target)]))


def _files(taken: Taken) -> Iterator[tuple[Member, streams.Reader]]:
    return ((member, content) for member, content in _entries(taken) if member.kind == "file")


def _mode(member: Member) -> bytes:
    if member.kind == "symlink":
        return b"120000"
    return b"100755" if member.mode & stat.S_IXUSR else b"100644"


def _length(member: Member) -> int:
    return len(os.fsencode(member.target)) if member.kind == "symlink" else member.size


def _quoted(name: str) -> bytes:
    """A path as git fast-import takes any."""
    escaped = os.fsencode(name).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
