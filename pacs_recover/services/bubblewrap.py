"""What a sandbox is made of, and the command line of bubblewrap that makes it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
"""Programs and libraries: all that a sandbox sees of the host beside what is named below."""
SETTINGS = (
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"),
    *("/etc/hosts", "/etc/localtime", "/etc/timezone", "/etc/alternatives", "/etc/ssl/certs", "/etc/ssl/openssl.cnf"),
    *("/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/etc/crypto-policies", "/etc/ca-certificates"),
)
"""What programs read of /etc before their own configuration; no key is among them."""
SCRATCH = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108 - the sandbox's own
"""Empty directories of its own, in memory, that anybody in it may write."""


@dataclass(frozen=True)
class Box:
    """What a sandbox is made of."""

    name: str
    """The service's, as the site calls it."""
    argv: tuple[str, ...]
    """Runs in the foreground."""
    environment: Mapping[str, str]
    copies: Mapping[Path, Path]
    """The sandbox's own files and directories by the place where the service sees them; it may write them."""
    hidden: tuple[Path, ...]
    """What of the live site it must not see: live parts, backups, the key."""
    readable: tuple[Path, ...] = ()
    """Directories of the host that it needs to run."""
    writable: tuple[Path, ...] = ()
    """Empty directories that it may write."""
    user: tuple[int, int] = field(default_factory=lambda: (os.geteuid(), os.getegid()))
    directory: str = "/"
    stop_timeout: float = 10.0


def bubblewrap(box: Box) -> list[str]:
    """The command line of the sandbox: nothing of the host but its programs, no network, copies at the live paths."""
    shut = ["--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session"]
    privileged = os.geteuid() == 0
    caps = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if privileged else []
    argv = ["bwrap", *shut, *caps, "--proc", "/proc", "--dev", "/dev", *_system(), *_parents(box)]
    for path in SCRATCH:
        argv += ["--perms", "1777", "--tmpfs", path]
    for path in (*SETTINGS, *map(str, box.readable)):
        argv += ["--ro-bind-try", path, path]
    argv += [word for path in _shown(box) for word in ("--tmpfs" if path.is_dir() else "--ro-bind", *_mask(path))]
    argv += [word for path in box.writable for word in ("--perms", "1777", "--tmpfs", str(path))]
    for place, copy in sorted(box.copies.items()):
        argv += ["--bind", str(copy), str(place)]
    variables = [word for name, value in box.environment.items() for word in ("--setenv", name, value)]
    return [*argv, "--clearenv", "--setenv", "PATH", os.defpath, *variables, "--chdir", box.directory]


def _parents(box: Box) -> Iterator[str]:
    """The directories above what is mounted: bubblewrap would make some of them for root alone."""
    shown = [Path(path) for path in (*SYSTEM, *map(str, box.readable))]
    places = [Path(path) for path in (*SETTINGS, *SCRATCH, *map(str, (*box.readable, *box.writable, *box.copies)))]
    above = {parent for place in places for parent in place.parents if parent != Path("/")}
    for path in sorted(above):
        if path != Path("/dev") and not any(path.is_relative_to(top) for top in shown):
            yield from ("--perms", "0755", "--dir", str(path))


def _mask(path: Path) -> tuple[str, ...]:
    return (str(path),) if path.is_dir() else ("/dev/null", str(path))


def _shown(box: Box) -> Iterator[Path]:
    """What must stay hidden though it lies in a directory that is shown."""
    shown = [Path(path) for path in (*SYSTEM, *SETTINGS, *map(str, box.readable))]
    copied = [Path(os.path.realpath(path)) for path in box.copies]
    for path in dict.fromkeys(box.hidden):
        if path.exists() and any(path.is_relative_to(top) for top in shown) and path not in copied:
            yield path


def _system() -> Iterator[str]:
    for path in SYSTEM:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)  # noqa: PTH115
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)


def as_user(box: Box) -> tuple[str, ...]:
    """The service's program, as the service's user: root gives its rights up inside."""
    uid, gid = box.user
    if os.geteuid() != 0 or (uid, gid) == (0, 0):
        return box.argv
    ids = ("--reuid", str(uid), "--regid", str(gid), "--clear-groups", "--no-new-privs")
    return ("setpriv", *ids, "--", *box.argv)
