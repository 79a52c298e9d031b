"""Any file that an operator names by its path."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pacs_recover.errors import SourceError, UsageError
from pacs_recover.formats.suffixes import format_of
from pacs_recover.model import Backup
from pacs_recover.sources import names
from pacs_recover.text import safe

if TYPE_CHECKING:
    from pacs_recover.sources import Problem

CHUNK = 1 << 20
TOPS = {"pacs_bridge": "config", "certs": "certs"}
"""What the guide's archives call their one directory, by what they hold."""


class FileSource:
    """The file system itself: it lists nothing, as its backups are only named."""

    name = "file"
    kind = "file"
    proof = ""

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone
        """In which file names are read."""

    def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:  # noqa: ARG002 - the protocol's
        """Nothing."""
        yield from ()

    @contextmanager
    def open(self, backup: Backup, scratch: Path) -> Iterator[BinaryIO]:  # noqa: ARG002 - the protocol's
        """The file's bytes. SourceError where it is missing, unreadable or no regular file."""
        with opened(Path(backup.key)) as file:
            yield file


def at(path: Path, component: str | None = None, zone: tzinfo = UTC) -> Backup:
    """The file at this path as a backup, of the component that its name, the caller or its content says.

    Raises SourceError where it cannot be read, UsageError where name and caller disagree or nothing tells.
    """
    from pacs_recover.formats.wrapping import ENOUGH  # deferred, as in all of this file: listing reads no content

    path = Path(os.path.expanduser(path)).absolute()  # noqa: PTH111 - Path's own raises for an unknown user
    with opened(path) as file:
        status, first = os.fstat(file.fileno()), file.read(ENOUGH)
    said = names.read(path.name, path.parent.name) or names.Name("", format_of(path.name), path.name)
    if component and said.component not in ("", component):
        raise UsageError(
            f"{safe(path)} is by its name a backup of {said.component}, not of {component}", "name one that fits"
        )
    of = component or said.component or _looks_like(first)
    if not of:
        raise UsageError(f"neither name nor content of {safe(path)} tell what it is a backup of", NAMED)
    taken_at, findings = names.taken(said, status, zone, datetime.now(UTC))
    return Backup(
        id=_encodable(path),
        component=of,
        source=FileSource.name,
        key=str(path),
        taken_at=taken_at,
        size=status.st_size,
        format=said.format,
        recorded=names.recorded(str(path), os.path.lexists),
        findings=findings,
    )


NAMED = "give it a name as the guide's scripts do: config_20261110_020000.tar.gz, certs_….tar.enc, queue_….db.gz"


def _encodable(path: Path) -> str:
    """The path as text that JSON can hold. SourceError where it is none."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise SourceError(f"the name of {safe(path)} is not UTF-8", "give the file a plain name") from None
    return str(path)


def _looks_like(first: bytes) -> str:
    """The component that the first bytes of a file show: a database, or an archive of the guide's directory."""
    import zlib

    from pacs_recover.formats.wrapping import ENOUGH, sniff

    if sniff(first) == "gz":
        try:
            first = zlib.decompressobj(wbits=31).decompress(first, ENOUGH)
        except zlib.error:
            return ""
    kind, top = sniff(first.ljust(ENOUGH, b"\0")), first[:100].split(b"\0")[0].split(b"/")[0]
    return "queue" if kind == "db" else TOPS.get(os.fsdecode(top), "") if kind == "tar" else ""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file for reading, buffered. SourceError, here and by later reads; nothing else is ever opened.

    A device or a fifo in its place would hang, or do something, when it is opened.
    """
    with _reading(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise _not_a_file(path)
        raw = Stored(path)
    with cast(BinaryIO, io.BufferedReader(raw, CHUNK)) as file:
        if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            raise _not_a_file(path)
        yield file


def _not_a_file(path: Path) -> SourceError:
    what = "a directory" if path.is_dir() else "no regular file"
    return SourceError(f"{safe(path)} is {what}", "name a backup file; see: pacs-recover catalog")


class Stored(io.FileIO):
    """A file on a disk or share that may fail while it is read: a SourceError that names it."""

    def __init__(self, path: Path) -> None:
        """Open it for reading. OSError."""
        self.path = path
        super().__init__(path, "rb", opener=lambda name, _: os.open(name, HARMLESS))

    def readinto(self, buffer: Any, /) -> int:
        """As FileIO's. SourceError."""
        with _reading(self.path):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        """As FileIO's. SourceError."""
        with _reading(self.path):
            return super().readall()


HARMLESS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:  # a NUL in the name
        raise SourceError(f"there can be no file {safe(path)}", "see: pacs-recover catalog") from error


def unreadable(path: Path, error: OSError) -> SourceError:
    """What to tell of a file or directory that cannot be read, and what to do about it."""
    return SourceError(f"cannot read {safe(path)}: {error.strerror or error}", hint_for(error))


def hint_for(error: OSError) -> str:
    """What an operator does about a file or directory that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return "is the path right, and is the disk or share mounted?"
    if isinstance(error, PermissionError):
        return "run it as root (sudo pacs-recover …), or give this user the right to read it"
    return "is the disk or share mounted and healthy?"
