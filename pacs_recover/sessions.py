"""What a console of many sites works on: the site files of a directory, each opened as a session of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from pacs_recover import calling, catalog, group, site, verdicts
from pacs_recover.errors import RecoverError
from pacs_recover.group import Member
from pacs_recover.session import Session, session_of


@dataclass(frozen=True)
class Sessions:
    """The sites of one directory and the state directory that they share."""

    directory: Path
    state: Path | None = None
    read_only: bool = False

    def members(self) -> list[Member]:
        """Every site file. UsageError where there is none."""
        return group.members(self.directory)

    def status(self, member: Member) -> dict[str, Any] | RecoverError:
        """What ``status`` tells of one, or why nothing can be told."""
        try:
            session = self.open(member)
            found = catalog.read(session.sources(), brief=True)
            marked = verdicts.known(session.state.path, session.authority).mark(session.site.name, found)
            return group.status(session.site, marked, session.state)
        except RecoverError as error:
            return error

    def open(self, member: Member) -> Session:
        """A session of its own. UsageError, where the file is no site any more."""
        return session_of(site.load(member.path), member.path, self.state, self.read_only)

    def line(self) -> str:
        """The command line that shows the same table."""
        return f"{calling.program(None, self.state)} status --sites {quote(str(self.directory))}"
