"""What the audit screen says: a row per record, all of the one under the cursor, and whether it is whole."""

from __future__ import annotations

from pacs_recover.audit import Record
from pacs_recover.audit.checking import Verified
from pacs_recover.screens.ages import minute
from pacs_recover.text import both_times, safe
from pacs_recover.widgets.line import Line, cells

HEAD = " " + cells(("WHEN (UTC)", 16), ("WHO", 12), ("WHAT", 9), ("HOW IT WENT", 16), ("OF WHAT", 20))
WORDS = {"verified": ("good", "✓ "), "unproven": ("warn", "! "), "damaged": ("bad", "✗ ")}
FINDINGS = 3
"""How many are told above the list; ``audit verify`` tells all."""


def row(record: Record) -> Line:
    """One record."""
    bad = record.what == "refusal" or record.outcome.startswith(("failed", "bad"))
    who = record.who.claimed.sudo.partition(" ")[0] or record.who.claimed.login or record.who.user
    text = cells((minute(record.at), 16), (who, 12), (record.what, 9), (record.outcome, 16), (record.object, 200))
    return Line(text, "warn" if bad else "")


def summary(found: Verified | None) -> list[Line]:
    """Whether it is whole, and how far that is proven."""
    if found is None:
        return [Line("checking the chain and the anchors…", "", "… ")]
    look, start = WORDS[found.state]
    findings = [Line(f"{f.place}: {f.detail}", "bad", "  ✗ ") for f in found.findings[:FINDINGS]]
    return [Line(found.sentence, look, start), *findings]  # type: ignore[arg-type]


def whole(record: Record) -> list[Line]:
    """All that a record says; what only the session says of itself is told as such."""
    said = record.who.claimed
    uid = "" if said.login_uid is None else f" (uid {said.login_uid})"
    claims = (("login", f"{said.login}{uid}".strip()), ("sudo from", said.sudo), ("ssh from", said.ssh))
    claimed = ", ".join(f"{name} {text}" for name, text in claims if text) or "nothing"
    ticket = f", ticket {record.ticket}" if record.ticket else ""
    cut = [Line(f"{record.cut} bytes of a torn record before it were taken off", "warn")] if record.cut else []
    return [
        Line(f"{record.what} {record.object}", "title"),
        Line(f"{record.outcome}; record {record.n}, {both_times(record.at)}{ticket}"),
        Line(f"{record.who.user or '?'} (uid {record.who.uid}), process {record.pid} on {safe(record.host)}"),
        Line(f"claimed: {claimed}"),
        *cut,
    ]
