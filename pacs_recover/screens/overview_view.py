"""What the overview says: freshness by component, what lives, sources, and the run that needs somebody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pacs_recover.screens.ages import minute, short_age
from pacs_recover.text import both_times, count, safe
from pacs_recover.widgets.line import LOOKS, Line, cells, stated, symbol, title

if TYPE_CHECKING:
    from pacs_recover.catalog import SourceState
    from pacs_recover.screens.gathered import Gathered
    from pacs_recover.session import OpenRun

PARTS = ("config", "certs", "queue", "logs")
"""``COMPONENTS``, which is in a module that is loaded only after the first frame; a test holds them equal."""
HELD = ("queue", "certs")
"""Live parts that are told in numbers."""
PROOFS = ("verification", "drill")
"""What a status says of proof, in the order that they are told."""


def head() -> str:
    """The heads of the columns."""
    return " " + _columns("COMPONENT", "NEWEST BACKUP (UTC)", "AGE", "RPO", "STATE", "VERIFIED")


def _columns(name: str, taken: str, age: str, rpo: str, state: str, verified: str) -> str:
    return cells((name, 9), (taken, 19), (age, 5), (rpo, 5), (state, 17), (verified, 17))


def rows(status: Mapping[str, Any] | None, gathered: Gathered, now: datetime) -> list[Line]:
    """One line per component: its newest usable backup against the RPO, and what its verification found."""
    known = {row["component"]: row for row in status["components"]} if status else {}
    return [_row(name, known.get(name), bool(gathered.waiting), now) for name in PARTS]


def _row(name: str, row: Mapping[str, Any] | None, waiting: bool, now: datetime) -> Line:
    if row is None or row["taken_at"] is None:
        waits = waiting or row is None
        state = "… reading" if waits else "✗ NO BACKUP"
        rpo = _span(row["rpo_seconds"] if row else None)
        return Line(_columns(name, "-", "-", rpo, state, "-"), "" if waits else "bad")
    late = row["rpo_seconds"] is not None and row["age_seconds"] > row["rpo_seconds"]
    state = "! OLDER than RPO" if late else "✓ fresh" if row["rpo_seconds"] is not None else "✓ there is one"
    taken, age = minute(datetime.fromisoformat(row["taken_at"])), short_age(row["age_seconds"])
    text = _columns(name, taken, age, _span(row["rpo_seconds"]), state, verified(row, now))
    return Line(text, LOOKS[row["state"]])


def verified(row: Mapping[str, Any], now: datetime) -> str:
    """What the verification of a component's newest backup found, and how long ago."""
    match row["verdict"]:
        case "good":
            return f"✓ good, {short_age((now - datetime.fromisoformat(row['verified'])).total_seconds())} ago"
        case "failed":
            return "✗ BAD"
        case "stale":
            return "✗ CHANGED since"
        case _:
            return "· never"


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else short_age(seconds)


def banner(runs: Sequence[OpenRun] | None, read_only: bool, needs_root: bool, command: str) -> list[Line]:
    """What needs somebody now, and what to press."""
    lines = [line for run in runs or () for line in _open(run, read_only)]
    if needs_root:
        lines.append(Line("needs root: this user can look, not restore. To restore: ", "warn", "! "))
        lines.append(Line(f"sudo {command}", "key", "    "))
    return lines


def _open(run: OpenRun, read_only: bool) -> list[Line]:
    from pacs_recover.plan import operator

    who = f"of {safe(run.operator)}" if run.operator else "of an unknown operator"
    by = "" if run.operator == operator() else f" {who}"
    match run.outcome:
        case "running":
            held = f" (on {safe(run.host)} since {both_times(run.since)})" if run.since else ""
            return [Line(f"RUN {safe(run.name)}{by} IS GOING ON: press a to watch it{held}", "bad", "▸ ")]
        case "rollback_incomplete":
            return [Line(f"RUN {safe(run.name)}{by}: ROLLBACK INCOMPLETE. Press a to see what is left", "bad", "✗ ")]
        case "unreadable":
            text = f"run {safe(run.name)} {who} holds this site and its journal is not yours to read: {safe(run.path)}"
            return [Line(text, "bad", "✗ "), Line("ask them, or look with sudo", "", "    ")]
        case _:
            then = "to see it" if read_only else "to see it, then u to go on or b to roll back"
            return [Line(f"RUN {safe(run.name)}{by} DID NOT END: press a {then}", "bad", "✗ ")]


def below(
    status: Mapping[str, Any] | None,
    live: Mapping[str, Any] | None,
    gathered: Gathered,
    last: Mapping[str, Any] | None,
) -> list[Line]:
    """What lives, the last run, sources, and what was proven."""
    at = f" (queue and certs as of {datetime.fromisoformat(live['read_at']):%H:%M:%S} UTC)" if live else ""
    now = [title(f"Live{at}"), *services(status), *held(live)]
    return [*now, *_last(last), Line(""), title("Sources"), *sources(gathered), Line(""), *proofs(status)]


def proofs(status: Mapping[str, Any] | None) -> list[Line]:
    """When the backups were verified last, and when a restore was rehearsed: how it went, its time against the RTO."""
    known = [stated(status[part]["state"], f"{part}: {status[part]['sentence']}") for part in PROOFS] if status else []
    return [title("Proven"), *(known or [Line("reading…", "", "  … ")])]


def services(status: Mapping[str, Any] | None) -> list[Line]:
    """What the services do now."""
    if status is None:
        return [Line("services: asking…", "", "  … ")]
    lines = [_service(s) for s in status["services"]]
    none = [Line("this site controls no service", "warn", "  ! ")]
    return [*(lines or none), *_holders(status), *_findings(status)]


def _holders(status: Mapping[str, Any]) -> list[Line]:
    """Who holds the site still, beside a run, which has its banner."""
    return [
        Line(f"{safe(held['what'])} of {safe(held['operator'])} on {safe(held['host'])} holds the site", "warn", "  ! ")
        for held in status.get("locks", ())
        if not held["what"].startswith("run ")
    ]


def _findings(status: Mapping[str, Any]) -> list[Line]:
    """What is not right with this host before anything happens."""
    found = (finding for finding in status.get("findings", ()) if finding["state"] != "ok")
    return [stated(finding["state"], f"{finding['label']}: {finding['value']}") for finding in found]


def held(live: Mapping[str, Any] | None) -> list[Line]:
    """How much waits in the queue and how long the certificates last, as they were when they were read."""
    if live is None:
        return [Line(f"{part}: reading…", "", "  … ") for part in HELD]
    return [stated(live[part]["state"], f"{part}: {live[part]['sentence']}") for part in HELD]


def _service(service: Mapping[str, Any]) -> Line:
    state = service["state"]
    word = {"active": "runs", "stopped": "STOPPED", "failed": "FAILED", "absent": "NOT INSTALLED"}
    said = word.get(service["activity"], service["activity"].upper())
    return Line(f"{safe(service['name'])} {said}: {safe(service['detail'])}", LOOKS[state], f"  {symbol(state)} ")


def sources(gathered: Gathered) -> list[Line]:
    """Which sources answered, and why one did not."""
    lines: list[Line] = []
    for state in gathered.catalog.sources:
        lines += source_lines(state, len(gathered.parts[state.name].backups) if state.name in gathered.parts else 0)
    told = {state.name for state in gathered.catalog.sources}
    lines += [
        Line(f"{safe(name)}: reading…{_so_far(name, gathered)}", "", "  … ") for name in sorted(gathered.waiting - told)
    ]
    return lines


def _so_far(name: str, gathered: Gathered) -> str:
    return f" {count(len(gathered.parts[name].backups), 'backup')} so far" if name in gathered.parts else ""


def source_lines(state: SourceState, backups: int) -> Iterable[Line]:
    """One source; where it could not be read in whole, why and what to do."""
    if state.ok:
        return [stated("ok", f"{_called(state)}: {count(backups, 'backup')}")]
    seen = f"; {count(backups, 'backup')} can be seen" if backups else ""
    lines = [Line(f"{_called(state)} CANNOT BE READ: {state.error}{seen}", "bad", "  ✗ ")]
    return [*lines, Line(f"next: {state.hint}", "", "    ")] if state.hint else lines


def _called(state: SourceState) -> str:
    return "set aside by runs" if state.kind == "aside" else f"{state.name} ({state.kind})"


def _last(last: Mapping[str, Any] | None) -> list[Line]:
    if last is None:
        return []
    parts = ", ".join(last["components"]) or "nothing"
    return [Line(""), title(f"Last run: {safe(last['run'])}  {parts}  {last['outcome'].replace('_', ' ').upper()}")]
