"""The fault matrix: what is broken, how, where, and what is promised afterwards. docs/faults.md shows this table."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.lab import PLANS
from tests.faults.preload import ALLOCATES, ATTRIBUTE, CREATE, NAME, READ, WRITE, Injection

Where = Literal["live", "state", "site"]
"""Which directories an injection looks at: the live ones, the state directory, or all with the backups."""


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
    purpose: Literal["restore", "rollback", "resume"] = "restore"
    """What the worker does that is struck."""
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
        "SIGKILL before every system call that changes a file (of all three together: before six of every step)",
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
    "kill-rollback": Fault(
        "kill -9 of a rollback",
        "SIGKILL before every system call that changes a file, in the rollback of a finished restore",
        "another `rollback` brings the old state",
        OLD,
        Injection("kill"),
        purpose="rollback",
        each=0,
    ),
    "eio-rollback": Fault(
        "a disk that dies during a rollback",
        "EIO from every system call that changes a live directory, from one on",
        "exit 4 says what is left; once the disk is back, another `rollback` brings the old state",
        OLD,
        Injection("fail", lasting=True, error=errno.EIO),
        purpose="rollback",
        where="live",
    ),
    "full-rollback": Fault(
        "the journal's disk is full during a rollback",
        "ENOSPC from every call that allocates in the state directory, from one on",
        "it does what it can without its journal; once there is room, another `rollback` brings the old state",
        OLD,
        Injection("fail", ALLOCATES, lasting=True, error=errno.ENOSPC),
        purpose="rollback",
        where="state",
    ),
    "kill-resumed": Fault(
        "kill -9 of a resume",
        "SIGKILL before a system call that changes a file, in the resume of a restore that was cut",
        "another `resume` arrives at the new state, a `rollback` at the old one",
        EITHER,
        Injection("kill"),
        purpose="resume",
        each=3,
    ),
}
"""Faults that the shim brings at a system call of a worker."""


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


BY_HAND = (
    "untouched, rolled back, or exit 4 with what is left; once the disk is mended, `rollback` brings the old state"
)
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
        "chattr -f +i {live}/etc {live}/etc/pacs_bridge {live}/var/lib/pacs_bridge",
        "chattr -R -f -i {live} || true",
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
        "the service does not stop",
        "its stop command succeeds and it still runs",
        ROLLED_BACK,
        1,
        '[ "$1" = stop ] && exit 0',
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
        ONCE.format(
            verb="start", fault='touch "$root/running"; (sleep 0.7; rm -f "$root/running"; exec sleep 60) & ' + HAUNTED
        )
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
    "health-unwell": ServiceFault(
        "the health endpoint says 503", "503 to every request", ROLLED_BACK, 1, health="unwell"
    ),
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


@dataclass(frozen=True)
class CompanyFault:
    """What somebody else does while a worker is held at one of its system calls."""

    name: str
    how: str
    promise: str
    script: str
    """A shell script; {said} is a file whose words are compared with ``told``."""
    codes: tuple[int, ...] = (0,)
    ends: frozenset[str] = NEW
    told: str = ""
    after: str = "true"
    """What puts back what the script moved."""
    each: int = 1
    """Calls of each step at which it is done by ``make faults``."""
    quick: int = 8
    """Every so many of them in a quick look."""
    plans: tuple[str, ...] = tuple(PLANS)


OTHER = "{recover} --site {site} --state {state}"
COMPANY = {
    "second-operator": CompanyFault(
        "a second operator",
        "`restore`, `rollback`, `resume` and `close` of the same site, each by a real command",
        "each is refused with exit 5, and the run is not disturbed",
        "for words in 'restore --yes --plan {plan}' 'rollback --yes {run}' 'resume {run}' 'close --why test {run}'; do "
        f"{OTHER} $words >/dev/null 2>>{{said}}.err; echo $? >>{{said}}; done",
        told="5 5 5 5",
        quick=13,
        plans=("queue", "full"),
    ),
    "cron-backup": CompanyFault(
        "a backup job at the same time",
        "the online backup of the queue and a tar of the configuration, from start to end",
        "restored, or rolled back where the job was met in the queue; a copy that it made is sound",
        "[ -e {queue} ] && sqlite3 -readonly {queue} \".backup '{said}.db'\" 2>/dev/null; "
        "tar -C {live}/etc -cf /dev/null pacs_bridge 2>/dev/null; true",
        codes=(0, 1),
        ends=EITHER,
        after="[ -s {queue}-wal ] || rm -f {queue}-wal {queue}-shm",  # SQLite's own, of a reader, without content
        each=2,
    ),
    "long-reader": CompanyFault(
        "a backup job that holds the live queue open",
        "a process opens the database and does not let go",
        "restored where it came too late to matter; else rolled back, and the process is named",
        "[ -e {queue} ] && {{ sleep 4242 <{queue} & echo $! >{said}.pid; }}; true",
        codes=(0, 1),
        ends=EITHER,
        after="[ ! -e {said}.pid ] || kill $(cat {said}.pid); rm -f {said}.pid",
        plans=("full",),
        quick=9,
    ),
    "source-gone": CompanyFault(
        "the source vanishes",
        "the directory of the backups is renamed away",
        "exit 3 before anything was touched; restored where all was read already",
        "mv {backups} {backups}.away",
        codes=(0, 1, 3),
        ends=EITHER,
        after="mv {backups}.away {backups}",
        each=3,
    ),
    "source-cut": CompanyFault(
        "the source is cut short while it is read",
        "every backup is replaced by its first kilobyte, in place",
        "exit 6 before anything was touched; restored where all was read already",
        "cp -a {backups} {backups}.whole; find {backups} -type f -exec truncate -s 1024 {{}} +",
        codes=(0, 1, 3, 6),
        ends=EITHER,
        after="rm -r {backups}; mv {backups}.whole {backups}",
        each=3,
    ),
    "sigterm": CompanyFault(
        "the worker is told to end",
        "SIGTERM to the worker",
        "exit 130 before anything was changed, else rolled back; not in a rollback or once it is proven",
        "kill -TERM $PPID",
        codes=(0, 1, 130),
        ends=EITHER,
        each=3,
    ),
    "sighup": CompanyFault(
        "the worker gets the signals of a lost terminal",
        "SIGHUP and SIGINT to the worker",
        "restored",
        "kill -HUP $PPID; kill -INT $PPID",
        each=2,
    ),
}
"""Faults that are somebody else's doing."""


@dataclass(frozen=True)
class Row:
    """A row whose cases are a test of their own."""

    name: str
    how: str
    promise: str


OTHERS = {
    "power-restore": Row(
        "power loss during a restore",
        "killed at a system call; of what was not fsynced nothing is kept, or a part by chance (`durable.py`)",
        "`rollback` brings the old state; `resume` the new one, trusting nothing that was not sealed",
    ),
    "power-rollback": Row(
        "power loss during a rollback",
        "the same, at every other system call of the rollback of a finished restore",
        "another `rollback` brings the old state",
    ),
    "power-real": Row(
        "power loss (a real ext4)",
        "site, backups and state on one ext4 that is shut down without flushing its journal; mounted again",
        "as for the model",
    ),
    "hang-up": Row(
        "the SSH session drops",
        "what holds the front end's terminal is killed at a system call of the worker; the kernel hangs it up",
        "the worker goes on: restored",
    ),
    "kill-front": Row(
        "kill -9 of the front end",
        "SIGKILL before a system call that changes a file, from arming the plan on",
        "untouched and nothing stands in the way of another try; or the worker was started, and restores",
    ),
}
"""The others."""
ROWS: dict[str, Fault | DiskFault | ServiceFault | ValidatorFault | CompanyFault | Row] = {
    **POINTS,
    **DISKS,
    **OTHERS,
    **SERVICES,
    **VALIDATORS,
    **COMPANY,
}
"""All of them, in the order of the document."""
