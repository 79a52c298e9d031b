"""A service run for a drill: in a sandbox with copies for live files and a network of nothing but its own loopback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from pacs_recover.errors import RecoverError
from pacs_recover.model import Service, ServiceState
from pacs_recover.services.calls import LOOK, NoAnswer, call
from pacs_recover.services.inside import Inside
from pacs_recover.services.isolation import must_be_isolated
from pacs_recover.text import safe, seconds

POLL = 0.1
SETTLED = 20.0
"""Seconds that bubblewrap may take to build the sandbox."""
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


class Sandboxed(Service, Protocol):
    """A service that runs in a sandbox and can be asked in there."""

    isolation: str
    """The evidence that it is shut in; empty before its start."""

    def inside(self) -> Inside:
        """The prober in its network. RecoverError where it does not run."""
        ...

    def close(self) -> None:
        """End it and all that is in its sandbox, whatever state it is in."""
        ...


class Process:
    """A process under bubblewrap; it dies with ours, ``kill -9`` included."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.isolation = ""
        self._bwrap: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._inside: Inside | None = None

    @property
    def name(self) -> str:
        """What the site calls it."""
        return self.box.name

    def state(self) -> ServiceState:
        """Whether the sandboxed process runs."""
        if self._bwrap is None:
            return ServiceState("stopped", "not started in the sandbox")
        code = self._bwrap.poll()
        if code is None:
            return ServiceState("active", f"running in the sandbox, pid {self._init}", None, self._init)
        return ServiceState("failed", f"ended by itself in the sandbox, exit {code}")

    def start(self) -> str:
        """Build the sandbox, see from outside that it is shut, and only then let the program run. RecoverError."""
        self.close()
        go = self._build()
        try:
            self.isolation = must_be_isolated(self._init, self.box.copies, self.box.hidden)
            os.write(go, b"go")
        except BaseException:
            self.close()
            raise
        finally:
            os.close(go)
        return f"{safe(self.name)} started in a sandbox: {self.isolation}"

    def _build(self) -> int:
        """Bubblewrap, waiting with everything mounted; the descriptor that lets it go on."""
        waiting, go = os.pipe()
        told, telling = os.pipe()
        argv = [*bubblewrap(self.box), "--info-fd", str(telling), "--block-fd", str(waiting), "--", *_as_user(self.box)]
        try:
            self._bwrap = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # it may hold patient data
                stderr=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                cwd="/",
                pass_fds=(waiting, telling),
            )
        except OSError as error:
            os.close(go)
            raise RecoverError(f"bwrap cannot be run: {error.strerror}", "install bubblewrap") from error
        finally:
            os.close(waiting)
            os.close(telling)
        try:
            self._init = _child(told)
            self._wait_until_built()
        except BaseException:
            os.close(go)
            self.close()
            raise
        finally:
            os.close(told)
        return go

    def _wait_until_built(self) -> None:
        """Its first process has changed its root once everything is mounted."""
        deadline = time.monotonic() + SETTLED
        while not _is_built(self._init, self.box):
            if time.monotonic() > deadline or self._bwrap is None or self._bwrap.poll() is not None:
                raise RecoverError(
                    "bubblewrap could not build the sandbox", "try: bwrap --unshare-net --ro-bind / / true"
                )
            time.sleep(0.01)

    def stop(self) -> str:
        """Ask it to end, wait, kill it; it is gone after this."""
        if self.state().activity != "active":
            self.close()
            return f"{safe(self.name)}: nothing runs in the sandbox"
        for pid in _children(self._init):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)
        assert self._bwrap is not None
        how = "ended"
        try:
            self._bwrap.wait(self.box.stop_timeout)
        except subprocess.TimeoutExpired:
            how = f"killed after {seconds(self.box.stop_timeout)}"
        self.close()
        return f"{safe(self.name)} {how} in the sandbox"

    def environment(self) -> dict[str, str] | None:
        """The variables that it is run with."""
        return dict(self.box.environment)

    def inside(self) -> Inside:
        """The prober in its network. RecoverError where it does not run."""
        if self.state().activity != "active":
            raise RecoverError(f"{safe(self.name)}: {self.state().detail}", "nothing can be asked")
        if self._inside is None or self._inside.process.poll() is not None:
            self._inside = Inside.of(self._init)
        return self._inside

    def close(self) -> None:
        """Kill everything in the sandbox: its processes end with the first one of their namespace."""
        if self._inside is not None:
            self._inside.close()
            self._inside = None
        if self._bwrap is not None:
            with suppress(ProcessLookupError, PermissionError):
                if self._init and self._bwrap.poll() is None:
                    os.kill(self._init, signal.SIGKILL)
            self._bwrap.kill()
            self._bwrap.wait()
            self._bwrap = None
            _wait_until_dead(self._init)


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


def _as_user(box: Box) -> tuple[str, ...]:
    """The service's program, as the service's user: root gives its rights up inside."""
    uid, gid = box.user
    if os.geteuid() != 0 or (uid, gid) == (0, 0):
        return box.argv
    ids = ("--reuid", str(uid), "--regid", str(gid), "--clear-groups", "--no-new-privs")
    return ("setpriv", *ids, "--", *box.argv)


def _child(told: int) -> int:
    """The sandbox's first process, as bubblewrap tells it. RecoverError where it tells nothing."""
    said = bytearray()
    while data := os.read(told, 4096):
        said += data
    try:
        return int(msgspec.json.decode(bytes(said))["child-pid"])
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise RecoverError(
            "bubblewrap could not make the sandbox's namespaces", "try: bwrap --unshare-net --ro-bind / / true"
        ) from error


def _is_built(pid: int, box: Box) -> bool:
    root = Path(f"/proc/{pid}/root")
    try:
        return all((root / place.relative_to("/")).samefile(copy) for place, copy in box.copies.items())
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _wait_until_dead(pid: int) -> None:
    """A namespace's first process is dead only when all others in it are."""
    deadline = time.monotonic() + SETTLED
    while pid and _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def missing() -> str:
    """Why no process can be shut in on this host; empty where one can."""
    for program, package in (("bwrap", "bubblewrap"), ("setpriv", "util-linux")):
        if not shutil.which(program):
            return f"{program} is not installed (package {package})"
    try:
        done = call(["bwrap", "--unshare-net", "--unshare-pid", "--ro-bind", "/", "/", "true"], LOOK)
    except NoAnswer as error:
        return error.message
    return f"bubblewrap cannot make a sandbox here: {done.complaint}" if done.code else ""
