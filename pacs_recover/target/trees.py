"""Files and directory trees, handled by descriptor: list, hash, copy, own, make durable. Links are never followed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, structs

from pacs_recover.errors import RecoverError
from pacs_recover.target import places
from pacs_recover.text import safe

CHUNK = 1 << 20
NOFOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""NONBLOCK: opening a fifo that somebody planted must not hang."""


class Entry(Struct, frozen=True):
    """One thing in a tree."""

    name: str
    """Relative to the tree's top; ``.`` is the top itself."""
    kind: Literal["file", "directory", "link", "other"]
    mode: int
    uid: int
    gid: int
    size: int
    sha256: str = ""
    """Of a file's content, or of a link's target."""


def entries(top: Path, *, hashed: bool = True) -> Iterator[Entry]:
    """Everything in a tree, sorted by name, the top first; a single file is its own top. OSError, RecoverError."""
    with places.directory(top.parent) as parent:
        yield from _walk(parent, top.name, ".", hashed)


def _walk(parent: int, name: str, label: str, hashed: bool) -> Iterator[Entry]:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    yield _entry(parent, name, label, found, hashed)
    if stat.S_ISDIR(found.st_mode):
        with _opened(name, parent, os.O_RDONLY | os.O_DIRECTORY) as fd:
            for inner in sorted(os.listdir(fd)):
                yield from _walk(fd, inner, inner if label == "." else f"{label}/{inner}", hashed)


def _entry(parent: int, name: str, label: str, found: os.stat_result, hashed: bool) -> Entry:
    digest = ""
    kind: Literal["file", "directory", "link", "other"] = "other"
    if stat.S_ISREG(found.st_mode):
        kind = "file"
        digest = _hash(parent, name) if hashed else ""
    elif stat.S_ISLNK(found.st_mode):
        kind = "link"
        digest = hashlib.sha256(os.fsencode(os.readlink(name, dir_fd=parent))).hexdigest()
    elif stat.S_ISDIR(found.st_mode):
        kind = "directory"
    size = found.st_size if kind == "file" else 0
    return Entry(label, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, size, digest)


def _hash(parent: int, name: str) -> str:
    with _opened(name, parent, os.O_RDONLY) as fd:
        _must_be_a_file(fd, name)
        total = hashlib.sha256()
        while chunk := os.read(fd, CHUNK):
            total.update(chunk)
        return total.hexdigest()


def digest(top: Path) -> tuple[str, int]:
    """One SHA-256 over names, kinds, modes and contents of a tree, and its size in bytes. OSError, RecoverError."""
    with places.directory(top.parent) as parent:
        return digest_in(parent, top.name)


def digest_in(parent: int, name: str) -> tuple[str, int]:
    """As ``digest``, in an open directory."""
    return _digest(_walk(parent, name, ".", True))


def digest_of(file: Path, sha256: str) -> str:
    """What ``digest`` says of a file where its content has this SHA-256: it is not read for that. OSError."""
    return _digest(structs.replace(entry, sha256=sha256) for entry in entries(file, hashed=False))[0]


def _digest(of: Iterable[Entry]) -> tuple[str, int]:
    total, size = hashlib.sha256(), 0
    for entry in of:
        total.update(f"{entry.name!r} {entry.kind} {entry.mode:o} {entry.size} {entry.sha256}\n".encode())
        size += entry.size
    return total.hexdigest(), size


def copy(source: Path, destination: Path) -> None:
    """Copy a file or tree onto a free name, with modes, owners (as far as we may), times and extended attributes.

    Sockets, fifos and devices are left out. Raises FileExistsError, OSError, RecoverError.
    """
    with places.directory(destination.parent) as new:
        copy_into(source, new, destination.name)


def copy_into(source: Path, new: int, name: str) -> None:
    """As ``copy``, onto a free name in an open directory."""
    with places.directory(source.parent) as old:
        _copy(old, source.name, new, name)


def _copy(old: int, name: str, new: int, new_name: str) -> None:
    found = os.stat(name, dir_fd=old, follow_symlinks=False)
    if stat.S_ISREG(found.st_mode):
        _copy_file(old, name, new, new_name)
    elif stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(name, dir_fd=old), new_name, dir_fd=new)
    elif stat.S_ISDIR(found.st_mode):
        os.mkdir(new_name, 0o700, dir_fd=new)
        with (
            _opened(name, old, os.O_RDONLY | os.O_DIRECTORY) as inner_old,
            _opened(new_name, new, os.O_RDONLY | os.O_DIRECTORY) as inner_new,
        ):
            for inner in sorted(os.listdir(inner_old)):
                _copy(inner_old, inner, inner_new, inner)
            _copy_attributes(inner_old, inner_new)


def _copy_file(old: int, name: str, new: int, new_name: str) -> None:
    create = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with _opened(name, old, os.O_RDONLY) as source, _opened(new_name, new, create) as destination:
        _must_be_a_file(source, name)
        must_belong_here(source, old, name)
        while chunk := os.read(source, CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(destination, view) :]
        _copy_attributes(source, destination)


def _must_be_a_file(fd: int, name: str) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise RecoverError(
            f"{safe(name)} changed from a file into something else while it was read", "see who changes it"
        )


def must_belong_here(fd: int, parent: int, name: str) -> None:
    """A hard link to somebody else's file, where a host lets users make one, would give them what only we may read."""
    found, home = os.fstat(fd), os.fstat(parent)
    borrowed = found.st_nlink > 1 and (found.st_uid != home.st_uid or home.st_uid == 0)
    if os.geteuid() == 0 and borrowed and not places.is_trusted(home):
        raise RecoverError(
            f"{safe(name)} is a hard link to a file of another user (uid {found.st_uid})",
            "see who made it; replace it by a copy, or remove it, then plan again",
        )


def _copy_attributes(source: int, destination: int) -> None:
    found = os.fstat(source)
    copy_labels(source, destination)
    as_far_as_we_may(os.fchown, destination, found.st_uid, found.st_gid)
    os.fchmod(destination, stat.S_IMODE(found.st_mode))
    os.utime(destination, ns=(found.st_atime_ns, found.st_mtime_ns))


def label(source: Path, destination: Path) -> None:
    """Copy the extended attributes of one file or directory, not of what is in it. OSError."""
    with (
        places.directory(source.parent) as old,
        places.directory(destination.parent) as new,
        _opened(source.name, old, os.O_RDONLY) as one,
        _opened(destination.name, new, os.O_RDONLY) as other,
    ):
        copy_labels(one, other)


def copy_labels(source: int, destination: int) -> None:
    """Copy extended attributes: the security label, ACLs and the rest, as far as the filesystem has and lets them."""
    try:
        names = os.listxattr(source)
    except OSError:
        return
    for name in names:
        as_far_as_we_may(os.setxattr, destination, name, os.getxattr(source, name))


def as_far_as_we_may(change: Callable[..., None], *args: Any) -> None:
    """Make a change that a filesystem may not know or only root may make; what cannot be had is left, as cp does.

    Raises OSError for anything else.
    """
    try:
        change(*args)
    except OSError as error:
        unknown = error.errno in (errno.ENOTSUP, errno.ENOSYS)
        if not unknown and (os.geteuid() == 0 or error.errno not in (errno.EPERM, errno.EACCES)):
            raise


def own(top: Path, uid: int, gid: int, mode_of: Callable[[Entry], int] | None = None) -> None:
    """Give a staged tree its owner and modes. OSError; only root can give away."""
    for entry in list(entries(top, hashed=False)):
        path = top if entry.name == "." else top / entry.name
        with places.directory(path.parent) as parent:
            if (entry.uid, entry.gid) != (uid, gid):
                os.chown(path.name, uid, gid, dir_fd=parent, follow_symlinks=False)
            if entry.kind in ("file", "directory"):
                mode = mode_of(entry) if mode_of else entry.mode
                with _opened(path.name, parent, os.O_RDONLY) as fd:
                    os.fchmod(fd, mode)


def make_durable(top: Path) -> None:
    """fsync every file and directory of a tree, and the directory that it is in. OSError."""
    with places.directory(top.parent) as parent:
        make_durable_in(parent, top.name)


def make_durable_in(parent: int, name: str) -> None:
    """As ``make_durable``, in an open directory."""
    _sync_tree(parent, name)
    places.sync(parent)


def _sync_tree(parent: int, name: str) -> None:
    mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return
    with _opened(name, parent, os.O_RDONLY) as fd:
        for inner in os.listdir(fd) if stat.S_ISDIR(mode) else ():
            _sync_tree(fd, inner)
        os.fsync(fd)


@contextmanager
def _opened(name: str, parent: int, flags: int) -> Iterator[int]:
    fd = os.open(name, flags | NOFOLLOW, 0o600, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)
