"""Backups as the guide's own commands make them: ``tar -czf``, ``tar | openssl enc``, ``.backup`` and gzip, gzip."""

from __future__ import annotations

import grp
import gzip
import hashlib
import io
import os
import pwd
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pacs_recover import __version__
from pacs_recover.formats.manifest import Manifest, encode
from pacs_recover.formats.openssl_enc import encrypting
from pacs_recover.formats.suffixes import RECORDS

SOURCE = "local"
"""The name of the demo's only source."""
SUFFIXES = {"config": ".tar.gz", "certs": ".tar.enc", "queue": ".db.gz"}


@dataclass(frozen=True)
class Store:
    """The directory of backups; every file in it is private and carries the time it was taken as its own."""

    directory: Path

    def config(self, taken: datetime, files: Mapping[str, bytes]) -> str:
        """An archive of the configuration directory, keys left out as the guide does; the backup's id."""
        kept = {name: content for name, content in files.items() if not name.endswith(".key")}
        with new_file(self.path("config", taken)) as stream:
            stream.write(gzip.compress(_tar("pacs_bridge", kept, taken), 6, mtime=_epoch(taken)))
        return self._dated("config", taken)

    def certs(self, taken: datetime, files: Mapping[str, bytes], password: bytes) -> str:
        """An encrypted archive of the certificate directory, keys included; the backup's id."""
        with new_file(self.path("certs", taken)) as stream:
            shutil.copyfileobj(encrypting(io.BytesIO(_tar("certs", files, taken)), password), stream)
        return self._dated("certs", taken)

    def queue(self, taken: datetime, database: Path) -> str:
        """A compressed copy of a database; the backup's id."""
        path = self.path("queue", taken)
        with database.open("rb") as raw, new_file(path) as stream:
            _gzip(raw, stream, path.name.removesuffix(".gz"), taken)
        return self._dated("queue", taken)

    def log(self, name: str, taken: datetime, text: str) -> None:
        """A rotated and compressed log, named as logrotate's ``dateformat .%Y%m%d`` does."""
        path = self.directory / "logs" / f"{name}.{taken:%Y%m%d}.gz"
        with new_file(path) as stream:
            _gzip(io.BytesIO(text.encode()), stream, path.name.removesuffix(".gz"), taken)
        _set_time(path, taken)

    def record(self, component: str, taken: datetime, rows: Mapping[str, int] | None = None) -> None:
        """Put a manifest beside a backup, as ``pacs-recover backup`` does; the guide's scripts write none."""
        path = self.path(component, taken)
        with path.open("rb") as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
        made = Manifest(
            name=path.name,
            component=component,
            format=SUFFIXES[component][1:],
            size=path.stat().st_size,
            sha256=digest,
            taken_at=taken,
            made_by="root",
            made_on="pacs1",
            program=f"pacs-recover {__version__}",
            rows=dict(rows) if rows else None,
        )
        beside = path.with_name(path.name + RECORDS[0])
        with new_file(beside) as stream:
            stream.write(encode(made))
        _set_time(beside, taken)

    def path(self, component: str, taken: datetime) -> Path:
        """Where a backup lies: the guide's name, in UTC."""
        return self.directory / component / f"{component}_{taken:%Y%m%d_%H%M%S}{SUFFIXES[component]}"

    def flip_a_bit(self, component: str, taken: datetime) -> None:
        """Damage a backup in its middle, as a bad disk does: size and time stay."""
        path = self.path(component, taken)
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 0x10
        path.write_bytes(raw)
        _set_time(path, taken)

    def cut(self, component: str, taken: datetime) -> None:
        """Leave only the first six tenths of a backup, as a full disk does."""
        path = self.path(component, taken)
        os.truncate(path, path.stat().st_size * 6 // 10)
        _set_time(path, taken)

    def _dated(self, component: str, taken: datetime) -> str:
        _set_time(self.path(component, taken), taken)
        return f"{component}/{taken:%Y%m%d_%H%M%S}@{SOURCE}"


def owner_names() -> tuple[str, str]:
    """The current user's and group's names; their numbers where the system has no names for them."""
    user, group = os.geteuid(), os.getegid()
    try:
        return pwd.getpwuid(user).pw_name, grp.getgrgid(group).gr_name
    except KeyError:
        return str(user), str(group)


def mode_of(name: str) -> int:
    """The mode of a file of the configuration: certificates may be read by others, nothing else may."""
    return 0o644 if name.endswith(".crt") else 0o600


def new_file(path: Path, mode: int = 0o600) -> IO[bytes]:
    """A new file, its directories made private where missing; what is there is never overwritten."""
    private_directory(path.parent)
    stream = open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115 - the caller closes it
    os.fchmod(stream.fileno(), mode)
    return stream


def private_directory(directory: Path) -> None:
    """A directory with all that lead to it, 0700 each: mkdir's own mode is for the last one only."""
    if not directory.is_dir():
        private_directory(directory.parent)
        directory.mkdir(mode=0o700)


def _tar(top: str, files: Mapping[str, bytes], at: datetime) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for directory in sorted({"", *(str(Path(name).parent) for name in files)} - {"."}):
            archive.addfile(_member(f"{top}/{directory}".rstrip("/"), at, tarfile.DIRTYPE, 0o700))
        for name, content in sorted(files.items()):
            member = _member(f"{top}/{name}", at, tarfile.REGTYPE, mode_of(name))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def _member(name: str, at: datetime, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, _epoch(at)
    member.uid, member.gid = os.geteuid(), os.getegid()
    member.uname, member.gname = owner_names()
    return member


def _gzip(raw: IO[bytes], stream: IO[bytes], name: str, at: datetime) -> None:
    with gzip.GzipFile(name, "wb", 6, stream, mtime=_epoch(at)) as packed:
        shutil.copyfileobj(raw, packed)


def _set_time(path: Path, at: datetime) -> None:
    os.utime(path, (_epoch(at), _epoch(at)))


def _epoch(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp())
