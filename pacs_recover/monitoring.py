"""A status as monitoring reads it: one line for the Nagios plugin API, a text file for Prometheus' node_exporter."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pacs_recover.authority import Authority
from pacs_recover.errors import UsageError
from pacs_recover.standing import RANK, issues, worst
from pacs_recover.text import safe

Status = Mapping[str, Any]
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
"""By exit status (https://www.monitoring-plugins.org/doc/guidelines.html)."""
NAMED = 3
"""How many issues of a site are named in the line."""
HELP = {
    "state": "0 fine, 1 warning, 2 bad: the worst of all that status tells",
    "backup_age_seconds": "age of the newest backup that can be read",
    "backup_rpo_seconds": "how old it may be",
    "backup_good": "1: the newest backup was verified and is unchanged",
    "verification_age_seconds": "since the newest backup of every component was verified",
    "verification_ok": "1: that found all good",
    "drill_age_seconds": "since the last drill that was decided",
    "drill_ok": "1: it passed",
    "drill_recovery_seconds": "how long it took to recover",
    "certificate_days_left": "of the live certificate that expires first",
    "queue_waiting": "messages that have yet to be sent",
    "queue_dead_letters": "messages that will not be sent",
    "service_active": "1: it runs",
    "source_ok": "1: the source of backups could be read in whole",
    "unfinished_runs": "restores that need a person",
    "status_timestamp_seconds": "when this was written",
}
"""The gauges, and what each says."""


def nagios(every: Sequence[Status], failed: Sequence[str] = ()) -> tuple[int, str]:
    """The exit status and the one line, with performance data, of one site or many.

    ``failed`` says of site files that gave no status why: that is critical.
    """
    code = RANK["bad" if failed else worst([one["state"] for one in every])]
    said = "; ".join(filter(None, (*failed, *(_said(one) for one in every)))) or _fine(every)
    data = " ".join(word for one in every for word in _data(one, many=len(every) > 1))
    return code, f"PACS_RECOVER {WORDS[code]} - {_plain(said)} | {data}"


def unknown(why: str) -> tuple[int, str]:
    """The same where there is no status."""
    return 3, f"PACS_RECOVER {WORDS[3]} - {_plain(why)}"


def _said(status: Status) -> str:
    found = issues(status)
    more = f" (and {len(found) - NAMED} more)" if len(found) > NAMED else ""
    return f"{status['site']}: " + ", ".join(text for _, text in found[:NAMED]) + more if found else ""


def _fine(every: Sequence[Status]) -> str:
    return f"{every[0]['site']}: all fine" if len(every) == 1 else f"{len(every)} sites, all fine"


def _plain(text: str) -> str:
    return safe(text, 2000).replace("|", "/")


def _data(status: Status, *, many: bool) -> Iterator[str]:
    start = f"{status['site']} " if many else ""
    for row in status["components"]:
        if row["age_seconds"] is not None:
            yield _datum(f"{start}{row['component']}_age", f"{row['age_seconds']}s;{_number(row['rpo_seconds'])}")
    for part in ("verification", "drill"):
        if status[part]["age_seconds"] is not None:
            limit = _number(status[part]["every_seconds"])
            yield _datum(f"{start}{part}_age", f"{status[part]['age_seconds']}s;{limit}")
    if status["live"]["certs"]["days_left"] is not None:
        yield _datum(f"{start}certificate_days", f"{status['live']['certs']['days_left']};30:;0:")
    if status["live"]["queue"]["waiting"] is not None:
        yield _datum(f"{start}queue_waiting", str(status["live"]["queue"]["waiting"]))


def _datum(label: str, value: str) -> str:
    return "'" + _plain(label).replace("'", "").replace("=", "_") + f"'={value}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if value < 1e6 else f"{value:.0f}"


def prometheus(every: Sequence[Status], failed: Sequence[str] = ()) -> str:
    """Each gauge with all its values (https://prometheus.io/docs/instrumenting/exposition_formats/).

    ``failed`` names site files that gave no status: their state is bad, under the file's name.
    """
    found = {"state": [_sample("state", {"site": name}, RANK["bad"]) for name in failed]} if failed else {}
    for status in every:
        for name, labels, value in _gauges(status):
            if value is not None:
                found.setdefault(name, []).append(_sample(name, labels, value))
    lines = []
    for name, values in found.items():
        lines += [f"# HELP pacs_recover_{name} {HELP[name]}", f"# TYPE pacs_recover_{name} gauge", *values]
    return "\n".join(lines) + "\n"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    words = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"pacs_recover_{name}{{{words}}} {float(value):.15g}"


def _escaped(text: str) -> str:
    return safe(text).replace("\\", "\\\\").replace('"', '\\"')


def _gauges(status: Status) -> Iterator[tuple[str, dict[str, str], float | None]]:
    of = {"site": str(status["site"])}
    yield "state", of, RANK[status["state"]]
    yield "status_timestamp_seconds", of, round(datetime.now(UTC).timestamp())
    for row in status["components"]:
        one = {**of, "component": row["component"]}
        yield "backup_age_seconds", one, row["age_seconds"]
        yield "backup_rpo_seconds", one, row["rpo_seconds"]
        yield "backup_good", one, row["verdict"] == "good"
    yield "verification_age_seconds", of, status["verification"]["age_seconds"]
    yield "verification_ok", of, status["verification"]["ok"]
    yield "drill_age_seconds", of, status["drill"]["age_seconds"]
    yield "drill_ok", of, None if status["drill"]["run"] is None else status["drill"]["outcome"] == "restored"
    yield "drill_recovery_seconds", of, status["drill"]["recovery_seconds"]
    yield "certificate_days_left", of, status["live"]["certs"]["days_left"]
    yield "queue_waiting", of, status["live"]["queue"]["waiting"]
    yield "queue_dead_letters", of, status["live"]["queue"]["dead_letters"]
    for service in status["services"]:
        yield "service_active", {**of, "service": service["name"]}, service["activity"] == "active"
    for source in status["sources"]:
        yield "source_ok", {**of, "source": source["name"]}, source["ok"]
    yield "unfinished_runs", of, len(status["unfinished"])


def write(path: Path, text: str, authority: Authority) -> None:
    """Put the text there in one go, readable by all: a reader sees the old or the new. Refused, UsageError."""
    authority.must_allow("status --output")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise UsageError(
            f"{safe(path)} cannot be written: {error.strerror}", "name a file in a directory that exists"
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()
