"""The restorable parts: each knows how to unpack, preview, compare and restore one kind of backup."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from pacs_recover.errors import UsageError
from pacs_recover.events import Choice, Question
from pacs_recover.formats import openssl_enc
from pacs_recover.formats.streams import Hashing, Reader
from pacs_recover.formats.wrapping import unwrap
from pacs_recover.model import Amount, Backup, Preview, Service, Step
from pacs_recover.site import Site
from pacs_recover.target.host import Target
from pacs_recover.text import safe

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


@dataclass(frozen=True)
class Job:
    """One run's restore, rebuilt from its journalled request alone."""

    look: Look
    choices: Mapping[str, Choice]
    questions: tuple[Question, ...]
    open: Callable[[Backup], AbstractContextManager[BinaryIO]]
    services: tuple[Service, ...] = ()
    host: Target | None = None
    """None while only the checklist is wanted."""

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


@dataclass(frozen=True)
class Comparison:
    """What a restore would change."""

    changes: tuple[str, ...] = ()
    question: Question | None = None
    """What the operator has to accept before the service is stopped."""
    diff: tuple[str, ...] = ()
    """Lines of a difference, secrets masked."""
    replay: Mapping[str, int | None] | None = None
    """The queue's numbers for the plan: ``resent``, ``dead_lettered``, ``lost_since``; None where unknown."""


def read_backup(
    component: Component, backup: Backup, raw: BinaryIO, into: Path, look: Look
) -> Generator[Amount, None, Read]:
    """Unpack a backup as stored, through its wrappings, hashing every byte. BadBackup, SourceError, OSError."""
    hashing = Hashing(raw)
    plain = unwrap(hashing, backup.format, lambda: openssl_enc.password_from(look.site.key_file))
    content = yield from component.unpack(plain, backup, into, look)
    hashing.drain()
    return Read(hashing.sha256, hashing.size, content)


@dataclass(frozen=True)
class Read:
    """What reading a backup to its end gave."""

    sha256: str
    stored: int
    content: int


def registry() -> dict[str, Component]:
    """Every component by name; a new one is one more file and one more line."""
    from pacs_recover.components import certs, config, logs, queue

    return {part.name: part for part in (config.CONFIG, certs.CERTS, queue.QUEUE, logs.LOGS)}


def component(name: str) -> Component:
    """The component of this name. UsageError."""
    try:
        return registry()[name]
    except KeyError:
        raise UsageError(f"there is no component {safe(name)}", f"one of: {', '.join(registry())}") from None
