"""The first code of the one file: sees that this host can run it, unpacks it privately, starts it.

It is read by whatever Python somebody starts it with, so it keeps to what every one since 3.6 understands.
"""

import json
import os
import pkgutil
import stat
import sys
import tempfile
import zipfile
from contextlib import suppress
from shutil import rmtree
from typing import Any, Dict, List, NoReturn, Tuple

ARCHIVE = os.path.dirname(os.path.abspath(__file__))
"""The one file: to Python it is a directory."""
PACKED = "site-packages/"
ROOM = 32 << 20
"""Bytes that unpacking leaves free: it must not be what fills a disk up."""
CHOSEN = "PACS_RECOVER_UNPACKED"
"""The environment's name for where it is unpacked; other programs that this one starts have it too."""
WRONG, REFUSED = 2, 5
"""Exit codes of the command line's contract."""


class Unfit(Exception):
    """Why a place is not one to unpack in."""


def main() -> None:
    """Run the program, or say what it needs and exit."""
    needs = json.loads(packed("needs.json"))
    missing = unmet(needs)
    if missing:
        end(WRONG, "this file needs " + missing, advice(needs))
    sys.path[0] = unpacked(needs)
    from pacs_recover.cli import main as program

    program()


def packed(name: str) -> str:
    """A text that lies beside this one. OSError."""
    content = pkgutil.get_data(__name__, name)
    return (content or b"").decode()


def end(code: int, problem: str, hint: str) -> NoReturn:
    """Say what is wrong and what to do, as every command does."""
    sys.stderr.write(f"error: {problem}\nhint: {hint}\n")
    sys.exit(code)


def unmet(needs: Dict[str, Any]) -> str:
    """What this host does not have, in words; empty where it has all."""
    name, machine, library = sys.implementation.name, os.uname().machine, glibc()
    if (name, running()) != ("cpython", needs["python"]):
        return f"CPython {needs['python']}; this is {name} {running()} ({sys.executable})"
    if machine != needs["machine"]:
        return f"a machine of {needs['machine']}; this is {machine}"
    if numbers(library) < numbers(needs["glibc"]):
        return f"glibc {needs['glibc']} or newer; this host has {library or 'another C library'}"
    return ""


def running() -> str:
    """The version of this Python, as far as compiled parts depend on it."""
    return "{}.{}".format(*sys.version_info)


def advice(needs: Dict[str, Any]) -> str:
    """What to do where it cannot run."""
    for place in os.get_exec_path():
        other = os.path.join(place, "python" + needs["python"])
        if running() != needs["python"] and os.access(other, os.X_OK):
            return f"this host has it: {other} {ARCHIVE}"
    return "take the file that was built for this host (make dist on one like it), or install the wheel with pip"


def glibc() -> str:
    """The version of the C library that runs; empty where it is not glibc."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")[2]
    except (OSError, ValueError):  # musl has no such name
        return ""


def numbers(version: str) -> Tuple[int, ...]:
    """A version to compare."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def unpacked(needs: Dict[str, Any]) -> str:
    """The directory that holds the program, unpacked now where it nowhere was. Exits where there is no place."""
    contents = [line.split(" ", 1) for line in packed("contents.txt").splitlines()]
    reasons = []
    for place in places():
        home = os.path.join(place, needs["build"])
        try:
            private(place)
            if not whole(home, contents):
                unpack(home, needs)
        except (OSError, Unfit) as problem:
            reasons.append(f"{place} ({getattr(problem, 'strerror', None) or problem})")
        else:
            os.environ[CHOSEN] = place
            return home
    end(REFUSED, "no place to unpack in: " + ", ".join(reasons), f"name one with room: {CHOSEN}=/some/directory")


def places() -> List[str]:
    """Where it may be unpacked, best first: what lasts, then what is gone after a reboot, then memory."""
    if os.environ.get(CHOSEN):
        return [os.path.abspath(os.environ[CHOSEN])]
    root, mine = os.geteuid() == 0, f"pacs-recover-{os.geteuid()}"
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    runtime = "/run" if root else os.environ.get("XDG_RUNTIME_DIR")
    found = [os.path.join("/var/cache" if root else cache, "pacs-recover")]
    found += [os.path.join(runtime, "pacs-recover")] if runtime else []
    return found + [os.path.join(shared, mine) for shared in (tempfile.gettempdir(), "/var/tmp", "/dev/shm")]  # noqa: S108


def private(place: str) -> None:
    """Make the place, or see that it is ours alone and that nobody else can exchange it. OSError, Unfit."""
    above = os.path.realpath(os.path.dirname(place))
    os.makedirs(above, 0o700, exist_ok=True)
    while True:
        if not trusted(os.stat(above)):
            raise Unfit("others can write " + above)
        if above == os.path.dirname(above):
            break
        above = os.path.dirname(above)
    with suppress(FileExistsError):
        os.mkdir(place, 0o700)
    found = os.lstat(place)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise Unfit("it is not a directory of this user alone")


def trusted(directory: os.stat_result) -> bool:
    """Whether only we and root can exchange what is ours in it."""
    sticky = directory.st_mode & stat.S_ISVTX
    return directory.st_uid in (0, os.geteuid()) and (bool(sticky) or not directory.st_mode & 0o022)


def whole(home: str, contents: List[List[str]]) -> bool:
    """Whether every file is there with its size: cleaners of temporary directories and power cuts leave some out."""
    try:
        return all(os.stat(os.path.join(home, name)).st_size == int(size) for size, name in contents)
    except OSError:
        return False


def unpack(home: str, needs: Dict[str, Any]) -> None:
    """Beside its place, then renamed, so that no other process sees half of it. OSError, Unfit."""
    place = os.path.dirname(home)
    disk = os.statvfs(place)
    if disk.f_flag & os.ST_NOEXEC:
        raise Unfit("mounted noexec")
    if disk.f_bavail * disk.f_frsize < needs["bytes"] + ROOM:
        raise Unfit(f"too little room: {(needs['bytes'] + ROOM) >> 20} MiB are needed")
    beside = tempfile.mkdtemp(prefix="unpacking-", dir=place)
    try:
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(beside, [name for name in archive.namelist() if name.startswith(PACKED)])
        if os.path.lexists(home):
            os.rename(home, os.path.join(beside, "damaged"))
        os.rename(os.path.join(beside, PACKED), home)
    finally:
        rmtree(beside, ignore_errors=True)
