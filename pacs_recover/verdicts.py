"""What verifications found, by backup and by the hash of its bytes: small files, written once and never changed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from pacs_recover import __version__
from pacs_recover.authority import Authority
from pacs_recover.catalog import Catalog
from pacs_recover.durable import sync_directory
from pacs_recover.errors import SourceError
from pacs_recover.model import UNDECODABLE, Backup, VerdictState
from pacs_recover.site import BucketConfig, Site, to_json
from pacs_recover.text import safe, stamp

HOME = "verdicts"
"""Their directory in the state directory."""
NAME = re.compile(r"([0-9a-f]{32})-([0-9]{8}T[0-9]{12}Z)\.json")
"""Of whom, and when: the newest one holds."""
LARGEST = 1 << 20
"""Bytes of one file."""
CheckState = Literal["ok", "warn", "bad", "unproven"]


class Check(Struct, frozen=True):
    """One point of a verification."""

    name: str
    state: CheckState
    """``unproven``: it was not, or could not be, tried; that is never ``ok``."""
    evidence: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What one verification found of one backup, or a whole one of a site."""

    site: str
    backup: str
    """Its id; empty for a verification of the newest backup of every component."""
    at: datetime
    ok: bool
    checks: tuple[Check, ...] = ()
    taken_at: datetime | None = None
    stored: str = ""
    """The backup's key, size and ``stored`` as they were listed."""
    sha256: str = ""
    """Of the bytes as stored."""
    good_sha256: str = ""
    """Of the bytes that were found good last."""
    content: int = 0
    """Bytes, unpacked."""
    judged_by: str = ""
    """Changes with the site file and this program."""
    until: datetime | None = None
    """When its first certificate expires."""


class Store(Protocol):
    """Where verdicts are kept."""

    def names(self) -> list[str]:
        """The names of all. SourceError."""
        ...

    def read(self, name: str) -> bytes:
        """One of them. SourceError."""
        ...

    def create(self, name: str, data: bytes, authority: Authority) -> None:
        """Keep one under a name that is not taken yet, durably. Refused, SourceError."""
        ...


class Directory:
    """Verdicts in a directory, which several hosts may share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """The names of all. SourceError."""
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed("read", error) from error

    def read(self, name: str) -> bytes:
        """One of them. SourceError."""
        try:
            with (self.path / name).open("rb") as file:
                return file.read(LARGEST)
        except OSError as error:
            raise self._failed("read", error) from error

    def create(self, name: str, data: bytes, authority: Authority) -> None:
        """Written and synced beside it, then given a name that must be free. Refused, SourceError."""
        authority.must_allow("keeping a verdict")
        draft = self.path / f".{os.urandom(8).hex()}"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, self.path / name)
            sync_directory(self.path)
        except OSError as error:
            raise self._failed("written", error) from error
        finally:
            with suppress(OSError):
                draft.unlink()

    def _failed(self, what: str, error: OSError) -> SourceError:
        return SourceError(
            f"the verdicts in {safe(self.path)} cannot be {what}: {error.strerror}",
            "see to its rights and its disk, or name another place: --verdicts DIR",
        )


class Empty(Directory):
    """What stands for verdicts that cannot be read."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))

    def names(self) -> list[str]:
        """None."""
        return []


def store_at(place: str, endpoint: str | None = None) -> Store:
    """The store in a directory or at ``s3://bucket/prefix``."""
    if not place.startswith("s3://"):
        return Directory(Path(place).absolute())
    from pacs_recover.sources.s3.kept import Kept

    said = urlsplit(place)
    prefix = said.path.strip("/")
    return Kept(BucketConfig(bucket=said.netloc, prefix=f"{prefix}/" if prefix else "", endpoint=endpoint))


class Verdicts:
    """The newest verdict of each backup, from one store."""

    def __init__(self, store: Store, authority: Authority, warn: Callable[[str], None] = lambda _: None) -> None:
        """Lists the store. SourceError."""
        self.store, self.authority, self.warn = store, authority, warn
        self._newest: dict[str, str] = {}
        for name in sorted(store.names()):
            if match := NAME.fullmatch(name):
                self._newest[match[1]] = name

    def __bool__(self) -> bool:
        return bool(self._newest)

    def newest(self, site: str, backup: str = "") -> Verdict | None:
        """What was found of a backup last; one that cannot be read counts as none, and is told."""
        name = self._newest.get(place(site, backup))
        if name is None:
            return None
        try:
            found = msgspec.json.decode(self.store.read(name), type=Verdict)
        except SourceError as error:
            return self.warn(error.message)
        except UNDECODABLE:
            return self.warn(f"the verdict {name} is damaged: it counts as none")
        return found if (found.site, found.backup) == (site, backup) else None

    def keep(self, verdict: Verdict) -> None:
        """Keep a verdict; where that fails it is told, as what was found is no less true. Nothing when read-only."""
        if self.authority.read_only:
            return
        name = f"{place(verdict.site, verdict.backup)}-{verdict.at.astimezone(UTC):%Y%m%dT%H%M%S%f}Z.json"
        try:
            self.store.create(name, msgspec.json.encode(verdict), self.authority)
        except SourceError as error:
            self.warn(f"a verdict is not kept: {error.message}")
        else:
            self._newest[name[:32]] = name

    def mark(self, site: str, found: Catalog) -> Catalog:
        """The same backups, each with what was found of it."""
        if not self:
            return found
        return Catalog(tuple(self._marked(site, one) for one in found.backups), found.sources, found.files)

    def _marked(self, site: str, backup: Backup) -> Backup:
        known = self.newest(site, backup.id)
        if known is None:
            return backup
        state = state_of(known, backup)
        return msgspec.structs.replace(backup, verdict=state, verified=stamp(known.at) if state == "good" else None)


def known(state: Path, authority: Authority, warn: Callable[[str], None] = lambda _: None) -> Verdicts:
    """The verdicts of a state directory; where they cannot be read there are none, which is told."""
    try:
        return Verdicts(Directory(state / HOME), authority, warn)
    except SourceError as error:
        warn(error.message)
        return Verdicts(Empty(), authority, warn)


def place(site: str, backup: str) -> str:
    """What a backup's verdicts are named by."""
    return hashlib.sha256(f"{site}\0{backup}".encode()).hexdigest()[:32]


def stored(backup: Backup) -> str:
    """What tells that a backup's bytes were exchanged, without reading them."""
    return f"{backup.key} {backup.size} {backup.stored}"


def state_of(known: Verdict, backup: Backup) -> VerdictState:
    """What a verdict says of a backup as it is listed now."""
    if known.stored != stored(backup):
        return "stale"
    return "failed" if not known.ok else "stale" if is_past(known) else "good"


def is_past(known: Verdict) -> bool:
    """Whether a certificate in it has expired since."""
    return known.until is not None and known.until <= datetime.now(UTC)


TOLD = {"good": "verified {}", "failed": "VERIFICATION FAILED", "stale": "changed since it was verified"}


def told(backup: Backup) -> str:
    """What was found of a backup, in words; it was verified once."""
    return TOLD[backup.verdict].format(safe(backup.verified))


def judge_of(site: Site) -> str:
    """What changes wherever the same bytes could be judged otherwise."""
    return hashlib.sha256(__version__.encode() + to_json(site)).hexdigest()[:16]
