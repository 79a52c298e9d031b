"""How a site stands beside its backups' age: its last drill, its last verification, and the worst of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pacs_recover.model import FactState
from pacs_recover.report import Report
from pacs_recover.site import Site
from pacs_recover.text import age, both_times, seconds, stamp
from pacs_recover.verdicts import Verdict, Verdicts

Row = dict[str, Any]
FAILED = ("rolled_back", "rollback_incomplete", "failed_untouched")
RANK: dict[str, int] = {"ok": 0, "warn": 1, "bad": 2}


def drill(site: Site, drills: Iterable[Report]) -> Row:
    """The newest drill that was decided (of these, newest first) and whether another is due."""
    row: Row = {"run": None, "at": None, "outcome": None, "age_seconds": None, "every_seconds": site.drill.every}
    row |= {"recovery_seconds": None, "rto_seconds": None, "rto_met": None}
    last = next((one for one in drills if one.outcome in ("restored", *FAILED) and one.started_at), None)
    if last is None or last.started_at is None:
        return {**row, "state": "warn", "sentence": "OVERDUE: there was no drill yet"}
    old = (datetime.now(UTC) - last.started_at).total_seconds()
    row |= {"run": last.run, "at": stamp(last.started_at), "outcome": last.outcome, "age_seconds": round(old)}
    row |= {"recovery_seconds": last.recovery_seconds, "rto_seconds": last.rto_seconds, "rto_met": last.rto_met}
    state, word = _of_drill(last, old > site.drill.every)
    when = f"{age(last.started_at, datetime.now(UTC))} ago ({both_times(last.started_at)})"
    took = f", {seconds(last.recovery_seconds)} of RTO {seconds(last.rto_seconds)}" if last.recovery_seconds else ""
    return {**row, "state": state, "sentence": f"{word}: drill {last.run}, {when}{took}"}


def _of_drill(last: Report, late: bool) -> tuple[FactState, str]:
    if last.outcome != "restored":
        return "bad", "FAILED"
    if late:
        return "warn", "OVERDUE"
    return ("ok", "passed") if last.rto_met else ("warn", "passed, RTO MISSED")


def verification(site: Site, known: Verdicts, components: Sequence[Row] = ()) -> Row:
    """When the newest backup of every component was verified last; one that stopped running is bad, like a failed.

    The backups of these rows may have been proven one by one since, as each is when it is made; that takes back no
    verification that failed.
    """
    last, since = known.newest(site.name), _proven(components)
    if since and (last is None or (last.ok and last.at < since)):
        last = Verdict(site=site.name, backup="", at=since, ok=True)
    row: Row = {"at": None, "ok": None, "age_seconds": None, "every_seconds": site.verify_every}
    if last is None:
        return {**row, "state": "bad", "sentence": "OVERDUE: the backups were never verified (pacs-recover verify)"}
    now = datetime.now(UTC)
    old = (now - last.at).total_seconds()
    row |= {"at": stamp(last.at), "ok": last.ok, "age_seconds": round(old)}
    when = f"{age(last.at, now)} ago ({both_times(last.at)})"
    if old > site.verify_every:
        return {**row, "state": "bad", "sentence": f"OVERDUE: the last verification was {when}"}
    if not last.ok:
        names = ", ".join(check.name for check in last.checks[:4])
        return {**row, "state": "bad", "sentence": f"FAILED: {names}, {when}"}
    return {**row, "state": "ok", "sentence": f"all good, {when}"}


def _proven(components: Sequence[Row]) -> datetime | None:
    """Since when the newest backup of every component has been good; None where that is not known of each."""
    if not all(row["verdict"] == "good" for row in components):
        return None
    return min((datetime.fromisoformat(row["verified"]) for row in components), default=None)


def issues(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """State and sentence of all that is not fine in a status, the worst first."""
    return sorted((one for one in _lines(status) if one[0] != "ok"), key=lambda one: -RANK[one[0]])


def _lines(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for row in status["components"]:
        yield row["state"], f"{row['component']}: {row['sentence']}"
    for service in status["services"]:
        yield service["state"], f"service {service['name']}: {service['activity']}"
    for part in ("queue", "certs"):
        yield status["live"][part]["state"], f"live {part}: {status['live'][part]['sentence']}"
    yield status["verification"]["state"], f"verification {status['verification']['sentence']}"
    yield status["drill"]["state"], f"drill {status['drill']['sentence']}"
    for run in status["unfinished"]:
        yield "bad", f"run {run['run']} is {run['outcome']}"
    for finding in status["findings"]:
        yield finding["state"], f"{finding['label']}: {finding['value']}"
    for source in status["sources"]:
        yield "ok" if source["ok"] else "bad", f"source {source['name']}: {source['error']}"


def worst(states: Sequence[str]) -> str:
    """The worst of these states."""
    return max(states, key=RANK.__getitem__, default="ok")
