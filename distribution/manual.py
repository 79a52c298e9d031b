"""The man page, of what click's commands say of themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pacs_recover import __version__
from pacs_recover.cli.commands import cli

NAME = "pacs-recover.1"
FILES = (
    ("/etc/pacs_recover/site.yaml", "The site file, where --site and $PACS_RECOVER_SITE name no other."),
    ("/var/lib/pacs_recover", "The state directory of root: runs with their journals, plans, the audit."),
    ("~/.local/state/pacs_recover", "The state directory of other users."),
)


def text() -> str:
    """The whole page, as man(7) describes it."""
    summary, _, more = (cli.help or "").partition("\n\n")
    parts = [
        f'.TH PACS\\-RECOVER 1 "" "pacs\\-recover {__version__}" "Recovery of PACS Bridge"',
        ".SH NAME",
        r"pacs\-recover \- restore a PACS Bridge from its backups",
        ".SH SYNOPSIS",
        r".B pacs\-recover",
        r"[\fIOPTIONS\fR] [\fICOMMAND\fR [\fIARGUMENTS\fR]]",
        ".SH DESCRIPTION",
        paragraphs(summary + "\n\n" + more.partition("Exit status:")[0]),
        ".SH OPTIONS",
        *options(cli, click.Context(cli)),
        ".SH COMMANDS",
        *(part for path, command in commands(cli, ()) for part in section(path, command)),
        ".SH EXIT STATUS",
        paragraphs(more.partition("Exit status:")[2].strip().capitalize()),
        ".SH FILES",
        *(f".TP\n.I {plain(name)}\n{plain(what)}" for name, what in FILES),
    ]
    return "\n".join(parts) + "\n"


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, by the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def section(path: tuple[str, ...], command: click.Command) -> list[str]:
    """One command with its arguments and options."""
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    title = plain(" ".join((*path, usage)).strip())
    return [f'.SS "{title}"', paragraphs(command.help or ""), *options(command, context)]


def options(command: click.Command, context: click.Context) -> list[str]:
    """Each option with its help."""
    own = (parameter for parameter in command.params if isinstance(parameter, click.Option))
    records = (option.get_help_record(context) for option in own)
    return [f".TP\n.B {plain(names)}\n{plain(what)}" for names, what in filter(None, records)]


def paragraphs(said: str) -> str:
    """Running text; what click is told not to wrap (\\b) stays as it is."""
    made = []
    for paragraph in said.strip().split("\n\n"):
        kept = paragraph.startswith("\b")
        body = "\n".join(plain(line.strip()) for line in paragraph.removeprefix("\b").strip("\n").splitlines())
        made.append(f".nf\n{body}\n.fi" if kept else body)
    return "\n.PP\n".join(made)


def plain(said: str) -> str:
    """Text that roff takes literally."""
    escaped = said.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
