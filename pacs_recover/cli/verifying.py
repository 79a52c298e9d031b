"""Verifying stored backups, of one site or of many."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import click

from pacs_recover import notifying, proving, subjects, verifying
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.cli.groups import Contexts, sites_option
from pacs_recover.cli.restoring import as_moment
from pacs_recover.errors import UsageError
from pacs_recover.model import COMPONENTS
from pacs_recover.subjects import Subject
from pacs_recover.text import both_times, count, safe
from pacs_recover.verdicts import HOME, Check, Directory, Verdicts, store_at
from pacs_recover.verifying import Manner, Result, Verification
from pacs_recover.wrapping import SYMBOLS

STATES = {"ok": "", "warn": "WARN ", "bad": "BAD ", "unproven": "NOT PROVEN "}


@click.command()
@click.argument("backups", nargs=-1)
@click.option("--newest", is_flag=True, help="The newest of each component: what is done without BACKUPS.")
@click.option("--all", "every", is_flag=True, help="Every backup; of a replica its newest point.")
@click.option("--component", "components", multiple=True, type=click.Choice(COMPONENTS), help="Only of this one.")
@click.option("--at", callback=as_moment, metavar="TIME", help="Only backups from then or before.")
@click.option("--again", is_flag=True, help="Read also what was found good and is unchanged.")
@click.option("--start", is_flag=True, help="Start the service with each, in a sandbox without a network.")
@click.option("--jobs", type=click.IntRange(1, 64), default=None, metavar="N", help="How many side by side.")
@click.option(
    "--accept-changed", "accept", is_flag=True, help="Other content of the same name was put there on purpose."
)
@click.option("--verdicts", metavar="DIR|s3://BUCKET/PREFIX", help="Where verdicts are kept (default: with --state).")
@click.option("--endpoint", metavar="URL", help="The S3 server of --verdicts, where it is not AWS.")
@click.option("--shard", metavar="I/N", help="One of N parts, from 0 (default: as Kubernetes or Slurm say).")
@click.option("--merge", is_flag=True, help="Read nothing: the one table of what all shards have kept.")
@click.option("--cross-check", is_flag=True, help="Restore a replica's point with Litestream's own program too.")
@click.option("--litestream", metavar="PATH", help="That program, 0.5.17 or newer (default: litestream on $PATH).")
@json_option
@click.pass_obj
@sites_option
@guarded
def verify(
    context: Context,
    /,
    backups: tuple[str, ...],
    newest: bool,
    every: bool,
    components: tuple[str, ...],
    at: datetime | None,
    start: bool,
    cross_check: bool,
    litestream: str | None,
    verdicts: str | None,
    endpoint: str | None,
    shard: str | None,
    merge: bool,
    contexts: Contexts,
    as_json: bool,
    again: bool,
    jobs: int | None,
    accept: bool,
) -> None:
    """Prove that stored BACKUPS are good: the guide's seven points.

    Each is read to its end and judged; nothing live is touched. What was found good and is unchanged is not read twice.
    Exit status: 0 all are good; 3 one cannot be read; 6 one is bad, or there is none of a component.
    """
    if backups and (newest or every or components or at or contexts.is_group):
        raise UsageError("BACKUPS are named, and chosen as well", "name them, or choose with --newest or --all")
    if newest and every:
        raise UsageError("--newest and --all exclude each other", "leave one of them out")
    if start:
        context.must_write("verify --start")
    store = store_at(verdicts, endpoint) if verdicts else Directory(context.state.path / HOME)
    known = Verdicts(store, context.authority, _warn)
    wanted = (
        [subjects.of_backup(context.site, context.find(text)) for text in backups]
        if backups
        else [
            subject
            for one in contexts
            for subject in subjects.subjects(one.site, one.catalog(), every=every, components=components, at=at)
        ]
    )
    wanted += [subjects.of_file(member.path.name, problem.message) for member, problem in contexts.failed]
    binary = _program(litestream, wanted) if cross_check or litestream else None
    part = None if merge else subjects.shard_of(shard, os.environ)
    if part:
        wanted = subjects.share(wanted, *part)
    manner = Manner(jobs or 0, again, start, accept, binary)
    with ExitStack() as stack:
        told = [stack.enter_context(notifying.around(one.site, "verify", "", _warn)) for one in contexts]
        results = (
            list(verifying.merged(wanted, known))
            if merge
            else _verified(Verification(context.state, known, context.authority, manner), wanted)
        )
        for one, note in zip(contexts, told, strict=True):
            bad = sum(not r.ok for r in results if r.subject.site.name == one.site.name)
            note.ok, note.outcome = not bad, f"{bad} not good" if bad else "all good"
    if not (backups or components or at or part):
        for one in contexts:
            verifying.completed(one.site, [r for r in results if r.subject.site.name == one.site.name], known)
    if as_json:
        output.document(verifying.to_json(results))
    else:
        _print(results, many=contexts.is_group or merge)
    leave(verifying.exit_code(results))


def _warn(problem: str) -> None:
    output.say(f"! {problem}")


def _program(named: str | None, wanted: Iterable[Subject]) -> Path:
    from pacs_recover.sources.litestream_vendor import program

    chosen = [one for one in wanted if one.backup]
    if not any(one.backup and proving.replica(one.site, one.backup) for one in chosen):
        raise UsageError("none of these is a point of a Litestream replica", "name one of: pacs-recover points")
    return program(named)


def _verified(verification: Verification, wanted: Sequence[Subject]) -> list[Result]:
    """The results in the order of what was wanted; each is told on stderr as it comes."""
    place = {(one.site.name, one.name): number for number, one in enumerate(wanted)}
    results = []
    with closing(verification.run(wanted)) as found:
        for result in found:
            results.append(result)
            if len(wanted) > 1 and sys.stderr.isatty():
                output.say(f"… {len(results):,} of {len(wanted):,}: {_word(result)} {safe(result.subject.name)}")
    return sorted(results, key=lambda one: place[one.subject.site.name, one.subject.name])


def _word(one: Result) -> str:
    return "GOOD" if one.ok else "BAD" if one.is_read else "NOT READ"


def _print(results: Sequence[Result], *, many: bool) -> None:
    if many:
        output.table(("", "SITE", "VERDICT", "VERIFIED", "BACKUP"), (_row(one) for one in results))
    else:
        for one in results:
            _paragraph(one)
    bad = sum(not one.ok for one in results)
    output.say(
        f"{count(len(results), 'result')}, {bad:,} not good" if bad else f"{count(len(results), 'result')}, all good"
    )


def _row(one: Result) -> tuple[str, ...]:
    bad = next((f": {check.name}: {check.evidence}" for check in one.checks if check.state == "bad"), "")
    symbol = SYMBOLS["ok" if one.ok else "bad"]
    return symbol, safe(one.subject.site.name), _word(one), f"{one.at:%Y-%m-%d %H:%M}", safe(one.subject.name) + bad


def _paragraph(one: Result) -> None:
    symbol = SYMBOLS["ok" if one.ok else "bad"]
    taken = f", taken {both_times(one.subject.backup.taken_at)}" if one.subject.backup else ""
    known = f"; unchanged since it was verified {both_times(one.at)}" if one.is_known else ""
    output.paragraph(f"{_word(one)}: {safe(one.subject.name)}{taken}{known}", f"{symbol} ")
    for check in one.checks:
        _check_line(check)


def _check_line(check: Check) -> None:
    symbol = SYMBOLS["warn" if check.state == "unproven" else check.state]
    output.paragraph(f"{check.name}: {check.evidence}", f"  {symbol} {STATES[check.state]}")
