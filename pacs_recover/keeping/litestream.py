"""Litestream's own configuration, from the site: its settings stand where the version heeds them; and its unit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml

from pacs_recover.authority import Authority
from pacs_recover.durable import sync_directory
from pacs_recover.errors import UsageError
from pacs_recover.keeping.deciding import DAY
from pacs_recover.site import LitestreamConfig, Site
from pacs_recover.text import safe, span

Version = Literal["0.3", "0.5"]
VERSIONS: tuple[Version, ...] = ("0.3", "0.5")
DEFAULT = DAY
"""How long both versions keep points where nothing is said."""
SNAPSHOT, SYNC = "1h0m0s", "1s"
"""The guide's intervals."""
SETTINGS = Path("/etc/litestream.yml")
HOUR = 3600.0


def kept(site: Site) -> float:
    """Seconds for which points of the queue are to be had: as long as its backups are hot."""
    return site.retention.queue.hot or site.retention.queue.total or DEFAULT


def configuration(site: Site, version: Version, name: str | None = None) -> str:
    """The text of ``litestream.yml`` for the queue and its replica; no key is in it. UsageError where none is named."""
    wanted = _replicas(site, version, name)
    retention = f"{kept(site) / HOUR:g}h"
    if version == "0.3":
        pace = {"sync-interval": SYNC, "snapshot-interval": SNAPSHOT, "retention": retention}
        made: dict[str, Any] = {
            "dbs": [{"path": str(site.live.queue), "replicas": [{**place(one), **pace} for one in wanted]}]
        }
    else:
        replica = {**place(wanted[0]), "sync-interval": SYNC}
        made = {
            "snapshot": {"interval": SNAPSHOT, "retention": retention},
            "dbs": [{"path": str(site.live.queue), "replica": replica}],
        }
    head = (
        f"# Litestream {version}, made by pacs-recover from the site {safe(site.name)}.\n"
        f"# Points in time of the queue are kept for {span(kept(site))}.\n"
        "# Credentials stand in the unit's environment or are the instance's role's, not here.\n"
    )
    return head + yaml.safe_dump(made, sort_keys=False)


def none_written(site: Site, name: str | None = None) -> UsageError:
    """What is told where the site's Litestream writes no replica (of this name)."""
    idle = [one.name for one in site.sources if isinstance(one, LitestreamConfig) and not one.followed]
    hint = "name one under sources: kind: litestream, with its path or s3 (docs/litestream.md)"
    if idle:
        hint = f"the site file says of {', '.join(map(safe, idle))} that it is not written any more: followed: false"
    return UsageError(f"the site has no Litestream replica{f' {safe(name)}' if name else ''} that is written", hint)


def _replicas(site: Site, version: Version, name: str | None) -> list[LitestreamConfig]:
    found = [one for one in site.sources if isinstance(one, LitestreamConfig) and one.followed]
    wanted = [one for one in found if name in (None, one.name)]
    if not wanted:
        raise none_written(site, name)
    if version == "0.5" and len(wanted) > 1:
        names = ", ".join(one.name for one in wanted)
        raise UsageError("Litestream 0.5 writes one replica of a database", f"choose one with --replica: {names}")
    return wanted


def place(one: LitestreamConfig) -> dict[str, Any]:
    if one.s3 is None:
        return {"type": "file", "path": str(one.path)}
    said = {"endpoint": one.s3.endpoint, "region": one.s3.region, "force-path-style": one.s3.addressing == "path"}
    return {
        "type": "s3",
        "bucket": one.s3.bucket,
        "path": one.s3.prefix.strip("/"),
        **{key: value for key, value in said.items() if value},
    }


def unit(site: Site, program: str, settings: Path) -> str:
    """The text of the systemd unit that runs Litestream as the service's user."""
    return (
        "[Unit]\nDescription=Litestream, replicating the queue of PACS Bridge\n"
        "Wants=network-online.target\nAfter=network-online.target\n\n"
        f"[Service]\nType=simple\nUser={site.owner}\nGroup={site.group}\n"
        "# AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, where the instance has no role; 0600 and root's\n"
        "EnvironmentFile=-/etc/litestream.env\n"
        f"ExecStart={program} replicate -config {settings}\nRestart=always\nRestartSec=5\n"
        "UMask=0077\nNoNewPrivileges=yes\n\n[Install]\nWantedBy=multi-user.target\n"
    )


def write(text: str, path: Path, authority: Authority, mode: int = 0o644) -> None:
    """Write a new file, durably; one that is there must say the same. Refused, UsageError."""
    authority.must_allow("litestream --write")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        if _is_same(path, text):
            return
        what = f"{safe(path)} is there and says something else"
        raise UsageError(what, "move it away first: nothing is overwritten") from error
    except OSError as error:
        raise UsageError(f"{safe(path)} cannot be written: {error.strerror}", "name a directory that exists") from error
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(fd, mode)
        file.flush()
        os.fsync(fd)
    sync_directory(path.parent)


def _is_same(path: Path, text: str) -> bool:
    try:
        return path.is_file() and path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
