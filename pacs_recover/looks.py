"""Looking, without touching anything live: previews, comparisons, status. Both front ends read these."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from pacs_recover import catalog, confinement, front, sets, site, standing, verdicts
from pacs_recover.audit.record import What
from pacs_recover.authority import Authority
from pacs_recover.catalog import Catalog
from pacs_recover.components import Comparison, Look, Read, component, exhaust, judge, read_backup
from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.jobs import live_paths, look_at, opener, source_of
from pacs_recover.journal import read
from pacs_recover.model import COMPONENTS, Amount, Backup, Fact, FactState, Preview
from pacs_recover.plan import Plan, refuse_bad
from pacs_recover.report.reading import report_of, run_summary
from pacs_recover.runs import planned
from pacs_recover.services import services_of
from pacs_recover.site import Site
from pacs_recover.sources import archive_of
from pacs_recover.state import JOURNAL, State
from pacs_recover.target.lock import Holder
from pacs_recover.text import age, both_times, precise, seconds, stamp


def look(of: Site) -> Look:
    """What content of this site is judged with."""
    return look_at(of, live_paths(of), services_of(of))


def preview(
    of: Site,
    backup: Backup,
    state: State,
    stopping: Callable[[], bool] = lambda: False,
    amount: Callable[[Amount], None] = lambda _: None,
    what: What = "preview",
) -> Preview:
    """Read a backup to its end in private scratch and say what it is; damage is a fact too.

    SourceError; Interrupted where it is told to stop. It is recorded as ``what``.
    """
    with state.audit.noting(what, backup.id, of.name) as entry:
        seen = _previewed(of, backup, state, stopping, amount)
        entry.outcome = seen.state
    return seen


def _previewed(
    of: Site, backup: Backup, state: State, stopping: Callable[[], bool], amount: Callable[[Amount], None]
) -> Preview:
    with state.scratch() as scratch:
        into = scratch / "content"
        into.mkdir(mode=0o700)
        part, seeing = component(backup.component), look(of)
        try:
            with opener(of, state.journals(), scratch)(backup) as raw:
                done = exhaust(read_backup(part, backup, raw, into, seeing), stopping, amount)
            seen = judge(part, backup, done, into, seeing)
        except BadBackup as error:
            why = f"{error.message} ({error.hint})" if error.hint else error.message
            return Preview((*told(of, backup, state), Fact("damaged", why, "bad")))
    return msgspec.structs.replace(seen, facts=(*told(of, backup, state), *read_whole(done), *seen.facts))


def told(of: Site, backup: Backup, state: State) -> tuple[Fact, ...]:
    """What a backup's source says of it beyond the listing, where it is one that does."""
    archive = archive_of(source_of(of, state.journals(), backup))
    try:
        return archive.facts(backup) if archive else ()
    except SourceError as error:
        return (Fact("bucket", error.message, "warn"),)


def read_whole(done: Read) -> tuple[Fact, ...]:
    """That a backup was read to its end, and which point in time it came to."""
    facts = (Fact("read to its end", f"{done.content:,} bytes unpacked, SHA-256 {done.sha256[:16]}"),)
    return (*facts, Fact("point in time", done.reached)) if done.reached else facts


def compare(of: Site, backup: Backup, state: State, stopping: Callable[[], bool] = lambda: False) -> Comparison:
    """What restoring a backup would change. BadBackup, SourceError; Interrupted where it was told to stop."""
    with state.audit.noting("diff", backup.id, of.name), state.scratch() as scratch:
        into, spare = scratch / "content", scratch / "live"
        into.mkdir(mode=0o700)
        spare.mkdir(mode=0o700)
        part, seeing = component(backup.component), look(of)
        with opener(of, state.journals(), scratch)(backup) as raw:
            done = exhaust(read_backup(part, backup, raw, into, seeing), stopping)
        refuse_bad(backup, judge(part, backup, done, into, seeing))
        return part.compare(into, seeing, spare)


def preview_json(backup: Backup, seen: Preview) -> dict[str, Any]:
    """The JSON contract of ``preview``."""
    facts = [
        {"label": fact.label, "value": fact.value, "state": fact.state} for fact in (*backup.findings, *seen.facts)
    ]
    return {"backup": catalog.backup_json(backup), "facts": facts, "state": seen.state, **seen.details}


def plan_json(made: Plan) -> dict[str, Any]:
    """The JSON contract of ``plan``."""
    request = made.request
    steps = [
        {"title": step.title, "kind": step.kind, "budget_seconds": step.budget, "covers": step.covers}
        for step in made.steps
    ]
    backups = [
        {
            **catalog.backup_json(c.backup),
            "sha256": c.sha256,
            "content_bytes": c.bytes,
            "manifest": c.manifest,
            "reached": c.reached,
            "skew_seconds": sets.skew(c.backup, made.anchor) if made.anchor else None,
        }
        for c in request.choices
    ]
    return {
        "plan_id": made.plan_id,
        "made_at": stamp(made.made_at),
        "asked_at": precise(request.at) if request.at else None,
        "components": list(request.components),
        "target": request.host,
        "site": request.site["name"],
        "anchor": sets.exact(made.anchor) if made.anchor else None,
        "rto_seconds": request.rto_seconds,
        "predicted_seconds": _rounded(made.predicted_seconds),
        "predicted_downtime_seconds": _rounded(made.predicted_downtime_seconds),
        "reading_seconds": _rounded(made.request.reading_seconds),
        "carry_over": request.carry_over,
        "carry_over_seconds": _rounded(made.carry_over_seconds),
        "backups": backups,
        "steps": steps,
        "changes": list(made.changes),
        "replay_risk": made.replay,
        "questions": [{"title": q.title, "details": q.details} for q in request.questions],
        "findings": [{"label": f.label, "value": f.value, "state": f.state} for f in made.findings],
    }


def _rounded(predicted: float | None) -> float | None:
    return None if predicted is None else round(predicted, 1)


def status(of: Site, found: Catalog, state: State) -> dict[str, Any]:
    """Freshness against RPO, the services, unfinished runs, sources, the last drill and verification."""
    now, known = datetime.now(UTC), verdicts.known(state.path, Authority(read_only=True))
    services = [(service.name, service.state()) for service in services_of(of)]
    ways: dict[str, FactState] = {"active": "ok", "unknown": "warn", "starting": "warn"}
    components = [_freshness(of, found, name, now) for name in COMPONENTS]
    return {
        "site": of.name,
        "components": components,
        "services": [
            {"name": name, "activity": s.activity, "detail": s.detail, "state": ways.get(s.activity, "bad")}
            for name, s in services
        ],
        "locks": [holder_json(holder) for holder in front.holders(front.request_of(of))],
        "findings": [{"label": f.label, "value": f.value, "state": f.state} for f in findings(of, found)],
        "drill": standing.drill(of, (report_of(run) for run in state.runs() if _is_drill_of(run, of))),
        "verification": standing.verification(of, known, components),
        "unfinished": [run_summary(run) for run in front.unfinished(state)],
        "sources": [{"name": s.name, "kind": s.kind, "ok": s.ok, "error": s.error} for s in found.sources],
    }


def holder_json(holder: Holder) -> dict[str, Any]:
    """The JSON contract of who holds a lock."""
    return {
        "what": holder.what,
        "operator": holder.operator,
        "host": holder.host,
        "pid": holder.pid,
        "since": stamp(holder.since),
    }


def findings(of: Site, found: Catalog) -> tuple[Fact, ...]:
    """What is not right with this host before anything happens: where the key is, how read-only is kept."""
    needed = any(backup.encrypted for backup in found.backups)
    return (*site.key_facts(of, needed), *confinement.facts())


def _freshness(of: Site, found: Catalog, name: str, now: datetime) -> dict[str, Any]:
    """How old the newest backup of one component is, against the site's RPO."""
    rpo = of.objectives[name].rpo
    newest = catalog.newest(found, name)
    row: dict[str, Any] = {"component": name, "newest": None, "taken_at": None, "age_seconds": None, "rpo_seconds": rpo}
    row |= {"verdict": "never", "verified": None}
    if newest is None:
        return {**row, "state": "bad", "sentence": "no backup that can be read"}
    old = (now - newest.taken_at).total_seconds()
    late = rpo is not None and old > rpo
    target = f", RPO {seconds(rpo)} {'MISSED' if late else 'met'}" if rpo is not None else ""
    sentence = f"{newest.id}, {age(newest.taken_at, now)} old ({both_times(newest.taken_at)}){target}"
    row |= {"verdict": newest.verdict, "verified": newest.verified}
    row |= {"newest": newest.id, "taken_at": stamp(newest.taken_at), "age_seconds": round(old)}
    if newest.verdict in ("failed", "stale"):
        return {**row, "state": "bad", "sentence": f"{sentence}, {verdicts.told(newest)}"}
    return {**row, "state": "warn" if late else "ok", "sentence": sentence}


def _is_drill_of(run: Path, of: Site) -> bool:
    try:
        events, _ = read(run / JOURNAL)
    except SourceError:
        return False
    first = planned(events)
    return first is not None and first.request.mode == "drill" and first.request.site.get("name") == of.name


def check_site(option: Path | None) -> tuple[list[Any], tuple[Fact, ...]]:
    """All problems of the site file, and what this host lacks for it where there are none. UsageError."""
    found = site.find(option, os.environ)
    problems = found.problems()
    if problems:
        return problems, ()
    loaded = found.load()
    from pacs_recover.findings import host_findings

    return [], (
        *site.environment_facts(loaded),
        *site.key_facts(loaded, False),
        *host_findings(loaded, services_of(loaded)),
    )
