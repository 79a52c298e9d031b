"""Completion in a shell: click's own, with the names of backups and runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from pacs_recover.cli.context import Context, guarded
from pacs_recover.errors import RecoverError
from pacs_recover.model import COMPONENTS
from pacs_recover.selection import FULL
from pacs_recover.state import State, default_place

PROGRAM = "pacs-recover"
SHELLS = ("bash", "zsh", "fish")
AT_HAND = ("local", "aside")
"""Kinds of sources that are listed while somebody waits with a finger on the tab key."""
PATIENCE = 1.0
"""Seconds for these."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_obj
@guarded
def completion(context: Context, shell: str) -> None:  # noqa: ARG001 - every command has it
    """Print the completion of commands, backups, runs for SHELL.

    \b
    bash: pacs-recover completion bash >/etc/bash_completion.d/pacs-recover
    zsh:  pacs-recover completion zsh >/usr/local/share/zsh/site-functions/_pacs-recover
    fish: pacs-recover completion fish >~/.config/fish/completions/pacs-recover.fish
    """
    click.echo(script(shell), nl=False)


def script(shell: str) -> str:
    """What a shell reads once; without asking bash for its version, which the host that completes may not share."""
    from pacs_recover.cli.commands import COMPLETING, cli

    kind = get_completion_class(shell)
    assert kind is not None
    return ShellComplete.source(kind(cli, {}, PROGRAM, COMPLETING))


def teach(command: click.Command) -> None:
    """Let a command's parameters complete by what they name."""
    for parameter in command.params:
        if parameter.name in NAMES:
            parameter.shell_complete = _completing(NAMES[parameter.name])  # type: ignore[method-assign, assignment]


def _completing(
    names: Callable[[click.Context], Sequence[str]],
) -> Callable[[click.Context, str], list[CompletionItem[str]]]:
    def complete(context: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        with suppress(RecoverError, OSError):  # whoever waits for a word is shown none, not an error
            return [CompletionItem(name) for name in names(context) if name.startswith(incomplete)]
        return []

    return complete


def _components(context: click.Context) -> Sequence[str]:  # noqa: ARG001 - as the others
    return (*COMPONENTS, FULL)


def _runs(context: click.Context) -> Sequence[str]:
    state = context.find_root().params.get("state") or default_place()
    return ("latest", *(run.name for run in State(state).runs()))


def _backups(context: click.Context) -> Sequence[str]:
    from pacs_recover import catalog, site
    from pacs_recover.sources import sources_of

    options = context.find_root().params
    state = State(options.get("state") or default_place())
    every = sources_of(site.find(options.get("site"), os.environ).load(), state.journals())
    found = catalog.read((one for one in every if one.kind in AT_HAND), longest=PATIENCE, patience=PATIENCE)
    return [backup.id for backup in found.backups]


NAMES: dict[str | None, Callable[[click.Context], Sequence[str]]] = {
    "component": _components,
    "components": _components,
    "backup": _backups,
    "backups": _backups,
    "run": _runs,
}
"""What is completed, by a parameter's name."""
