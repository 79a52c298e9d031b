"""Many sites at once: the site files of a directory, of which a bad one keeps nobody from the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacs_recover import live, looks, site, standing
from pacs_recover.catalog import Catalog
from pacs_recover.errors import RecoverError, UsageError
from pacs_recover.keeping.risks import fact_json, risks
from pacs_recover.site import Site
from pacs_recover.state import State
from pacs_recover.text import brief, safe
from pacs_recover.wrapping import SYMBOLS


@dataclass(frozen=True)
class Member:
    """One site file."""

    path: Path
    site: Site | None
    problem: RecoverError | None = None
    """Why it is no site, or cannot be used beside the others."""

    @property
    def name(self) -> str:
        """The site's, else the file's."""
        return self.site.name if self.site else self.path.name


def members(directory: Path) -> list[Member]:
    """Every site file of a directory, by name. UsageError where there is none."""
    return list(_members(site.files_in(directory)))


def _members(paths: Sequence[Path]) -> Iterator[Member]:
    seen: dict[str, Path] = {}
    for path in paths:
        try:
            yield Member(path, _apart(site.load(path), path, seen))
        except RecoverError as problem:
            yield Member(path, None, problem)
        except OSError as problem:
            yield Member(path, None, UsageError(f"{safe(path)} cannot be read: {problem.strerror}", "mend its rights"))


def _apart(found: Site, path: Path, seen: dict[str, Path]) -> Site:
    """UsageError where an earlier file has its name: what is recorded of the two could not be told apart."""
    if found.name in seen:
        said = f"two site files have the name {safe(found.name)}: {safe(seen[found.name].name)} and {safe(path.name)}"
        raise UsageError(said, "give each site a name of its own")
    seen[found.name] = path
    return found


def looked_at(of: Site, found: Catalog, state: State) -> dict[str, Any]:
    """What ``status`` tells of one site's backups, services and runs."""
    told = looks.status(of, found, state)
    told["findings"] += [fact_json(fact) for fact in risks(of, found)]
    return told


def status(of: Site, found: Catalog, state: State) -> dict[str, Any]:
    """The same with what lives; ``state`` under that key is the worst of it all. RecoverError."""
    try:
        told = looked_at(of, found, state)
    except OSError as error:
        raise RecoverError(f"{safe(of.name)} cannot be looked at: {error}", "see what is wrong there") from error
    told["live"] = live.read(of, state)
    told["state"] = standing.worst([state for state, _ in standing.issues(told)])
    return told


def failure(member: Member, problem: RecoverError) -> dict[str, Any]:
    """The JSON contract of a site file that gave no status."""
    return {"file": str(member.path), "error": problem.message, "hint": problem.hint}


HEAD = ("", "SITE", "VERIFIED", "DRILL", "WORST")


def row(told: Mapping[str, Any]) -> tuple[str, ...]:
    """A site in the columns of ``HEAD``: its state, how long ago it was verified and drilled, the worst of it."""
    ages = [brief(told[part]["age_seconds"]) for part in ("verification", "drill")]
    said = [text for _, text in standing.issues(told)]
    more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
    return SYMBOLS[told["state"]], safe(told["site"]), *ages, said[0] + more if said else "all fine"


def failed_row(member: Member, problem: RecoverError) -> tuple[str, ...]:
    """The same of one that gave no status."""
    return SYMBOLS["bad"], safe(member.path.name), "-", "-", " ".join(problem.message.split())
