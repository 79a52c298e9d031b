"""Reading the site file safely: it names commands that run as root, so nobody else may be able to change it."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from pathlib import Path

from pacs_recover.errors import UsageError
from pacs_recover.formats.yaml_marks import SIZE_LIMIT
from pacs_recover.text import safe

LINKS = 40
"""Symbolic links on the way to a file, as in the kernel."""
OTHERS = stat.S_IWGRP | stat.S_IWOTH
DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def read(path: Path) -> str:
    """The text of a site file that only its reader and root can change. Raises UsageError."""
    try:
        fd = _walk(path)
        with os.fdopen(fd, "rb") as stream:
            return _content(stream.read(SIZE_LIMIT + 1), path)
    except FileNotFoundError as error:
        hint = f"write one: pacs-recover site init {_quoted(path)}"
        raise UsageError(f"there is no site file {safe(path)}", hint) from error
    except OSError as error:
        hint = "name another with --site, or mend its rights"
        raise UsageError(f"the site file {safe(path)} cannot be read: {error.strerror}", hint) from error


def _content(data: bytes, path: Path) -> str:
    if len(data) > SIZE_LIMIT:
        raise UsageError(
            f"{safe(path)} is longer than {SIZE_LIMIT >> 20} MiB: it is no site file", "name another: --site"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{safe(path)}, line {line}: it is no UTF-8 text", "save it as UTF-8") from error


def _walk(path: Path) -> int:
    """A descriptor of the file, reached from ``/``: everything on the way is judged as it was opened, links too."""
    here, done, rest, links = os.open("/", DIRECTORY), Path("/"), list(path.absolute().parts), 0
    try:
        while rest:
            name = rest.pop(0)
            target = _link(here, name, done / name)
            if target:
                links += 1
                rest = [*target, *rest]
                _refuse_loop(links, path)
                continue
            deeper = os.open(name, DIRECTORY if rest else FILE, dir_fd=here)
            os.close(here)
            here, done = deeper, done / name
            _must_be_ours(os.fstat(here), done, path, is_file=not rest)
        return here
    except BaseException:
        os.close(here)
        raise


def _link(here: int, name: str, path: Path) -> tuple[str, ...]:
    """Where a link leads, in parts; nothing for what is no link."""
    found = os.stat(name, dir_fd=here, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        return ()
    if os.geteuid() == 0 and found.st_uid != 0:
        raise UsageError(
            f"{safe(path)} is a link of {_owner(found)}, who could point the site file elsewhere",
            "name the file itself: --site FILE",
        )
    return Path(os.readlink(name, dir_fd=here)).parts


def _refuse_loop(links: int, path: Path) -> None:
    if links > LINKS:
        raise UsageError(f"{safe(path)} goes in circles of links", "name the file itself: --site FILE")


def _must_be_ours(found: os.stat_result, place: Path, path: Path, *, is_file: bool) -> None:
    """Refuse what others can write; of directories only root is asked, who may be made to run what lies in them."""
    if is_file and not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{safe(place)} is no regular file", "name the site file: --site FILE")
    is_root, is_sticky = os.geteuid() == 0, not is_file and bool(found.st_mode & stat.S_ISVTX)
    is_foreign, is_open = is_root and found.st_uid != 0, bool(found.st_mode & OTHERS) and not is_sticky
    if (is_file or is_root) and (is_foreign or is_open):
        what = "the site file" if is_file else f"{safe(place)}, the directory of the site file,"
        who = f"owner {_owner(found)}, mode {stat.S_IMODE(found.st_mode):04o}"
        names = f" {safe(place)}" if is_file else ""
        raise UsageError(
            f"{what}{names} can be written by others ({who}), and it names commands that run as {_user(os.geteuid())}",
            _mend(place, path, is_file=is_file, is_foreign=is_foreign, is_open=is_open),
        )


def _mend(place: Path, path: Path, *, is_file: bool, is_foreign: bool, is_open: bool) -> str:
    """The command after which it would be read."""
    if is_foreign and not is_file:
        return f"copy it to where only root writes: install -D -m 600 {_quoted(path)} /etc/pacs_recover/site.yaml"
    commands = [f"chown root {_quoted(place)}"] * is_foreign + [f"chmod go-w {_quoted(place)}"] * is_open
    return f"see that nobody changed it, then: {' && '.join(commands)}"


def _owner(found: os.stat_result) -> str:
    return _user(found.st_uid)


def _user(uid: int) -> str:
    try:
        return safe(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"uid {uid}"


def _quoted(path: Path) -> str:
    return shlex.quote(safe(path))
