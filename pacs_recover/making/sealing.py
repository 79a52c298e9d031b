"""From what was read to a backup that is proven: packed as the guide does, then read back through the restore path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from isal import isal_zlib

from pacs_recover.components import Look, component, exhaust, judge, read_backup
from pacs_recover.errors import BadBackup
from pacs_recover.formats import age, openssl_enc, streams
from pacs_recover.formats.manifest import Opened, Record, Validity
from pacs_recover.formats.streams import Hashing, Pieces, Reader
from pacs_recover.making.artifact import ENCRYPTED, WRAPPED, Artifact, Title
from pacs_recover.making.live import Taken
from pacs_recover.model import Backup
from pacs_recover.proving import Proven, concluded
from pacs_recover.site import Site
from pacs_recover.sources.file import opened
from pacs_recover.target import places

LEVEL = 2
"""Of isal's deflate: its best, about zlib's third, at many times its speed."""
GZIP = 31
"""zlib's window bits for the gzip format (zlib manual, deflateInit2)."""
WRITTEN = "the SHA-256 of what was written"
MEND = "nothing was stored: what cannot be restored is no backup; put right what lives, then back it up again"


def format_for(site: Site, component: str) -> str:
    """How a component's backups are wrapped here."""
    return (ENCRYPTED if component in site.backup.encrypt else WRAPPED)[component]


def seal(taken: Taken, look: Look, scratch: Path) -> Artifact:
    """Pack what was taken, and prove it. BadBackup, SourceError, RecoverError, OSError."""
    title = Title(taken.component, taken.taken_at, format_for(look.site, taken.component))
    with opened(taken.path) as raw:
        return prove(pack(raw, title, look.site, scratch / f"{taken.component}.made"), look, scratch)


def pack(raw: Reader, title: Title, site: Site, path: Path) -> Artifact:
    """Write the content as it is stored, to a new private file. SourceError, RecoverError, OSError."""
    reader: Reader = raw
    for layer in title.format.split("."):
        match layer:
            case "gz":
                reader = Pieces(_zipped(reader))
            case "enc":
                reader = openssl_enc.encrypting(reader, openssl_enc.password_from(site.key_file))
            case "age":
                reader = age.encrypting(reader, age.identity_from(site.key_file), site.backup.recipients)
            case _:
                pass  # tar, db: what it is, not how it is wrapped
    stored = Hashing(reader)
    with path.open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        for _ in streams.copy(stored, out):
            streams.leave_room(out.fileno())
    return Artifact(title, path, stored.size, stored.sha256)


def _zipped(raw: Reader) -> Iterator[bytes]:
    packing = isal_zlib.compressobj(LEVEL, wbits=GZIP)
    for chunk in streams.chunks(raw):
        if piece := packing.compress(chunk):
            yield piece
    yield packing.flush()


def prove(made: Artifact, look: Look, scratch: Path) -> Artifact:
    """Read a backup back as a restore does and judge it; the same with what its manifest says. BadBackup, OSError."""
    with opened(made.path) as raw:
        found, details = proof(_as_backup(made, look), Opened(raw, Record(WRITTEN, made.sha256)), look, scratch)
    return replace(made, proven=found, **_recorded(made.component, details))


def proof(backup: Backup, raw: Opened, look: Look, scratch: Path) -> tuple[Proven, dict[str, Any]]:
    """What a verification finds of a new backup, and what its preview details. BadBackup where it is bad; OSError."""
    part, into = component(backup.component), scratch / "proof"
    places.remove_tree(into)
    into.mkdir(mode=0o700)
    try:
        done = exhaust(read_backup(part, backup, raw, into, look))
        seen = judge(part, backup, done, into, look)
        found = concluded(look.site, backup, done, seen, into)
    except BadBackup as error:
        raise BadBackup(error.message, MEND) from error
    finally:
        places.remove_tree(into)
    _refuse_bad(found, seen.details, backup.component)
    return found, seen.details


def _as_backup(made: Artifact, look: Look) -> Backup:
    """As the catalog would list it."""
    name = made.title.name(look.site.zone())
    return Backup(
        id=f"the new backup of {made.component}",
        component=made.component,
        source="file",
        key=str(made.path.with_name(name)),
        taken_at=made.title.taken_at,
        size=made.size,
        format=made.title.format,
    )


def _refuse_bad(found: Proven, details: dict[str, Any], component: str) -> None:
    bad = [check.evidence for check in found.checks if check.state == "bad"]
    if component == "certs" and not details.get("certificates"):
        bad.append("there is no certificate in it")
    if bad:
        raise BadBackup(f"a backup of {component} as it lives now could not be restored: {'; '.join(bad)}", MEND)


def _recorded(component: str, details: dict[str, Any]) -> dict[str, Any]:
    if component == "queue":
        return {"rows": {str(table["name"]): int(table["rows"]) for table in details.get("tables", ())}}
    if component == "certs":
        return {"certificates": tuple(map(_validity, details.get("certificates", ())))}
    return {}


def _validity(one: dict[str, Any]) -> Validity:
    dates = {key: datetime.fromisoformat(str(one[key])) for key in ("not_before", "not_after")}
    return Validity(file=str(one["file"]), **dates)
