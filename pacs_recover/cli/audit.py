"""The record of who did what: audit show, audit verify."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from pacs_recover import anchoring
from pacs_recover.audit import Record, checking
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.errors import BadBackup
from pacs_recover.selection import moment
from pacs_recover.text import both_times, safe
from pacs_recover.wrapping import SYMBOLS


@click.group("audit")
def audit_group() -> None:
    """Who looked, planned, restored, answered, was refused."""


@audit_group.command("show")
@click.option("--since", metavar="TIME", help="Only what was recorded since then.")
@json_option
@click.pass_obj
@guarded
def audit_show(context: Context, since: str | None, as_json: bool) -> None:
    """Every record, oldest first.

    The uid is a fact; login, sudo origin and SSH client are as claimed by the session. Exit status: 0; 3 where it
    cannot be read.
    """
    found = checking.records(context.state.audit.home, moment(since) if since else None)
    if as_json:
        return output.document({"records": [record_json(record) for record in found]})
    for record in found:
        output.paragraph(line(record))
    return None


def line(record: Record) -> str:
    """One record for a person."""
    ticket = f" [{record.ticket}]" if record.ticket else ""
    return f"{record.n} {both_times(record.at)} {record.who}{ticket}: {record.what} {record.object}: {record.outcome}"


def record_json(record: Record) -> dict[str, Any]:
    """The JSON contract of one record: the line as it stands in the file, every key there."""
    plain: dict[str, Any] = msgspec.to_builtins(record)
    claimed = {"login": "", "login_uid": None, "sudo": "", "ssh": ""} | plain["who"]["claimed"]
    return plain | {"at": _time(record.at), "who": plain["who"] | {"claimed": claimed}}


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@audit_group.command("verify")
@click.option(
    "--anchors",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also hold it against the anchors in this text file: a log of the syslog server.",
)
@json_option
@click.pass_obj
@guarded
def audit_verify(context: Context, anchors: Path | None, as_json: bool) -> None:
    """Whether the record is whole, and how far that is proven.

    Finds edits, insertions, deletions, reordering and removed files by the chain of hashes; by the anchors (system
    journal, the site's bucket, FILE) also a truncated tail. Exit status: 0 whole; 3 it cannot be read; 6 damaged.
    """
    found = anchoring.verify(context.site, context.state, anchors)
    if as_json:
        output.document(verified_json(found))
    else:
        _print(found)
    if found.state == "damaged":
        leave(BadBackup.exit_code)


def _print(found: checking.Verified) -> None:
    state = {"verified": "ok", "unproven": "warn", "damaged": "bad"}[found.state]
    output.paragraph(found.sentence, f"{SYMBOLS[state]} ")
    for finding in found.findings:
        output.paragraph(f"{finding.place}: {finding.detail}", "  ✗ ")
    for place in found.anchors:
        output.paragraph(f"anchors of the {place.place}: {safe(place.detail)}", "  ✓ " if place.found else "  - ")


def verified_json(found: checking.Verified) -> dict[str, Any]:
    """The JSON contract of ``audit verify``."""
    return {
        "state": found.state,
        "records": found.records,
        "proven_to": found.proven_to,
        "sentence": found.sentence,
        "findings": [{"kind": f.kind, "place": f.place, "detail": f.detail} for f in found.findings],
        "anchors": [{"place": a.place, "anchors": len(a.found), "detail": a.detail} for a in found.anchors],
    }
