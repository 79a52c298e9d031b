"""File operations by directory descriptor: no link is ever followed, nothing is ever overwritten.

The live directories belong to the service's user while we may be root, so any path in them can be swapped between two
calls. Every function here walks from ``/`` with O_NOFOLLOW and works inside the directory that it holds open.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from pacs_recover.errors import RecoverError, Refused
from pacs_recover.text import safe

RENAME_NOREPLACE = 1
"""linux/fs.h: fail with EEXIST instead of replacing the target of a rename."""

_libc = ctypes.CDLL(None, use_errno=True)


class Identity(Struct, frozen=True):
    """Which thing a name stands for, whatever it is called."""

    device: int
    inode: int
    mode: int
    size: int

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory (a link to one is not)."""
        return stat.S_ISDIR(self.mode)

    def same(self, inode: int | None) -> bool:
        """Whether this is the thing with that inode; device numbers do not survive a reboot, so they are not asked."""
        return inode is not None and self.inode == inode


@contextmanager
def directory(path: Path) -> Iterator[int]:
    """A descriptor of a directory, reached from ``/`` without following a link. OSError, RecoverError for a link."""
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in path.parts[1:]:
            deeper = _enter(fd, part, path)
            os.close(fd)
            fd = deeper
        yield fd
    finally:
        os.close(fd)


def _enter(fd: int, part: str, path: Path) -> int:
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(part, os.O_RDONLY | flags, dir_fd=fd)
    except PermissionError:
        return os.open(part, os.O_PATH | flags, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(part, fd):
            raise RecoverError(
                f"{safe(path)} is reached through a link that was not there when the plan was made ({safe(part)})",
                "somebody changed the directory meanwhile: look who, then plan again",
            ) from error
        raise


def _is_link(name: str, fd: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)


def identity(path: Path) -> Identity | None:
    """What the name stands for now, without following it; None where there is nothing. OSError."""
    try:
        with directory(path.parent) as parent:
            return identity_in(parent, path.name)
    except (FileNotFoundError, NotADirectoryError):
        return None


def identity_in(parent: int, name: str) -> Identity | None:
    """As ``identity``, inside an open directory."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Identity(found.st_dev, found.st_ino, found.st_mode, found.st_size)


def move(source: Path, destination: Path) -> None:
    """Rename, durably, onto a name that must be free. FileExistsError where it is not; OSError."""
    with directory(source.parent) as old, directory(destination.parent) as new:
        rename_free(old, source.name, new, destination.name)
        sync(new)
        sync(old)


def rename_free(old: int, name: str, new: int, new_name: str) -> None:
    """Rename between open directories; never replaces anything. FileExistsError, OSError."""
    if not hasattr(_libc, "renameat2"):
        return _rename_in_two(old, name, new, new_name)
    if _libc.renameat2(old, os.fsencode(name), new, os.fsencode(new_name), RENAME_NOREPLACE) == 0:
        return None
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS):  # a filesystem that does not know the flag, such as NFS
        return _rename_in_two(old, name, new, new_name)
    raise OSError(code, os.strerror(code), name, None, new_name)


def _rename_in_two(old: int, name: str, new: int, new_name: str) -> None:
    """Without the flag: a hard link never replaces a file, and a rename of a directory at most an empty one."""
    if stat.S_ISDIR(os.stat(name, dir_fd=old, follow_symlinks=False).st_mode):
        if identity_in(new, new_name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name)
        return os.rename(name, new_name, src_dir_fd=old, dst_dir_fd=new)
    os.link(name, new_name, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)
    return os.unlink(name, dir_fd=old)


def sync(fd: int) -> None:
    """Make a directory's entries durable; an O_PATH descriptor is reopened for it."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(again)
        finally:
            os.close(again)


def make_directory(path: Path, mode: int = 0o700, owner: tuple[int, int] | None = None) -> bool:
    """Make one directory durably, for another owner if one is named; False where it exists already. OSError."""
    with directory(path.parent) as parent:
        try:
            os.mkdir(path.name, mode, dir_fd=parent)
        except FileExistsError:
            return False
        if owner:
            _give(path.name, parent, mode, owner)
        sync(parent)
    return True


def _give(name: str, parent: int, mode: int, owner: tuple[int, int]) -> None:
    """By descriptor of a directory: what else somebody may have put there meanwhile is not given away."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fchown(fd, *owner)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def make_directories(path: Path, mode: int = 0o700) -> None:
    """Make a directory and those missing above it. OSError; FileExistsError where something else stands there."""
    if identity(path) is None and path != path.parent:
        make_directories(path.parent, mode)
        make_directory(path, mode)
    found = identity(path)
    if found is None or not found.is_directory:
        raise FileExistsError(errno.EEXIST, "not a directory", str(path))


def remove_if_empty(path: Path) -> str:
    """Remove a directory that holds nothing; says what came of it. OSError."""
    try:
        with directory(path.parent) as parent:
            os.rmdir(path.name, dir_fd=parent)
            sync(parent)
    except FileNotFoundError:
        return f"{path} was not there"
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return f"{path} stays, as it holds files of somebody else"
    return f"{path} removed"


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted just there, a bind mount of the same filesystem included (proc(5), mountinfo)."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return os.path.ismount(path)
    escaped = re.sub(rb"[ \t\n\\]", lambda match: b"\\%03o" % match[0][0], os.fsencode(path))
    return any(line.split(b" ")[4] == escaped for line in lines)


def holds_something(path: Path) -> bool:
    """Whether a directory is there and not empty. OSError."""
    try:
        with directory(path) as fd:
            return bool(os.listdir(fd))
    except FileNotFoundError:
        return False


def remove_tree(path: Path) -> None:
    """Remove our own scratch without following links; missing is fine. OSError."""
    if identity(path) is not None:
        with directory(path.parent) as parent:
            remove_in(parent, path.name)


def remove_in(parent: int, name: str) -> None:
    """As ``remove_tree``, of a file or tree in an open directory."""
    import shutil  # shutil.rmtree is safe against link swaps where the platform has descriptors, as Linux does

    found = identity_in(parent, name)
    if found and found.is_directory:
        shutil.rmtree(name, dir_fd=parent)
    elif found:
        os.unlink(name, dir_fd=parent)


@contextmanager
def private(path: Path) -> Iterator[int]:
    """A descriptor of a directory that is ours alone, wherever it is moved. Refused where it is not; OSError."""
    with directory(path) as fd:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise Refused(
                f"{safe(path)} is not private: owner {found.st_uid}, mode {found.st_mode & 0o7777:o}",
                f"see what is in it, then: chown {os.geteuid()} {safe(path)}; chmod 700 {safe(path)}",
            )
        yield fd


def is_trusted(found: os.stat_result) -> bool:
    """Whether nobody but root and ourselves can change what is in this directory."""
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def resolve(path: Path) -> Path:
    """The path without links, as it stands now.

    Raises RecoverError for a link in a directory that others can write: whoever owns that directory would choose what
    we replace.
    """
    done, rest, hops = Path("/"), list(path.parts[1:]), 0
    while rest:
        part = rest.pop(0)
        if part == "..":
            done = done.parent
            continue
        step = done / part
        if not step.is_symlink():
            done = step
            continue
        hops += 1
        if hops > 40 or not is_trusted(done.stat()):
            raise RecoverError(
                f"{safe(step)} is a link in a directory that others can write",
                "name the real path in the site file, so that nobody else can choose what is replaced",
            )
        target = step.readlink()
        rest = [*(target.parts[1:] if target.is_absolute() else target.parts), *rest]
        done = Path("/") if target.is_absolute() else done
    return done


def nearest_existing(path: Path) -> Path:
    """The path itself or the nearest directory above it that exists."""
    while not path.is_dir():
        path = path.parent
    return path
