"""The restorable parts: each knows how to unpack, preview, compare and restore one kind of backup."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import structs

from pacs_recover.errors import BadBackup, Interrupted, RecoverError, UsageError
from pacs_recover.events import Choice, Question
from pacs_recover.formats import age, archive, manifest, openssl_enc
from pacs_recover.formats.manifest import Opened, Record
from pacs_recover.formats.streams import Hashing, Reader, chunks
from pacs_recover.formats.wrapping import unwrap
from pacs_recover.model import COMPONENTS, Amount, Backup, Fact, Preview, Service, Step, Work
from pacs_recover.site import Site
from pacs_recover.target import places, trees
from pacs_recover.target.host import Target
from pacs_recover.target.trees import Entry
from pacs_recover.text import safe, size

Unpack = Generator[Amount, None, int]
"""Unpacks into a directory, reporting progress; returns the content's bytes."""


@dataclass(frozen=True)
class Look:
    """What a component needs to judge what it unpacked."""

    site: Site
    environment: Mapping[str, str] | None
    """The service's variables; None where they cannot be known."""
    live: Mapping[str, Path]
    """The live paths by component, links resolved."""
    restored: Mapping[str, Path] = field(default_factory=dict)
    """What is restored together, unpacked, by component; empty while each is looked at alone."""
    carry_over: bool = False
    """Whether messages that only the live queue has are kept."""


@dataclass(frozen=True)
class Job:
    """One run's restore, rebuilt from its journalled request alone."""

    look: Look
    choices: Mapping[str, Choice]
    questions: tuple[Question, ...]
    open: Callable[[Backup], AbstractContextManager[Opened]]
    services: tuple[Service, ...] = ()
    host: Target | None = None
    """None while only the checklist is wanted."""
    validation: tuple[Step, ...] | None = ()
    """What else the restored service is tried with, once it answers; None: it is not started at all."""

    @property
    def target(self) -> Target:
        """The machine that is restored; only steps that run may ask for it."""
        assert self.host is not None, "a checklist has no target"
        return self.host


class Component(Protocol):
    """One kind of backup and of live part."""

    name: str

    def unpack(self, raw: Reader, backup: Backup, into: Path, look: Look) -> Unpack:
        """Unpack into an empty private directory. BadBackup where the bytes are damaged or foreign; OSError."""
        ...

    def settle(self, content: Path, look: Look) -> None:
        """Turn copied live files into what ``unpack`` gives. BadBackup, OSError."""
        ...

    def preview(self, content: Path, look: Look) -> Preview:
        """What the unpacked content is; a fact in state ``bad`` forbids restoring it. BadBackup."""
        ...

    def compare(self, content: Path, look: Look, scratch: Path) -> Comparison:
        """What restoring it would change against the live part, which is only read."""
        ...

    def prepare(self, job: Job) -> Iterator[Step]:
        """The steps before the service is stopped: all that can fail."""
        ...

    def swap(self, job: Job) -> Iterator[Step]:
        """The steps while it is down: renames."""
        ...


@runtime_checkable
class ByBytes(Protocol):
    """A component whose judgement depends on nothing but the bytes that were unpacked."""

    def digest(self, content: Path) -> str:
        """The SHA-256 of what was judged. OSError."""
        ...


@runtime_checkable
class Afterwards(Protocol):
    """A component that also has something to tell once the restored site was proven."""

    def afterwards(self, job: Job) -> Iterator[Step]:
        """Steps that change nothing and never fail."""
        ...


@dataclass(frozen=True)
class Comparison:
    """What a restore would change."""

    changes: tuple[str, ...] = ()
    question: Question | None = None
    """What the operator has to accept before the service is stopped."""
    diff: tuple[str, ...] = ()
    """Lines of a difference, secrets masked."""
    replay: Mapping[str, Any] | None = None
    """The queue's numbers for the plan (``formats.replay.NUMBERS``); each None where it is unknown."""
    findings: tuple[Fact, ...] = ()
    """What has to be known of it beside that; a ``bad`` one forbids the restore."""
    carry_over_seconds: float | None = None
    """How much longer the service is down because messages are carried over."""


def read_backup(
    component: Component, backup: Backup, raw: Opened, into: Path, look: Look
) -> Generator[Amount, None, Read]:
    """Unpack a backup as stored, through its wrappings, and hold every byte against its recorded hash.

    Raises BadBackup, SourceError, OSError.
    """
    hashing = Hashing(raw)
    with naming(backup, look):
        try:
            key = look.site.key_file
            plain = unwrap(
                hashing, backup.format, lambda: openssl_enc.password_from(key), lambda: age.identity_from(key)
            )
            content = yield from component.unpack(plain, backup, into, look)
            hashing.drain()
        except BadBackup as error:
            yield from _told_apart(error, hashing, raw.record)
            raise
        manifest.must_match(raw.record, hashing)
    return Read(hashing.sha256, hashing.size, content, raw.record, raw.reached)


def _told_apart(error: BadBackup, hashing: Hashing, record: Record) -> Iterator[Amount]:
    """Say of what cannot be unpacked whether its bytes are those that were recorded. BadBackup."""
    if not record.sha256:
        return
    for _ in chunks(hashing):
        yield Amount(hashing.size, None)
    try:
        manifest.must_match(record, hashing)
    except BadBackup as changed:
        raise BadBackup(f"{changed.message}. {error.message}", changed.hint) from error
    raise BadBackup(error.message, f"{error.hint} {manifest.SINCE}".lstrip()) from error


def judge(component: Component, backup: Backup, read: Read, content: Path, look: Look) -> Preview:
    """What a backup is that was read to its end, and how it fits its record. BadBackup, SourceError."""
    with naming(backup, look):
        seen = component.preview(content, look)
    return structs.replace(seen, facts=(*seen.facts, *read.record.facts(backup.component, seen.details)))


def exhaust(
    work: Generator[Amount, None, Read],
    stopping: Callable[[], bool] = lambda: False,
    amount: Callable[[Amount], None] = lambda _: None,
) -> Read:
    """Read a backup to its end, telling each ``amount``, and say what was read; Interrupted once it is ``stopping``."""
    while not stopping():
        try:
            amount(next(work))
        except StopIteration as stop:
            read: Read = stop.value
            return read
    work.close()
    raise Interrupted("it is not read any further")


@contextmanager
def naming(backup: Backup, look: Look) -> Iterator[None]:
    """Have a BadBackup name the backup, and the key file that was used: formats know neither."""
    try:
        yield
    except BadBackup as error:
        if error.message.startswith(safe(backup.id)):
            raise
        key = f" The key file is {safe(look.site.key_file)}." if backup.encrypted else ""
        raise BadBackup(f"{safe(backup.id)}: {error.message}", error.hint + key) from error


def unpacking(part: Component, job: Job, title: str) -> Step:
    """The step that unpacks a component's backup into staging; whatever a cut run left there goes first."""

    def work() -> Work:
        choice, staging = job.choices[part.name], job.target.staging(part.name)
        places.remove_tree(staging)
        staging = job.target.staging(part.name)
        with job.open(choice.backup) as raw:
            read = yield from read_backup(part, choice.backup, raw, staging, job.look)
        if read.sha256 != choice.sha256:
            raise BadBackup(f"{safe(choice.backup.id)} is not what was planned: its hash differs", "plan again")
        return (
            f"{safe(choice.backup.id)}, {size(read.stored)} stored, {size(read.content)} unpacked, SHA-256 as planned"
            + (f"; {read.reached}" if read.reached else "")
        )

    return Step(title, work)


def unpack_tree(raw: Reader, into: Path, name: str, must_have: str, limits: archive.Limits) -> Unpack:
    """Unpack an archive of one directory (whatever it is called there) as ``into/name``. BadBackup, OSError."""
    (into / ".unpacked").mkdir(mode=0o700)
    extracted = yield from archive.extract(raw, into / ".unpacked", limits)
    inner = list((into / ".unpacked").iterdir())
    top = inner[0] if len(inner) == 1 and inner[0].is_dir() and not inner[0].is_symlink() else into / ".unpacked"
    if leaving := extracted.leaving(top.name) if top.parent != into else ():
        raise BadBackup(f"{safe(leaving[0])} is a link out of its tree", "choose another: pacs-recover catalog")
    if must_have and not (top / must_have).is_file():
        raise BadBackup(f"there is no {safe(must_have)} in it", "choose another: pacs-recover catalog")
    top.rename(into / name)
    places.remove_tree(into / ".unpacked")
    return extracted.bytes


def compare_trees(label: str, new: Path, live: Path, keep: Callable[[Entry], bool] = lambda _: False) -> Iterator[str]:
    """Files that would come, go or change, by name; what ``keep`` says stays is not among them. OSError."""
    if places.identity(live) is None:
        yield f"{label}: nothing lives there now; it will be created"
        return
    try:
        old = {e.name: e for e in trees.entries(live) if e.kind != "directory" and not keep(e)}
    except (OSError, RecoverError) as error:
        yield f"{label}: what lives cannot be compared ({error})"
        return
    fresh = {e.name: e for e in trees.entries(new) if e.kind != "directory" and not keep(e)}
    for name in sorted(old.keys() | fresh.keys()):
        if name not in fresh:
            yield f"{label}: {safe(name)} goes (it is kept aside; the backup lacks it)"
        elif name not in old:
            yield f"{label}: {safe(name)} comes"
        elif (old[name].kind, old[name].sha256) != (fresh[name].kind, fresh[name].sha256):
            yield f"{label}: {safe(name)} changes"


@dataclass(frozen=True)
class Read:
    """What reading a backup to its end gave."""

    sha256: str
    stored: int
    content: int
    record: Record = Record()  # noqa: RUF009 - a value
    """What its bytes were held against."""
    reached: str = ""
    """The point in time that a replica came to."""


def registry() -> dict[str, Component]:
    """Every component by name."""
    return {name: component(name) for name in COMPONENTS}


def component(name: str) -> Component:
    """The component of this name, which is its module's and, in capitals, its own there. UsageError."""
    if name not in COMPONENTS:
        raise UsageError(f"there is no component {safe(name)}", f"one of: {', '.join(COMPONENTS)}")
    part: Component = getattr(import_module(f"{__name__}.{name}"), name.upper())  # only what is asked for is loaded
    return part
