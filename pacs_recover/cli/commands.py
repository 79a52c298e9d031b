"""The commands and their options, as click reads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pacs_recover import __version__
from pacs_recover.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

ROOMS = {
    "demo": {
        "demo": "Make a small real site and restore it, well and badly.",
    },
    "listing": {
        "show_catalog": "List the backups of all sources, newest first.",
    },
    "looking": {
        "site_group": "Write, check or show the site file.",
        "preview": "Read one backup to its end and show what is in it.",
        "diff": "Show what restoring BACKUP would change, secrets masked.",
        "extract": "Get the files of BACKUP out into a new DIRECTORY.",
    },
    "status": {
        "status": "Freshness against RPO, what lives, drills, verification.",
    },
    "thaw": {
        "thaw": "Have an archived BACKUP in S3 made readable, which costs.",
    },
    "points": {
        "show_points": "List the points in time of the queue's Litestream replicas.",
    },
    "verifying": {
        "verify": "Prove that stored BACKUPS are good: the guide's seven points.",
    },
    "audit": {
        "audit_group": "Who looked, planned, restored, answered, was refused.",
    },
    "locks": {
        "lock_group": "Who holds the site, and holding it for a backup.",
    },
    "backing_up": {
        "backup": "Back up what lives, proven before it is stored.",
    },
    "restoring": {
        "show_plan": "The dry run: what a restore would do, and its plan id.",
        "restore": "Restore COMPONENT: proven first, undone when it fails.",
    },
    "keeping": {
        "prune": "Show which backups may go and why; remove them with --apply.",
        "retention": "What is kept against what is declared.",
    },
    "tiering": {
        "show_lifecycle": "Show the declared tiers as a bucket's lifecycle.",
        "litestream_group": "Litestream's configuration and unit, and its lag.",
    },
    "drilling": {
        "drill": "Restore into a sandbox, and try it there.",
        "rto": "Recovery times: the guide's table from real runs.",
        "show_history": "Chart every recovery and drill against the RTO, oldest first.",
    },
    "completing": {
        "completion": "Print the completion of commands, backups, runs for SHELL.",
    },
    "runs": {
        "show_runs": "Past and present runs, newest first.",
        "show_report": "The report of RUN (default: the latest).",
    },
    "taking_up": {
        "attach": "Follow RUN (default: the latest).",
        "resume": "Go on with RUN where it was cut.",
        "rollback": "Undo RUN, the site's newest.",
        "close": "End an unfinished RUN that was put right by hand.",
        "note": "Note TEXT in the record of RUN (or: latest), with its time.",
        "show_handover": "Print RUN (default: the latest) in a few lines to hand over.",
    },
}
"""Every command's function, by the module that it is in, and the first sentence of its help: ``--help`` loads none."""
NAMED = {
    function: function.removeprefix("show_").removesuffix("_group") for every in ROOMS.values() for function in every
}
"""What each is called."""
COMPLETING = "_PACS_RECOVER_COMPLETE"
"""Set by a shell that asks for completion: click's own convention."""


class Commands(click.Group):
    """Loads a command's module only when it is asked for: none pays for the others, the console for none."""

    def get_command(self, context: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command of this name."""
        for room, functions in ROOMS.items():
            for function in functions:
                if NAMED[function] == name:
                    return _taught(getattr(import_module(f"pacs_recover.cli.{room}"), function))
        return None

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """The names of all."""
        return sorted(NAMED.values())

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """What each is for, without loading it."""
        rows = sorted((NAMED[function], said) for every in ROOMS.values() for function, said in every.items())
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of all, without loading them, and the options."""
        from click.shell_completion import CompletionItem

        options = click.Command.shell_complete(self, context, incomplete)
        return [CompletionItem(name) for name in self.list_commands(context) if name.startswith(incomplete)] + options


def _taught(command: click.Command) -> click.Command:
    """A command that, where a shell asks, completes names too."""
    if COMPLETING in os.environ:
        from pacs_recover.cli.completing import teach

        teach(command)
    return command


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--site", "site", type=click.Path(path_type=Path), metavar="FILE", help="The site file.")
@click.option("--sites", type=click.Path(path_type=Path), metavar="DIR", help="The console of every site file in DIR.")
@click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="The state directory (runs, plans).")
@click.option("--read-only", is_flag=True, help="Refuse everything that changes anything.")
@click.option("--ticket", metavar="ID", help="The ticket that the audit names (or $PACS_RECOVER_TICKET).")
@click.option("--slow/--fast", default=None, help="The console for slow links (default: on SSH).")
@click.version_option(__version__, prog_name="pacs-recover")
@click.pass_context
def cli(
    click_context: click.Context,
    site: Path | None,
    sites: Path | None,
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
    if sites and (site or click_context.invoked_subcommand):
        raise UsageError(
            "--sites before a command opens the console of many sites, and goes with neither a command nor --site",
            "leave one out; status and verify have a --sites of their own: pacs-recover status --sites DIR",
        )
    if click_context.invoked_subcommand is None:
        from pacs_recover.cli.console import open_console

        sys.exit(open_console(site, state, sites=sites, read_only=read_only, slow=slow))
    from pacs_recover.cli.context import Context

    click_context.obj = Context(site, state, read_only, slow)


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
