"""The fault matrix: what is broken, how, where, and what is promised afterwards. docs/faults.md shows this table."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.lab import PLANS
from tests.faults.preload import ALLOCATES, ATTRIBUTE, CREATE, NAME, READ, WRITE, Injection

Where = Literal["live", "state", "backups", "site"]
"""Which directories an injection looks at: the live ones, the state directory, the backups, or all."""


@dataclass(frozen=True)
class Fault:
    """One row."""

    name: str
    how: str
    """How it is injected, for people."""
    promise: str
    """What is promised afterwards, besides what is promised always."""
    ends: frozenset[str]
    """The states in which a case may leave the site, once an operator did what the run says; all are seen."""
    injection: Injection = field(default_factory=Injection)
    where: Where = "site"
    each: int = 2
    """Calls of each step that are struck by ``make faults``; 0 is every call."""
    way: Literal["roll_back", "resume"] = "roll_back"
    """What the operator does about a run that was cut."""
    plans: tuple[str, ...] = tuple(PLANS)


OLD, NEW = frozenset({"old"}), frozenset({"new"})
EITHER = OLD | NEW


POINTS = {
    "kill": Fault(
        "kill -9 of the worker",
        "SIGKILL before every system call that changes a file",
        "`rollback` brings the old state, twice alike; a restore that had reached its end stays",
        EITHER,
        Injection("kill"),
        each=0,
    ),
    "kill-resume": Fault(
        "kill -9 of the worker, then resume",
        "SIGKILL before a system call that changes a file, then `resume` in a fresh process",
        "`resume` arrives at the new state",
        EITHER,
        Injection("kill"),
        each=4,
        way="resume",
    ),
    "torn": Fault(
        "killed in the middle of a write",
        "half of a write reaches the file, then SIGKILL",
        "as for a kill: a torn last line of the journal never happened",
        EITHER,
        Injection("torn", WRITE),
        each=3,
    ),
    "eio": Fault(
        "an I/O error, once",
        "EIO from one system call that changes a file",
        "rolled back by itself, or not needed and restored",
        EITHER,
        Injection("fail", error=errno.EIO),
    ),
    "eio-read": Fault(
        "an I/O error while reading",
        "EIO from one read of a backup, of what is staged or of what lives",
        "rolled back by itself, or not needed and restored",
        EITHER,
        Injection("fail", READ, error=errno.EIO),
    ),
    "eio-for-good": Fault(
        "a disk that dies",
        "EIO from every system call that changes a live directory, from one on",
        "nothing was touched, or exit 4 says what is left; once the disk is back, `rollback` brings the old state",
        EITHER,
        Injection("fail", lasting=True, error=errno.EIO),
        where="live",
    ),
    "full": Fault(
        "the live disk fills up",
        "ENOSPC from every call that allocates in a live directory, from one on",
        "as for a disk that dies; what needs no room is still rolled back by itself",
        EITHER,
        Injection("fail", ALLOCATES, lasting=True, error=errno.ENOSPC),
        where="live",
    ),
    "journal-full": Fault(
        "the journal's disk fills up",
        "ENOSPC from every call that allocates in the state directory, from one on",
        "no change without its journal line: rolled back, or restored and proven; taken up again once there is room",
        EITHER,
        Injection("fail", ALLOCATES, lasting=True, error=errno.ENOSPC),
        where="state",
    ),
    "read-only": Fault(
        "the filesystem turns read-only",
        "EROFS from every call that changes a live directory, from one on",
        "as for a disk that dies",
        EITHER,
        Injection("fail", ALLOCATES | NAME | ATTRIBUTE, lasting=True, error=errno.EROFS),
        where="live",
    ),
    "denied": Fault(
        "permission denied, once",
        "EACCES from one call that names or changes a file",
        "rolled back by itself, or not needed and restored",
        EITHER,
        Injection("fail", CREATE | NAME | ATTRIBUTE, error=errno.EACCES),
    ),
    "clock-back": Fault(
        "the clock jumps back three days",
        "CLOCK_REALTIME of the worker, from one call on",
        "restored; seconds in the report come from the clock since boot and stay true",
        NEW,
        Injection("clock", clock=-3 * 86400),
        each=1,
    ),
    "clock-ahead": Fault(
        "the clock jumps ahead thirty years",
        "CLOCK_REALTIME of the worker, from one call on",
        "restored; or untouched, where certificates are checked after the jump and have expired",
        EITHER,
        Injection("clock", clock=30 * 365 * 86400),
        each=1,
    ),
}
"""Faults that the shim brings at a system call of a restore."""


@dataclass(frozen=True)
class DiskFault:
    """One way in which the disk of the live directories fails for real."""

    name: str
    how: str
    promise: str
    script: str
    """Run at one system call of the worker; without one the disk is unplugged there."""
    mend: str = ""
    """What mends it; without it, the disk is mounted again."""


BY_HAND = "untouched, rolled back, or exit 4 with what is left; once the disk is mended, `rollback` brings the old state"
DISKS = {
    "disk-full": DiskFault(
        "disk full (a real ext4)",
        "another program takes every free block at one system call of the worker",
        BY_HAND,
        "dd if=/dev/zero of={live}/filler bs=1M 2>/dev/null; dd if=/dev/zero bs=512 >>{live}/filler 2>/dev/null",
        "rm -f {live}/filler",
    ),
    "disk-read-only": DiskFault(
        "the kernel turns the filesystem read-only (a real ext4)",
        "an error is triggered in an ext4 that is mounted with errors=remount-ro",
        BY_HAND,
        "echo fault >/sys/fs/ext4/{device}/trigger_fs_error",
    ),
    "disk-gone": DiskFault(
        "every access fails with EIO (a real ext4)",
        "the ext4 is shut down without flushing its journal, as when a disk drops off its bus",
        BY_HAND,
        "",
    ),
    "disk-immutable": DiskFault(
        "permission denied to root (a real ext4)",
        "chattr +i on the directories of configuration and queue",
        BY_HAND,
        "chattr +i {live}/etc {live}/etc/pacs_bridge {live}/var/lib/pacs_bridge",
        "chattr -i {live}/etc {live}/etc/pacs_bridge {live}/var/lib/pacs_bridge",
    ),
}
"""Faults of a real filesystem."""


@dataclass(frozen=True)
class ServiceFault:
    """One way in which a service does not obey; its script does this first, and otherwise what it is told."""

    name: str
    how: str
    promise: str
    code: int
    script: str = ""
    service: str = "service"
    """Which service's script: PACS Bridge's, or that of the one that follows its queue."""
    health: str = ""
    """What the health endpoint does, where the fault is about that."""
    soak: str = "0.3s"


ROLLED_BACK = "exit 1: rolled back, the old service runs"
LEFT = "exit 4 names the service; the files are the old ones; once it can start, `rollback` starts it"
ONCE = '[ "$1" = {verb} ] && [ ! -e "$root/once" ] && touch "$root/once" && {{ {fault}; }}'
"""Only with the restored files: what was there before works."""
HAUNTED = 'echo $! >"$root/pid"; exit 0'
EXORCISED = '\n[ "$1" = stop ] && [ -e "$root/pid" ] && kill "$(cat "$root/pid")" && rm "$root/pid"'
"""A stop ends what a start left running."""
SERVICES = {
    "stop-ignored": ServiceFault(
        "the service does not stop", "its stop command succeeds and it still runs", ROLLED_BACK, 1, '[ "$1" = stop ] && exit 0'
    ),
    "stop-fails": ServiceFault(
        "the service refuses to stop", "its stop command fails", ROLLED_BACK, 1, '[ "$1" = stop ] && exit 1'
    ),
    "stop-hangs": ServiceFault(
        "the stop command hangs", "it does not end", ROLLED_BACK, 1, '[ "$1" = stop ] && exec sleep 4242'
    ),
    "start-fails-once": ServiceFault(
        "the restored service does not start",
        "its start command fails the first time",
        ROLLED_BACK,
        1,
        ONCE.format(verb="start", fault="exit 1"),
    ),
    "start-fails": ServiceFault(
        "no service starts any more", "its start command fails", LEFT, 4, '[ "$1" = start ] && exit 1'
    ),
    "start-hangs-once": ServiceFault(
        "the start command hangs",
        "it does not end the first time",
        ROLLED_BACK,
        1,
        ONCE.format(verb="start", fault="exec sleep 4242"),
    ),
    "dead-at-once": ServiceFault(
        "the service starts and is dead at once",
        "its start command succeeds and nothing runs",
        ROLLED_BACK,
        1,
        ONCE.format(verb="start", fault="exit 0"),
    ),
    "crash-loops": ServiceFault(
        "the service crash-loops",
        "it goes down and up every 0.2 s after its start",
        ROLLED_BACK,
        1,
        ONCE.format(
            verb="start",
            fault='(while :; do touch "$root/running"; sleep 0.2; rm -f "$root/running"; sleep 0.2; done) & ' + HAUNTED,
        )
        + EXORCISED,
        soak="1.5s",
    ),
    "flaps": ServiceFault(
        "the service dies in the middle of its soak",
        "it goes down 0.7 s after its start, the soak is 1.5 s",
        ROLLED_BACK,
        1,
        ONCE.format(verb="start", fault='touch "$root/running"; (sleep 0.7; rm -f "$root/running") & ' + HAUNTED)
        + EXORCISED,
        soak="1.5s",
    ),
    "dies-and-stays": ServiceFault(
        "the service fails its soak, and then does not stop",
        "once started it ignores every stop, and its status soon tells nothing",
        LEFT,
        4,
        'case "$1" in start) touch "$root/running" "$root/again"; exit 0 ;; stop) [ -e "$root/again" ] && exit 0 ;; '
        'status) [ -e "$root/again" ] && exit 4 ;; esac',
    ),
    "health-silent": ServiceFault(
        "the health endpoint never answers", "it accepts and says nothing", ROLLED_BACK, 1, health="silent"
    ),
    "health-unwell": ServiceFault("the health endpoint says 503", "503 to every request", ROLLED_BACK, 1, health="unwell"),
    "health-hangs-up": ServiceFault(
        "the health endpoint hangs up", "it closes every connection", ROLLED_BACK, 1, health="hangs up"
    ),
    "litestream-stays": ServiceFault(
        "Litestream does not stop",
        "the stop command of the second service succeeds and it still runs",
        ROLLED_BACK,
        1,
        '[ "$1" = stop ] && exit 0',
        service="litestream",
    ),
    "litestream-stays-down": ServiceFault(
        "Litestream does not start any more",
        "the start command of the second service fails",
        LEFT,
        4,
        '[ "$1" = start ] && exit 1',
        service="litestream",
    ),
}
"""Faults of services, each in a restore of every component."""


@dataclass(frozen=True)
class ValidatorFault:
    """One way in which the site's own validator does not say yes."""

    name: str
    how: str
    promise: str
    code: int
    script: str = ""


VALIDATORS = {
    "validator-missing": ValidatorFault(
        "the validator is missing", "its program is gone", "exit 1 before anything was touched", 1
    ),
    "validator-hangs": ValidatorFault(
        "the validator hangs",
        "it and what it started do not end",
        "exit 1 before anything was touched; no process of it is left",
        1,
        "sleep 4242 & echo $$ $! >pids; wait",
    ),
    "validator-refuses": ValidatorFault(
        "the validator refuses", "it exits with 1", "exit 6 before anything was touched", 6, "exit 1"
    ),
}
"""Faults of the validator, in the restores that have a configuration."""
