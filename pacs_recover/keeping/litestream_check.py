"""What an existing configuration of Litestream does, and what it says in vain.

What each version reads is that of its ``cmd/litestream/main.go``; keys that it does not know it passes over in silence.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pacs_recover.errors import UsageError
from pacs_recover.keeping.litestream import DEFAULT, HOUR, Version, kept, place
from pacs_recover.model import Fact
from pacs_recover.site import LitestreamConfig, Site
from pacs_recover.text import safe, span

LARGEST = 1 << 20
"""Bytes of a configuration."""
_PLACE = "type path url bucket region endpoint force-path-style skip-verify host user password key-path account-name "
_KEYS = "access-key-id secret-access-key "
_PACE = "retention retention-check-interval snapshot-interval"
_DATABASE = "path meta-path monitor-interval checkpoint-interval min-checkpoint-page-count "
_MORE = (
    "auto-recover max-sync-ltx-files sign-payload require-content-md5 storage-class part-size concurrency "
    "sse-customer-algorithm sse-customer-key sse-customer-key-path sse-kms-key-id sas-token concurrent-writes "
    "host-key webdav-url webdav-username webdav-password jwt seed creds nkey username token tls root-cas "
    "client-cert client-key max-reconnects reconnect-wait timeout "
)
_REPLICA = _PLACE + _KEYS + "account-key age sync-interval validation-interval "
KNOWN: dict[str, dict[str, frozenset[str]]] = {
    version: {level: frozenset(words.split()) for level, words in levels.items()}
    for version, levels in {
        "0.3": {
            "top": _KEYS + "addr dbs exec logging",
            "database": _DATABASE + "max-checkpoint-page-count replicas",
            "replica": _REPLICA + "name " + _PACE,
        },
        "0.5": {
            "top": _REPLICA + _MORE + "addr socket levels snapshot validation l0-retention l0-retention-check-interval "
            "verify-compaction retention heartbeat-url heartbeat-interval dbs exec logging mcp-addr "
            "shutdown-sync-timeout shutdown-sync-interval",
            "database": _DATABASE + "dir pattern recursive watch snapshot meta-dir busy-timeout truncate-page-n "
            "max-sync-wal-bytes restore-if-db-not-exists replica replicas",
            "replica": _REPLICA + _MORE + "name",
        },
    }.items()
}
"""The keys that have an effect, by version and by where they stand (0.3.13; 0.5.17 and later)."""
SECRET = ("secret-access-key", "account-key", "password", "sas-token", "sse-customer-key", "webdav-password", "token")
DURATION = re.compile(r"([0-9.]+)(ms|us|µs|ns|h|m|s)")
UNITS = {"h": HOUR, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def check(site: Site, path: Path, version: Version) -> tuple[Fact, ...]:
    """What a configuration does with this version, and what it says in vain. UsageError where it cannot be read."""
    text, mode = _read(path)
    tree = _parsed(text, path)
    return tuple(_facts(site, tree, version, mode))


def _read(path: Path) -> tuple[str, int]:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(LARGEST + 1) if stat.S_ISREG(found.st_mode) else b""
        if not stat.S_ISREG(found.st_mode) or len(data) > LARGEST:
            raise UsageError(f"{safe(path)} is no configuration of Litestream", "name a file of at most 1 MiB")
        return data.decode(), found.st_mode
    except UnicodeDecodeError as error:
        raise UsageError(f"{safe(path)} is no UTF-8 text", "name Litestream's configuration") from error
    except OSError as error:
        raise UsageError(f"{safe(path)} cannot be read: {error.strerror}", "name Litestream's configuration") from error


class _Plain(yaml.SafeLoader):
    """YAML without aliases, which can make a small file large."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases")
        return super().compose_node(parent, index)


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        tree = yaml.load(text, _Plain)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{safe(path)}{where}: it is no YAML", "correct it") from error  # its text may hold keys
    if not isinstance(tree, dict):
        raise UsageError(f"{safe(path)} is no configuration of Litestream", "it has to begin with keys such as dbs:")
    return tree


def _facts(site: Site, tree: dict[str, Any], version: Version, mode: int) -> Iterator[Fact]:
    yield from _ignored(tree, "top", "", version)
    databases = [one for one in _list(tree.get("dbs")) if isinstance(one, dict)]
    if version == "0.5" and isinstance(tree.get("retention"), str | int):
        yield Fact("retention", "0.5 does not start with it: it belongs under snapshot:, as retention", "bad")
    for number, database in enumerate(databases):
        yield from _ignored(database, "database", f"dbs[{number}].", version)
        for where, replica in _replicas_of(database, f"dbs[{number}]"):
            yield from _ignored(replica, "replica", f"{where}.", version)
            if version == "0.5" and "age" in replica:
                yield Fact(f"{where}.age", "0.5 knows no encryption: it does not start with it", "bad")
    mine = [one for one in databases if one.get("path") == str(site.live.queue)]
    if not mine:
        yield Fact("dbs", f"the queue {site.live.queue} is not replicated", "bad")
    for database in mine:
        yield from _of_queue(site, tree, database, version)
    if any(key in text for key in SECRET for text in _keys(tree)) and mode & 0o077:
        yield Fact("mode", f"{stat.S_IMODE(mode):04o}, and keys are in it: chmod 600", "bad")


def _ignored(section: Mapping[str, Any], level: str, where: str, version: Version) -> Iterator[Fact]:
    """The keys that this version passes over in silence."""
    for key in section:
        if str(key) not in KNOWN[version][level]:
            hint = "; write it under snapshot: at the top" if _is_pace(key, version) else ""
            yield Fact(f"{where}{safe(key, 60)}", f"silently ignored by {version}{hint}", "bad" if hint else "warn")


def _is_pace(key: Any, version: Version) -> bool:
    return version == "0.5" and str(key) in ("retention", "snapshot-interval", "retention-check-interval")


def _replicas_of(database: Mapping[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(database.get("replica"), dict):
        yield f"{where}.replica", database["replica"]
    for number, one in enumerate(_list(database.get("replicas"))):
        if isinstance(one, dict):
            yield f"{where}.replicas[{number}]", one


def _of_queue(site: Site, tree: dict[str, Any], database: dict[str, Any], version: Version) -> Iterator[Fact]:
    found = [one for _, one in _replicas_of(database, "")]
    if version == "0.3":
        found = [one for one in _list(database.get("replicas")) if isinstance(one, dict)]
    if not found:
        yield Fact("dbs", "the queue has no replica", "bad")
    if version == "0.5" and len(found) > 1:
        yield Fact("replicas", "0.5 writes one replica of a database, and does not start with more", "bad")
    for one in found:
        yield _reach(site, tree, database, one, version)
        yield _known(site, one)


def _reach(
    site: Site, tree: dict[str, Any], database: dict[str, Any], replica: dict[str, Any], version: Version
) -> Fact:
    """How long its points are kept in effect, against what is declared (E2)."""
    if version == "0.3":
        said = replica.get("retention")
    else:
        own, top = database.get("snapshot"), tree.get("snapshot")
        said = next((one["retention"] for one in (own, top) if isinstance(one, dict) and "retention" in one), None)
    effect = DEFAULT if said is None else duration(said)
    if effect is None:
        return Fact("retention", f"{safe(said, 40)} is no duration of Litestream", "bad")
    source = "the default" if said is None else "as it says"
    text = f"points are kept for {span(effect)} ({source}); declared: {span(kept(site))}"
    return Fact("retention", text, "bad" if effect < kept(site) else "ok")


def _known(site: Site, replica: dict[str, Any]) -> Fact:
    """Whether a source of the site reads this replica."""
    url = str(replica.get("url", ""))
    for one in site.sources:
        if not isinstance(one, LitestreamConfig):
            continue
        own = place(one)
        address = f"s3://{own['bucket']}/{own['path']}" if own["type"] == "s3" else f"file://{own['path']}"
        told = str(replica.get("path", "")).strip("/") == str(own["path"]).strip("/")
        if url.split("?")[0].rstrip("/") == address.rstrip("/") or (
            told and replica.get("bucket") == own.get("bucket")
        ):
            return Fact("replica", f"read as the source {one.name}")
    where = url.split("?")[0].rpartition("@")[2] or f"{replica.get('bucket', '')}/{replica.get('path', '')}"
    return Fact("replica", f"no source of the site reads {safe(where)}: name it in the site file", "warn")


def duration(said: Any) -> float | None:
    """Seconds of a duration as Go writes it (``168h``, ``1h30m``); None where it is none."""
    text = str(said)
    parts = list(DURATION.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    try:
        return sum(float(part[1]) * UNITS[part[2]] for part in parts)
    except ValueError:
        return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _keys(value: Any) -> Iterable[str]:
    """Every key of a tree."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield str(key)
            yield from _keys(inside)
    for inside in _list(value):
        yield from _keys(inside)
