"""Proving one stored backup by the guide's seven points: read to its end, judged, on request started in a sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pacs_recover import drilling, looks
from pacs_recover.authority import Authority
from pacs_recover.components import Look, Read, component, exhaust, judge, read_backup
from pacs_recover.drill import STARTED
from pacs_recover.errors import BadBackup, Interrupted, RecoverError, SourceError, UsageError
from pacs_recover.formats import age, manifest, openssl_enc
from pacs_recover.formats.manifest import Opened
from pacs_recover.formats.openssl_enc import Decrypting
from pacs_recover.formats.streams import CHUNK, Hashing, Reader, chunks
from pacs_recover.jobs import opener
from pacs_recover.model import LIVE, Backup, Fact, Preview
from pacs_recover.report import reading
from pacs_recover.site import Site
from pacs_recover.site.sources import LitestreamConfig
from pacs_recover.sources import replica_of
from pacs_recover.sources.file import FileSource
from pacs_recover.sources.litestream import LitestreamSource
from pacs_recover.state import State
from pacs_recover.text import safe, seconds
from pacs_recover.verdicts import Check

EXISTS = "Backup file exists and has expected size"
DECRYPTS = "Backup can be decrypted"
EXTRACTS = "Backup can be extracted"
CONTENT = {
    "config": "Configuration validates successfully",
    "certs": "Certificates verify successfully",
    "queue": "Database integrity check passes",
}
"""The guide's checklist, each point where it applies; the last one is ``STARTED``."""
SAME = "Litestream's own program restores the same"
READ = "It can be read"

Open = Callable[[Backup], AbstractContextManager[Opened]]


@dataclass(frozen=True)
class Proven:
    """What came of one backup."""

    checks: tuple[Check, ...]
    sha256: str = ""
    """Of the bytes as stored; empty where they were not read to their end."""
    content: int = 0
    """Bytes, unpacked."""
    until: datetime | None = None
    """When its first certificate expires."""
    is_read: bool = True
    """False: its source could not be read, which tells nothing of the backup."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return all(check.state != "bad" for check in self.checks)


def prove(
    site: Site,
    backup: Backup,
    state: State,
    look: Look,
    binary: Path | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Proven:
    """Read a backup to its end and judge it; a point of a replica also against the program, where one is given.

    Interrupted.
    """
    with state.audit.noting("verify", backup.id, site.name) as entry:
        found = _proven(site, backup, state, look, stopping)
        if binary and found.ok:
            found = _cross_checked(found, site, backup, state, binary)
        entry.outcome = "good" if found.ok else "bad" if found.is_read else "not read"
    return found


def _proven(site: Site, backup: Backup, state: State, look: Look, stopping: Callable[[], bool]) -> Proven:
    try:
        with state.scratch() as scratch:
            into = scratch / "content"
            into.mkdir(mode=0o700)
            return _judged(site, backup, state, look, into, opener(site, state.journals(), scratch), stopping)
    except Interrupted:
        raise
    except RecoverError as error:
        return Proven((Check(READ, "bad", told(error)),), is_read=False)
    except OSError as error:  # no room to unpack it, for one
        return Proven((Check(READ, "bad", safe(error.strerror or error)),), is_read=False)


def _judged(
    site: Site, backup: Backup, state: State, look: Look, into: Path, open: Open, stopping: Callable[[], bool]
) -> Proven:
    part = component(backup.component)
    try:
        with open(backup) as raw:
            done = exhaust(read_backup(part, backup, raw, into, look), stopping)
    except BadBackup as error:
        return _diagnosed(site, backup, open, error)
    try:
        seen = judge(part, backup, done, into, look)
        beside = (*backup.findings, *looks.told(site, backup, state))
    except BadBackup as error:
        seen, beside = Preview((Fact("content", told(error), "bad"),)), ()
    return concluded(site, backup, done, seen, into, beside)


def concluded(site: Site, backup: Backup, done: Read, seen: Preview, into: Path, beside: Sequence[Fact] = ()) -> Proven:
    """What is found of a backup that was read to its end into a directory, by what was seen there and ``beside`` it."""
    points = [_sized(backup, done.stored, done.record.said)]
    points += [Check(DECRYPTS, "ok", "with the site's key")] if backup.encrypted else []
    points.append(Check(EXTRACTS, "ok", _extracted(done)))
    checks = (*points, *_content(site, backup, into, (*seen.facts, *beside)))
    return Proven(checks, done.sha256, done.content, _until(seen.details))


def _extracted(done: Read) -> str:
    reached = f"; {done.reached}" if done.reached else ""
    return f"{done.content:,} bytes unpacked, SHA-256 {done.sha256[:16]}{reached}"


def _content(site: Site, backup: Backup, into: Path, facts: Sequence[Fact]) -> tuple[Check, ...]:
    """The point of its component, and what else there is to know."""
    point = CONTENT.get(backup.component)
    beside = ("warn",) if point else ("warn", "bad")
    others = tuple(Check(fact.label, fact.state, fact.value) for fact in facts if fact.state in beside)
    if point is None:
        return others
    bad = [f"{fact.label}: {fact.value}" for fact in facts if fact.state == "bad"]
    said = [] if bad else [f"{fact.label}: {fact.value}" for fact in facts if fact.state == "ok"][:1]
    if backup.component == "config" and not bad:
        from pacs_recover.components import config  # deferred: it loads what certificates are read with

        try:
            said = [config.validate(site.validator, into / config.TREE / site.live.config_file)]
        except RecoverError as error:  # a validator that is not there has proven nothing
            bad = [told(error)]
    return (Check(point, "bad" if bad else "ok", "; ".join(bad or said)), *others)


def _sized(backup: Backup, found: int, record: str) -> Check:
    if found == 0:
        return Check(EXISTS, "bad", "it is empty")
    if backup.size is not None and found != backup.size and (backup.stored or backup.source == FileSource.name):
        return Check(EXISTS, "bad", f"{found:,} bytes were read, {backup.size:,} are listed")
    return Check(EXISTS, "ok", f"{found:,} bytes; {record}")


def _diagnosed(site: Site, backup: Backup, open: Open, error: BadBackup) -> Proven:
    """Which point a bad backup fails, by reading it again layer by layer. SourceError, OSError."""
    hashing: Hashing | None = None
    try:
        with open(backup) as raw:
            hashing = Hashing(raw)
            hashing.drain()
            manifest.must_match(raw.record, hashing)
            points = [_sized(backup, hashing.size, raw.record.said)]
    except BadBackup as changed:
        return Proven((Check(EXISTS, "bad", told(changed)),), hashing.sha256 if hashing else "")
    if points[0].state == "ok" and backup.encrypted:
        if openssl_enc.WRONG_KEY in error.hint:  # padding is right by chance once in 256 times
            return Proven((*points, Check(DECRYPTS, "bad", told(error))), hashing.sha256)
        try:
            with open(backup) as raw:
                for _ in chunks(_decrypting(raw, backup, site)):
                    pass
            points.append(Check(DECRYPTS, "ok", "with the site's key"))
        except BadBackup:
            return Proven((*points, Check(DECRYPTS, "bad", told(error))), hashing.sha256)
    return Proven((*points, Check(EXTRACTS, "bad", told(error))), hashing.sha256)


def _decrypting(raw: Opened, backup: Backup, site: Site) -> Reader:
    if backup.format.endswith("age"):
        return age.Decrypting(raw, age.identity_from(site.key_file))
    return Decrypting(raw, openssl_enc.password_from(site.key_file))


def _until(details: Any) -> datetime | None:
    """When the first certificate of a good backup expires."""
    ends = [datetime.fromisoformat(one["not_after"]) for one in details.get("certificates", ())]
    return min(ends, default=None)


def started(site: Site, backup: Backup, state: State, authority: Authority) -> Check:
    """Start the service with a backup, in a drill's sandbox; where none can be had it is not proven. Refused."""
    if backup.component not in LIVE:
        return Check(STARTED, "unproven", f"no service is started with {backup.component}")
    order = drilling.Order((backup.component,), observations=("made by verify --start",))
    try:
        made = drilling.make(site, state, order, lambda: (backup,), authority)
        why = made.request.drill.why if made.request.drill else ""
        if made.problem is None and (why or made.request.drill is None or made.request.drill.sandbox == "root"):
            return Check(STARTED, "unproven", why or "the site's drills start no service (drill.sandbox: root)")
        following = drilling.start(made, site, state, authority)
        for _ in following.events():
            pass
        if following.process:
            following.process.wait()
        report = reading.report_of(following.run)
    except (SourceError, BadBackup, OSError) as error:
        return Check(STARTED, "bad", told(error) if isinstance(error, RecoverError) else safe(error))
    if report.outcome == "restored":
        return Check(STARTED, "ok", f"drill {following.run.name}, in {seconds(report.recovery_seconds)}")
    failed = report.failure.evidence if report.failure else report.outcome
    return Check(STARTED, "bad", f"drill {following.run.name}: {failed}")


def _cross_checked(found: Proven, site: Site, backup: Backup, state: State, binary: Path) -> Proven:
    try:
        return replace(found, checks=(*found.checks, _crossed(site, backup, state, binary)))
    except RecoverError as error:  # what was not compared is not proven to be the same
        return replace(found, checks=(*found.checks, Check(SAME, "bad", told(error))), is_read=False)


def told(error: RecoverError) -> str:
    """An error in one line."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def replica(site: Site, backup: Backup) -> LitestreamSource | None:
    """The replica that a backup is a point of; None where it is none."""
    configs = (source for source in site.sources if isinstance(source, LitestreamConfig))
    return next((replica_of(config, site) for config in configs if config.name == backup.source), None)


def refuse_uncrossable(site: Site, backups: Sequence[Backup]) -> None:
    """UsageError where none of these is a point of a replica."""
    if not any(replica(site, backup) for backup in backups):
        raise UsageError("none of these is a point of a Litestream replica", "name one of: pacs-recover points")


def _crossed(site: Site, backup: Backup, state: State, binary: Path) -> Check:
    """Whether both restore the same bytes. SourceError where a program or source fails."""
    from pacs_recover.sources.litestream_vendor import restored

    source = replica(site, backup)
    if source is None:
        return Check(SAME, "warn", "not a point of a Litestream replica")
    with state.audit.noting("verify", f"{backup.id} by {binary.name}", site.name), state.scratch() as scratch:
        with source.open(backup, scratch) as raw:
            digest = hashlib.sha256()
            while chunk := raw.read(CHUNK):
                digest.update(chunk)
        ours = digest.hexdigest()
        theirs = restored(source, backup, binary, scratch)
    if ours == theirs:
        return Check(SAME, "ok", f"SHA-256 {ours[:16]}, by {binary}")
    return Check(SAME, "bad", f"{binary} makes SHA-256 {theirs[:16]} of it, not {ours[:16]}")
