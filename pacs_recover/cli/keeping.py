"""How long backups are kept: what may go, and what is kept against what is declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.components import registry
from pacs_recover.errors import Interrupted, UsageError
from pacs_recover.keeping import pruning, reporting
from pacs_recover.keeping.deciding import ELSE, Decision
from pacs_recover.keeping.pruning import Proposal, Removal
from pacs_recover.keeping.reporting import Gaps, Row
from pacs_recover.model import Fact
from pacs_recover.text import both_times, count, safe, size, stamp
from pacs_recover.wrapping import SYMBOLS

TOLD_ONE_BY_ONE = ("held", "minimum", "elsewhere", "future")
"""What keeps a backup that should else go, or cannot be judged: each is named; of the others there are many."""
IN_WORDS = {"age": "young enough", "last": "among the newest", "indefinite": "kept for ever"}


@click.command()
@click.argument("components", nargs=-1, metavar="[COMPONENT]...")
@click.option("--apply", "do_it", is_flag=True, help="Remove them; without it they are only shown.")
@click.option("--wait", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="Wait so long for a restore.")
@json_option
@click.pass_obj
@guarded
def prune(context: Context, /, components: tuple[str, ...], do_it: bool, wait: float, as_json: bool) -> None:
    """Show which backups may go and why; remove them with --apply.

    Never below the minimum of verified good ones, nothing that is locked or needed, nothing of a source whose newest
    backup is bad, old or unverified. Exit status: 0; 1 where one could not be removed; 3 where a source could not be
    read in whole (nothing of it goes); 5 refused.
    """
    if wrong := [name for name in components if name not in registry()]:
        raise UsageError(f"there is no component {safe(wrong[0])}", f"one of: {', '.join(registry())}")
    if wait and not do_it:
        raise UsageError("--wait is about --apply", "nothing is waited for to show what may go: leave it out")
    if do_it:
        context.must_write("prune")
    proposal = pruning.propose(context.site, context.catalog(brief=True), context.state, components)
    if not as_json:
        _print_proposal(proposal)
    removed = _apply(context, proposal, wait, as_json) if do_it else []
    if as_json:
        output.document(_proposal_json(proposal, removed if do_it else None))
    elif not do_it and proposal.going:
        output.say(f"nothing was removed; to do it: {context.program} prune {' '.join((*components, '--apply'))}")
    leave(1 if any(not one.ok for one in removed) else 3 if proposal.unread else 0)


def _apply(context: Context, proposal: Proposal, wait: float, quiet: bool) -> list[Removal]:
    removed: list[Removal] = []
    try:
        for one in pruning.apply(context.site, proposal, context.state, context.authority, wait):
            removed.append(one)
            if not quiet:
                said = f": {safe(one.said, 400)}" if one.said else ""
                click.echo(f"{'✓ removed' if one.ok else '✗ stays'} {safe(one.backup.id)}{said}")
    except KeyboardInterrupt:
        gone = count(sum(one.ok for one in removed), "backup")
        raise Interrupted(f"interrupted: {gone} removed, the others stay", "see: pacs-recover audit show") from None
    if removed and not quiet:
        done = [one for one in removed if one.ok]
        output.say(f"{count(len(done), 'backup')} removed, {size(sum(one.freed for one in done))} free now")
    return removed


def _print_proposal(proposal: Proposal) -> None:
    """What goes, what is kept from going, and how many are kept in any case."""
    for one in proposal.going:
        output.paragraph(_told(one), "✗ goes   ")
    for one in proposal.decisions:
        if one.rule in TOLD_ONE_BY_ONE:
            output.paragraph(_told(one), "• stays  ")
    blocked = [(one.backup, one.why.partition(ELSE)[0]) for one in proposal.decisions if one.rule == "blocked"]
    for (component, source, why), number in Counter((b.component, b.source, why) for b, why in blocked).items():
        output.paragraph(f"{number:,} of {component} in {safe(source)} that are too old: {safe(why, 400)}", "• stay   ")
    rest = Counter((one.backup.component, one.backup.source, one.rule) for one in proposal.decisions)
    for (component, source, rule), number in rest.items():
        if rule in IN_WORDS:
            output.paragraph(f"{number:,} of {component} in {safe(source)} stay: {IN_WORDS[rule]}", "  ")
    for name, who in proposal.others:
        output.paragraph(f"{safe(name)} is not pruned here: {who}", "  ")
    for state in proposal.unread:
        output.say(f"✗ source {state.name} ({state.kind}): {state.error}; nothing of it goes")
    freed = size(sum(one.backup.size or 0 for one in proposal.going))
    click.echo(f"{count(len(proposal.going), 'backup')} of {len(proposal.decisions):,} may go, {freed}")


def _told(one: Decision) -> str:
    return f"{safe(one.backup.id)} ({size(one.backup.size)}): {safe(one.why, 400)}"


def _proposal_json(proposal: Proposal, removed: Sequence[Removal] | None) -> dict[str, Any]:
    """The JSON contract of ``prune``."""
    came = {one.backup.id: one for one in removed or ()}
    return {
        "applied": removed is not None,
        "decisions": [_decision_json(one, came.get(one.backup.id)) for one in proposal.decisions],
        "going": len(proposal.going),
        "going_bytes": sum(one.backup.size or 0 for one in proposal.going),
        "removed": sum(one.ok for one in removed or ()),
        "freed_bytes": sum(one.freed for one in removed or ()),
        "others": [{"source": name, "who": who} for name, who in proposal.others],
        "sources": [
            {"name": one.name, "kind": one.kind, "ok": one.ok, "error": one.error, "hint": one.hint}
            for one in proposal.unread
        ],
    }


def _decision_json(one: Decision, came: Removal | None) -> dict[str, Any]:
    backup = one.backup
    return {
        "backup": backup.id,
        "component": backup.component,
        "source": backup.source,
        "taken_at": stamp(backup.taken_at),
        "size": backup.size,
        "goes": one.goes,
        "rule": one.rule,
        "why": one.why,
        "removed": came.ok if came else None,
        "said": came.said if came else None,
    }


@click.command()
@json_option
@click.pass_obj
@guarded
def retention(context: Context, as_json: bool) -> None:
    """What is kept against what is declared.

    Of each component in each source: oldest, newest, how many, holes, what goes when; contradictions in the policy
    itself, and what buckets do otherwise. Exit status: 0; 3 where a source could not be read in whole.
    """
    found = context.catalog()
    gaps = reporting.report(context.site, found, context.state)
    if as_json:
        output.document(reporting.to_json(gaps))
    else:
        _print_gaps(gaps)
    leave(0 if all(one.ok for one in found.sources) else 3)


def _print_gaps(gaps: Gaps) -> None:
    head = ("", "COMPONENT", "SOURCE", "BACKUPS", "VERIFIED", "OLDEST", "NEWEST", "DECLARED")
    output.table(head, map(_gap_row, gaps.rows))
    for row in gaps.rows:
        where = f"{row.component} in {safe(row.source)}"
        output.facts((Fact(f"{where}: {f.label}", f.value, f.state) for f in row.findings), "")
        if row.lost_at:
            output.paragraph(f"{where}: {safe(row.next_lost)} goes after {both_times(row.lost_at)}", "  ")
    output.facts(gaps.findings, "")


def _gap_row(row: Row) -> tuple[str, ...]:
    span = [f"{moment:%Y-%m-%d}" for moment in (row.oldest, row.newest)]
    return SYMBOLS[row.state], row.component, safe(row.source), f"{row.number:,}", f"{row.good:,}", *span, row.declared
