"""What the preview of one backup says: every fact, then what restoring it would change."""

from __future__ import annotations

from pacs_recover.components import Comparison
from pacs_recover.model import Backup, Preview
from pacs_recover.screens.catalog_view import described, fact_lines, verdict
from pacs_recover.text import both_times, safe
from pacs_recover.widgets.line import Line, stated, title


def lines(
    backup: Backup,
    seen: Preview | None,
    progress: str,
    problem: str,
    compared: Comparison | None,
    why_not: str,
) -> list[Line]:
    """The whole page."""
    head = [title(safe(backup.id)), Line(both_times(backup.taken_at), "", "  "), Line(described(backup), "", "  ")]
    head += [Line(f"stored as {safe(backup.key)}", "", "  ")]
    head += [stated(fact.state, f"{fact.label}: {fact.value}") for fact in backup.findings]
    if problem:
        return [*head, Line(""), Line(problem, "bad", "✗ ")]
    if seen is None:
        return [*head, Line(""), Line(progress or "reading it to its end…", "", "… ")]
    return [*head, Line(""), *verdict(seen), *fact_lines(seen.facts), Line(""), *_changes(compared, why_not)]


def _changes(compared: Comparison | None, why_not: str) -> list[Line]:
    head = title("What restoring it would change")
    if why_not:
        return [head, Line(why_not, "warn", "  ! ")]
    if compared is None:
        return [head, Line("comparing it with what lives…", "", "  … ")]
    if not compared.changes and not compared.diff:
        return [head, Line("nothing: it is what lives now", "ok", "  ✓ ")]
    changes = [Line(change, "", "  • ") for change in compared.changes]
    if not compared.diff:
        return [head, *changes]
    return [
        head,
        *changes,
        Line(""),
        title("Difference (- live, + backup; secrets masked)"),
        *map(_diff, compared.diff),
    ]


def _diff(line: str) -> Line:
    look = {"+": "ok", "-": "bad", "@": "key"}.get(line[:1], "")
    return Line(f"  {line}", look, fixed=True)  # type: ignore[arg-type]
