"""Which site file is meant, and the site that it describes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pacs_recover.errors import UsageError
from pacs_recover.site.model import Site
from pacs_recover.text import count, safe

if TYPE_CHECKING:
    from pacs_recover.site.checking import Problem

VARIABLE = "PACS_RECOVER_SITE"
USUAL = Path("/etc/pacs_recover/site.yaml")


@dataclass(frozen=True)
class Found:
    """The site file that is meant."""

    path: Path | None
    """None: there is none, and the guide's own values hold."""

    def load(self) -> Site:
        """The site. Raises UsageError with every problem of the file."""
        return load(self.path) if self.path else Site()

    def problems(self) -> list[Problem]:
        """All that is wrong with the file. Raises UsageError where it may not or cannot be read."""
        if self.path is None:
            return []
        from pacs_recover.site.trusted import read

        return problems(read(self.path))


def find(option: Path | None, environ: Mapping[str, str], usual: Path = USUAL) -> Found:
    """The file that was named by ``--site``, else by ``$PACS_RECOVER_SITE``, else the usual one if it is there.

    Raises UsageError where a named file does not exist, or where it cannot be told whether the usual one does.
    """
    named = option or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)
    if named:
        return Found(_existing(named.absolute(), "--site" if option else f"${VARIABLE}"))
    try:
        os.lstat(usual)
    except (FileNotFoundError, NotADirectoryError):
        return Found(None)
    except OSError as error:
        hint = "mend its rights, or name a site file with --site"
        raise UsageError(f"the site file {safe(usual)} cannot be looked at: {error.strerror}", hint) from error
    return Found(usual)


def files_in(directory: Path) -> list[Path]:
    """The site files (``*.yaml``) of a directory, by name. UsageError where there is none."""
    try:
        found = sorted(path.absolute() for path in directory.iterdir() if path.suffix == ".yaml")
    except OSError as error:
        raise UsageError(f"{safe(directory)} cannot be read: {error.strerror}", "name a directory") from error
    if not found:
        raise UsageError(f"there is no site file in {safe(directory)}", "its site files have to end in .yaml")
    return found


def _existing(path: Path, by: str) -> Path:
    try:
        os.stat(path)
    except FileNotFoundError as error:
        hint = f"write one: pacs-recover site init {safe(path)}"
        raise UsageError(f"there is no site file {safe(path)}, which {by} names", hint) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the site file {safe(path)} cannot be looked at: {reason}", f"mend {by}") from error
    return path


def problems(text: str) -> list[Problem]:
    """All that is wrong with the text of a site file, by line."""
    from pacs_recover.site.checking import check

    return check(text)[1]


def load(path: Path) -> Site:
    """The site of a file that nobody else can change. Raises UsageError with every problem that there is."""
    from pacs_recover.site.checking import check  # deferred: many hosts have no site file
    from pacs_recover.site.trusted import read

    site, found = check(read(path))
    if found:
        lines = "".join(f"\n  {problem}" for problem in found)
        raise UsageError(
            f"the site file {safe(path)} has {count(len(found), 'problem')}:{lines}",
            f"mend it, then: pacs-recover --site {safe(path)} site check",
        )
    return site
