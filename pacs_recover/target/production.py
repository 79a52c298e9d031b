"""What lives, in one look that changes nothing: to show that a drill left it as it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from pacs_recover.errors import RecoverError
from pacs_recover.events import LivePath
from pacs_recover.model import Service, ServiceState
from pacs_recover.target import places, trees
from pacs_recover.text import safe

SET = ("", "-wal", "-journal")
"""Files of a database; the -shm is a cache that every reader may change."""


UNREADABLE = "unreadable"


class Production(Struct, frozen=True):
    """What was seen, each part by its name."""

    parts: dict[str, str]
    """Of configuration and certificates a SHA-256 over names, modes, owners and contents; of the queue which file."""
    queue: dict[str, str]
    """SHA-256 of each file of the queue's set: while the service runs it goes on writing them."""
    services: dict[str, ServiceState]

    @property
    def sha256(self) -> str:
        """One hash over all of it."""
        rows = [*self.parts.items(), *self.queue.items(), *((n, s.activity) for n, s in self.services.items())]
        return hashlib.sha256("\n".join(f"{name} {value}" for name, value in sorted(rows)).encode()).hexdigest()


def look(live: Iterable[LivePath], services: Iterable[Service]) -> Production:
    """What lives now; what cannot be read is said in place of its hash."""
    parts: dict[str, str] = {}
    queue: dict[str, str] = {}
    for path in live:
        real = Path(path.real)
        if path.component == "queue":
            parts["queue"] = _read(_identity, real)
            queue |= {f"{real.name}{suffix}": _read(_digest, real.with_name(real.name + suffix)) for suffix in SET}
        else:
            parts[path.component] = _read(_digest, real)
    return Production(parts, queue, {service.name: service.state() for service in services})


def _read(how: object, path: Path) -> str:
    try:
        return str(how(path)) if places.identity(path) else "absent"  # type: ignore[operator]
    except (OSError, RecoverError) as error:
        return f"{UNREADABLE}: {type(error).__name__}"


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    for entry in trees.entries(path):
        total.update(f"{entry.name!r} {entry.kind} {entry.mode:o} {entry.uid} {entry.gid} {entry.sha256}\n".encode())
    return total.hexdigest()


def _identity(path: Path) -> str:
    with places.directory(path.parent) as parent:
        found = os.stat(path.name, dir_fd=parent, follow_symlinks=False)
    return f"inode {found.st_ino} of device {found.st_dev}, mode {found.st_mode:o}, owner {found.st_uid}:{found.st_gid}"


def differences(before: Production, after: Production) -> Iterator[str]:
    """What is not as it was, in words; rows that the running service wrote into its own queue are no difference."""
    for name in before.parts.keys() | after.parts.keys():
        if before.parts.get(name) != after.parts.get(name):
            yield f"the live {name} is not what it was"
    for name, value in (*after.parts.items(), *after.queue.items()):
        if value.startswith(UNREADABLE):
            yield f"the live {safe(name)} cannot be read, so it is not known whether it is what it was"
    for name, was in before.services.items():
        now = after.services[name]
        if (was.activity, was.restarts, was.pid) != (now.activity, now.restarts, now.pid):
            yield f"{safe(name)} was {was.detail} and is {now.detail}"
    if before.queue != after.queue and not _writes(before):
        yield "the live queue was written, though no service ran"


def sentence(before: Production, after: Production) -> str:
    """That nothing changed, with the hashes that show it."""
    if before.sha256 == after.sha256:
        return f"equal before and after: SHA-256 {before.sha256}, services {_states(after)}"
    fixed = Production(before.parts, {}, before.services).sha256
    return (
        f"equal before and after: SHA-256 {fixed} of configuration, certificates, the queue's file and the services "
        f"({_states(after)}); the queue's rows went on being written by the running service"
    )


def _writes(seen: Production) -> bool:
    """Whether somebody may write the queue: a service that runs, or one whose state nobody can tell."""
    return not seen.services or any(s.activity not in ("stopped", "failed", "absent") for s in seen.services.values())


def _states(seen: Production) -> str:
    return ", ".join(f"{safe(name)} {state.activity}" for name, state in seen.services.items()) or "none"
