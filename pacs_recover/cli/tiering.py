"""Who else keeps backups, set up from the site: the lifecycle of a bucket, and Litestream."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from pacs_recover.cli import output
from pacs_recover.cli.asking import ask
from pacs_recover.cli.context import Context, guarded, interactive, json_option, leave
from pacs_recover.errors import Refused, UsageError
from pacs_recover.keeping import lag, lifecycle, litestream, litestream_check, reporting, tiers
from pacs_recover.keeping.lifecycle import Change
from pacs_recover.keeping.litestream import SETTINGS, VERSIONS, Version
from pacs_recover.keeping.risks import fact_json
from pacs_recover.model import Fact
from pacs_recover.site import S3Config
from pacs_recover.text import count, safe


@click.command("lifecycle")
@click.option("--source", metavar="NAME", help="Only this S3 source.")
@click.option("--gcs", is_flag=True, help="For Google's Cloud Storage.")
@click.option("--diff", "as_diff", is_flag=True, help="Against what the bucket has.")
@click.option("--apply", "do_it", is_flag=True, help="Give the bucket these rules; those of others stay.")
@click.option("--yes", is_flag=True, help="Do it without a question, for scripts.")
@json_option
@click.pass_obj
@guarded
def show_lifecycle(
    context: Context, source: str | None, gcs: bool, as_diff: bool, do_it: bool, yes: bool, as_json: bool
) -> None:
    """Show the declared tiers as a bucket's lifecycle.

    The JSON is what aws s3api put-bucket-lifecycle-configuration takes, with --gcs what gcloud storage buckets update
    --lifecycle-file takes. --apply shows the difference, and asks (type yes). Exit status: 0; 3 where the bucket cannot
    be read or written; 5 refused.
    """
    if gcs and (as_diff or do_it):
        raise UsageError("--gcs is only printed", "apply it with gcloud storage buckets update --lifecycle-file=FILE")
    named = lifecycle.buckets(context.site, source)
    if not named and (as_diff or do_it):
        raise UsageError("the site has no S3 source", "name one under sources: docs/site.md")
    if as_json and len(named) > 1:
        raise UsageError("--json is of one bucket", "name it: --source NAME")
    if do_it:
        context.must_write("lifecycle --apply")
        if not yes and not interactive():
            raise Refused("a bucket's lifecycle is confirmed at a terminal", "without one: lifecycle --apply --yes")
    for one in named or (lifecycle.GUIDE,):
        if as_diff or do_it:
            _change(context, lifecycle.compare(context.site, one), do_it, yes, as_json)
        else:
            _show(context, one, gcs)


def _show(context: Context, source: S3Config, gcs: bool) -> None:
    """The JSON on stdout, whatever is to be said of it on stderr."""
    if gcs:
        made, findings = tiers.google(context.site, source)
    else:
        found = tiers.tiers(context.site, source)
        made, findings = lifecycle.as_json(found.rules), found.findings
    output.say(_title(source))
    output.facts(findings, err=True)
    output.document(made)


def _title(source: S3Config) -> str:
    return f"{safe(source.name)} (s3://{safe(source.bucket)}):"


def _change(context: Context, change: Change, do_it: bool, yes: bool, as_json: bool) -> None:
    """The difference, and where it is asked for and confirmed, the end of it."""
    if not as_json:
        output.say(f"{_title(change.source)} {count(change.others, 'rule')} of others stay")
        output.facts((*change.findings, *change.others_findings), err=True)
        for line in change.diff:
            click.echo(safe(line, 400))
    done = None
    if do_it and change.diff:
        if not yes:
            _confirm(change)
        done = lifecycle.apply(context.site, change, context.state, context.authority)
    if as_json:
        return output.document(_change_json(change, done is not None))
    return output.say(f"✓ {done}" if done else "nothing differs" if not change.diff else "to do it: --apply")


def _confirm(change: Change) -> None:
    """Have the operator type yes. Refused, Interrupted."""
    if ask(f"Give s3://{safe(change.source.bucket)} these rules? Type yes: ") != "yes":
        raise Refused("nothing was changed", "type yes, in full, to do it")


def _change_json(change: Change, applied: bool) -> dict[str, Any]:
    """The JSON contract of ``lifecycle --diff`` and ``--apply``."""
    facts = (*change.findings, *change.others_findings)
    return {
        "source": change.source.name,
        "bucket": change.source.bucket,
        "differs": bool(change.diff),
        "applied": applied,
        "diff": [safe(line, 400) for line in change.diff],
        "others": change.others,
        "findings": [fact_json(fact) for fact in facts],
    }


@click.group("litestream")
def litestream_group() -> None:
    """Litestream's configuration and unit, and its lag."""


version_option = click.option(
    "--version", type=click.Choice(VERSIONS), default="0.5", show_default=True, help="Of Litestream."
)


@litestream_group.command("config")
@version_option
@click.option("--replica", metavar="NAME", help="Only this source.")
@click.option("--write", "into", type=click.Path(path_type=Path), metavar="FILE", help="Write it there instead.")
@click.option("--check", "checked", type=click.Path(path_type=Path), metavar="FILE", help="Check this one instead.")
@json_option
@click.pass_obj
@guarded
def litestream_config(
    context: Context, version: Version, replica: str | None, into: Path | None, checked: Path | None, as_json: bool
) -> None:
    """Write litestream.yml from the site, or check one.

    Points are kept as long as the queue's backups are hot, by the settings that this version heeds. --check says what
    a file does with it and what it says in vain. Exit status: 0; 1 where a check found something bad; 2 where the site
    has no replica, or another file is there.
    """
    if checked and into:
        raise UsageError("--check and --write exclude each other", "leave one of them out")
    if checked:
        facts = litestream_check.check(context.site, checked, version)
        if as_json:
            output.document({"version": version, "findings": [fact_json(fact) for fact in facts]})
        else:
            output.facts(facts, "")
        leave(1 if reporting.worst(facts) == "bad" else 0)
    if as_json:
        raise UsageError("--json is of --check", "leave it out: the configuration is YAML")
    if into:
        context.must_write("litestream --write")
    _put(context, litestream.configuration(context.site, version, replica), into)


@litestream_group.command("unit")
@click.option("--config", "settings", type=click.Path(path_type=Path), default=SETTINGS, show_default=True)
@click.option("--write", "into", type=click.Path(path_type=Path), metavar="FILE", help="Write it there instead.")
@click.pass_obj
@guarded
def litestream_unit(context: Context, settings: Path, into: Path | None) -> None:
    """Write the systemd unit that runs Litestream.

    Exit status: 0; 2 where another file is there.
    """
    program = shutil.which("litestream") or "/usr/local/bin/litestream"
    _put(context, litestream.unit(context.site, program, settings.absolute()), into)


def _put(context: Context, text: str, into: Path | None) -> None:
    if into is None:
        return click.echo(text, nl=False)
    litestream.write(text, into, context.authority)
    return output.say(f"{safe(into)} written")


@litestream_group.command("lag")
@json_option
@click.pass_obj
@guarded
def litestream_lag(context: Context, as_json: bool) -> None:
    """How far each replica is behind the live queue.

    Exit status: 0; 1 where one is further behind than the RPO of the queue, or that is unknown; 2 where the site has
    no replica that is written.
    """
    found = lag.measure(context.site)
    if not found:
        raise litestream.none_written(context.site)
    if as_json:
        output.document(lag.to_json(found))
    else:
        output.facts((Fact(one.source, one.sentence, one.state) for one in found), "")
    leave(1 if any(one.state == "bad" for one in found) else 0)
