"""The commands and their options, as click reads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pacs_recover import __version__
from pacs_recover.errors import Interrupted, UsageError


class Commands(click.Group):
    """Loads the commands only when one is looked for: the console, which needs none, is painted sooner."""

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of this name."""
        _add_commands()
        return super().get_command(context, name)

    def list_commands(self, context: click.Context) -> list[str]:
        """The names of all."""
        _add_commands()
        return super().list_commands(context)


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--site", "site", type=click.Path(path_type=Path), metavar="FILE", help="The site file.")
@click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="The state directory (runs, plans).")
@click.option("--read-only", is_flag=True, help="Refuse everything that changes anything.")
@click.option("--ticket", metavar="ID", help="The ticket that the audit names (or $PACS_RECOVER_TICKET).")
@click.option("--slow/--fast", default=None, help="The console for slow links (default: on SSH).")
@click.version_option(__version__, prog_name="pacs-recover")
@click.pass_context
def cli(
    click_context: click.Context,
    site: Path | None,
    state: Path | None,
    read_only: bool,
    ticket: str | None,
    slow: bool | None,
) -> None:
    """Bring PACS Bridge back from its backups: browse, preview, plan, restore, roll back.

    Without a command it opens the console.

    Exit status: 0 done; 1 failed and rolled back; 2 wrong usage; 3 a source or backup could not be read; 4 rollback
    incomplete, a person is needed; 5 refused; 6 a backup was found bad; 7 the run goes on without this terminal;
    130 interrupted before anything was changed.
    """
    if ticket:
        os.environ["PACS_RECOVER_TICKET"] = ticket  # the run's worker has it from there too
    if read_only:
        from pacs_recover import confinement

        confinement.enforce(state)
    if click_context.invoked_subcommand is None:
        from pacs_recover.cli.console import open_console

        sys.exit(open_console(site, state, read_only=read_only, slow=slow))
    from pacs_recover.cli.context import Context

    click_context.obj = Context(site, state, read_only, slow)


def _add_commands() -> None:
    from pacs_recover.cli import audit, demo, drilling, locks, looking, points, restoring, runs, thaw, verifying

    for command in (
        demo.demo,
        looking.site_group,
        looking.show_catalog,
        looking.preview,
        looking.diff,
        looking.extract,
        thaw.thaw,
        points.show_points,
        verifying.verify,
        looking.status,
        audit.audit_group,
        locks.lock_group,
        restoring.show_plan,
        restoring.restore,
        drilling.drill,
        drilling.rto,
        drilling.show_history,
        runs.show_runs,
        runs.attach,
        runs.resume,
        runs.rollback,
        runs.close,
        runs.note,
        runs.show_handover,
        runs.show_report,
    ):
        cli.add_command(command)


def run(words: Sequence[str]) -> int:
    """Do what the words say and give the exit code. UsageError, Interrupted, RecoverError of an option's own value."""
    try:
        code = cli.main(list(words), prog_name="pacs-recover", standalone_mode=False)
    except click.ClickException as problem:
        raise _usage(problem) from problem
    except click.Abort as problem:
        raise Interrupted("interrupted: nothing was changed") from problem
    return code if isinstance(code, int) else 0


def _usage(problem: click.ClickException) -> UsageError:
    context = getattr(problem, "ctx", None)
    hint = f"see: {context.command_path} --help" if context else "see: pacs-recover --help"
    return UsageError(problem.format_message(), hint)
