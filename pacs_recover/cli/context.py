"""What every command starts from: the site, the state directory, and whether anything may be changed."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from pacs_recover import calling
from pacs_recover.authority import Authority
from pacs_recover.cli import output
from pacs_recover.errors import RecoverError
from pacs_recover.state import State, default_place
from pacs_recover.text import count, safe

if TYPE_CHECKING:
    from pacs_recover.catalog import Catalog
    from pacs_recover.model import Backup
    from pacs_recover.site import Site
    from pacs_recover.sources import Source
    from pacs_recover.verdicts import Verdicts

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Context:
    """The options before the command."""

    site_option: Path | None
    state_option: Path | None
    read_only: bool
    slow: bool | None = None
    """Whether the console is for a slow link; None is told by the session (SSH)."""

    @cached_property
    def site(self) -> Site:
        """The site, loaded when it is first needed. UsageError."""
        from pacs_recover import site

        return site.find(self.site_option, os.environ).load()

    @cached_property
    def state(self) -> State:
        """The state directory; looking works where it does not exist. What it cannot record is told."""
        return State(self.state_option or default_place(), _warn)

    @property
    def authority(self) -> Authority:
        """What the verbs that change something are handed."""
        return Authority(self.read_only)

    @property
    def program(self) -> str:
        """How this program is called again with the same site and state directory."""
        return calling.program(self.site_option, self.state.path)

    def catalog(self, component: str | None = None, source: str | None = None, *, brief: bool = False) -> Catalog:
        """Every backup that can be seen now; ``brief`` as in ``catalog.read``."""
        from pacs_recover import catalog

        watched: dict[str, Any] = {"longest": catalog.WATCHED, "partly": _say_progress} if sys.stderr.isatty() else {}
        found = catalog.read(self.sources(), component, source, brief=brief, **watched)
        return self.verdicts.mark(self.site.name, found)

    def sources(self) -> tuple[Source, ...]:
        """Where backups are looked for."""
        from pacs_recover.sources import sources_of

        return sources_of(self.site, self.state.journals())

    @cached_property
    def verdicts(self) -> Verdicts:
        """What verifications found, as far as the state directory tells."""
        from pacs_recover import verdicts

        return verdicts.known(self.state.path, self.authority, _warn)

    def find(self, text: str) -> Backup:
        """The backup that is named, looked for only where its name says. UsageError, SourceError."""
        from pacs_recover import catalog
        from pacs_recover.model import COMPONENTS
        from pacs_recover.sources.file import FileSource

        component, source = text.partition("/")[0], text.rpartition("@")[2]
        known = {one.name for one in self.sources()} - {FileSource.kind}
        found = self.catalog(component if component in COMPONENTS else None, source if source in known else None)
        return catalog.find(found, text)

    def must_write(self, what: str) -> None:
        """Refused where the operator said that nothing may be changed."""
        self.authority.must_allow(what)

    def refused(self, problem: RecoverError) -> None:
        """Record that something was refused."""
        command = click.get_current_context(silent=True)
        doing = command.command_path.removeprefix("pacs-recover ") if command else ""
        known = vars(self).get("site")
        self.state.audit.note_refusal(problem, doing, known.name if known else "")


def _warn(problem: str) -> None:
    output.say(f"! {problem}")


def _say_progress(so_far: Catalog) -> None:
    reading = [safe(state.name) for state in so_far.sources if not state.ok]
    output.say(f"… {count(len(so_far.backups), 'backup')} so far; still reading {', '.join(reading) or 'on'}")


def program_for(run: Path) -> str:
    """How this program is called for a run: with its state directory, where that is not the usual one."""
    return calling.program(None, run.parent.parent)


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def json_option(function: F) -> F:
    """``--json``, and errors as JSON with it."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout; errors are JSON too.")(
        function
    )


UNREAD = 128 + signal.SIGPIPE
"""The exit status where the output's reader left: what a shell says of a program that a closed pipe ended."""


def leave(code: int) -> NoReturn:
    """End with an exit code of the contract; never with 0 where nobody read the output to its end (``| head``)."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or UNREAD
    raise SystemExit(code)


def _hint(problem: OSError) -> str:
    """What to do about what the system said."""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room, or name places that have some: --state DIR for runs and scratch files, else $TMPDIR"
    if problem.errno in (errno.EACCES, errno.EPERM):
        return "run it as root: sudo pacs-recover …"
    return "see what is wrong with that file or filesystem, then try again"


def guarded(function: F) -> F:
    """Turn what went wrong into a message, a hint and the exit code of the contract."""

    @wraps(function)
    def command(*args: Any, **options: Any) -> Any:
        try:
            function(*args, **options)
        except RecoverError as problem:
            context: Context = args[0]
            context.refused(problem)
            output.error(problem, bool(options.get("as_json")))
            leave(problem.exit_code)
        except BrokenPipeError:
            leave(UNREAD)
        except OSError as problem:
            where = f": {problem.filename}" if problem.filename else ""
            error = RecoverError(f"{problem.strerror or problem}{where}", _hint(problem))
            output.error(error, bool(options.get("as_json")))
            leave(1)
        leave(0)

    return command  # type: ignore[return-value]
