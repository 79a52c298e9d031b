"""Timers for what has to run unattended: units of systemd, or a cron file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from pacs_recover import calling
from pacs_recover.authority import Authority
from pacs_recover.errors import UsageError
from pacs_recover.text import safe

BACKUP = "backup-"
"""How the jobs that make backups begin; the rest is the component."""
JOBS = {
    "backup-config": ("Back up the configuration of PACS Bridge", "*-*-* 02:00", "0 2 * * *", 3600),
    "backup-certs": ("Back up the certificates of PACS Bridge", "Sun *-*-* 03:00", "0 3 * * 0", 3600),
    "backup-queue": ("Back up the queue of PACS Bridge", "*-*-* *:00", "0 * * * *", 3000),
    "backup-logs": ("Ship the closed logs of PACS Bridge", "*-*-* 04:00", "0 4 * * *", 10800),
    "status": ("How PACS Bridge stands, for monitoring", "*:0/5", "*/5 * * * *", 600),
    "verify": ("Verify the newest backups of PACS Bridge", "*-*-* 04:30", "30 4 * * *", 43200),
    "prune": ("Remove the backups of PACS Bridge that are too old", "*-*-* 05:15", "15 5 * * *", 10800),
    "drill": ("Recovery drill of PACS Bridge", "*-*-01 05:30", "30 5 1 * *", 14400),
}
"""What it is, when for systemd and for cron, and the seconds after which it is given up; backups as the guide has them.

Pruning comes after what it judges by, and not in the minute in which backups hold the site.
"""
WAIT = "600"
"""Seconds that a scheduled job waits for a restore, or for a backup of the same minute."""
PUNCTUAL = ("status", *(name for name in JOBS if name.startswith(BACKUP)))
"""Those that are not spread: a backup that is late by minutes misses an RPO that is its own period."""
CRON = "pacs-recover"


def files(site: Path | None, state: Path, *, cron: bool = False, replicated: bool = False) -> dict[str, str]:
    """The text of each file, by its name; a queue that is ``replicated`` gets no backups by the hour."""
    words = {name: _words(name, site, state) for name in JOBS if not (replicated and name == f"{BACKUP}queue")}
    if cron:
        lines = [f"{JOBS[name][2]} root {_cron(argv)}" for name, argv in words.items()]
        return {CRON: "\n".join(["SHELL=/bin/sh", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *lines]) + "\n"}
    made = {}
    for name, argv in words.items():
        made[f"pacs-recover-{name}.service"] = _service(name, argv)
        made[f"pacs-recover-{name}.timer"] = _timer(name)
    return made


def _words(name: str, site: Path | None, state: Path) -> list[str]:
    start = [*calling.itself(), *(["--site", str(site.absolute())] if site else [])]
    own = {
        "status": ["--prometheus", "--output", str(state / "status.prom")],
        "verify": [],
        "prune": ["--apply", "--wait", WAIT],
        "drill": ["--yes"],
    }
    if name.startswith(BACKUP):
        return [*start, "--state", str(state), "backup", name.removeprefix(BACKUP), "--wait", WAIT]
    return [*start, "--state", str(state), name, *own[name]]


def _service(name: str, argv: list[str]) -> str:
    what, _, _, longest = JOBS[name]
    return (
        f"[Unit]\nDescription={what}\nWants=network-online.target\nAfter=network-online.target\n\n"
        f"[Service]\nType=oneshot\nExecStart={' '.join(map(_word, argv))}\n"
        f"TimeoutStartSec={longest}\nNice=10\nIOSchedulingClass=idle\nUMask=0077\n"
    )


def _timer(name: str) -> str:
    what, when, _, _ = JOBS[name]
    spread = "0" if name in PUNCTUAL else "15min"
    return (
        f"[Unit]\nDescription={what}\n\n[Timer]\nOnCalendar={when}\nRandomizedDelaySec={spread}\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def _word(word: str) -> str:
    """One argument as systemd.syntax(7) and systemd.service(5) read it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _cron(argv: list[str]) -> str:
    """A command as crontab(5) reads it: a ``%`` would end it."""
    return shlex.join(argv).replace("%", "\\%") + " >/dev/null"


def install(made: Mapping[str, str], into: Path, authority: Authority) -> None:
    """Write the files; one that is there already must say the same. Refused, UsageError."""
    authority.must_allow("site timers --install")
    try:
        for name, text in made.items():
            if (into / name).exists() and (into / name).read_text() != text:
                raise UsageError(f"{safe(into / name)} is another one", "move it away first: nothing is overwritten")
        for name, text in made.items():
            if not (into / name).exists():
                fd = os.open(into / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with os.fdopen(fd, "w") as file:
                    file.write(text)
                    os.fchmod(fd, 0o644)
    except OSError as error:
        raise UsageError(f"{safe(into)} cannot be written: {error.strerror}", "name a directory that exists") from error


def afterwards(made: Mapping[str, str]) -> str:
    """What is still to be done."""
    units = " ".join(name for name in made if name.endswith(".timer"))
    return f"now: systemctl daemon-reload && systemctl enable --now {units}" if units else "cron reads it by itself"
