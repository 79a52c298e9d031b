"""Backups of many ages, with what a verification found of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pacs_recover.authority import Authority
from pacs_recover.cli.context import Context
from pacs_recover.keeping import pruning
from pacs_recover.keeping.pruning import Proposal, Removal
from pacs_recover.model import Backup
from pacs_recover.verdicts import Verdict, stored
from tests.cli.shell import Shell, with_site
from tests.runs.small_site import SmallSite

ENDS = {"config": ".tar.gz", "certs": ".tar.enc", "queue": ".db.gz"}
CONTENT = b"as long as it need be"


def name(component: str, age: timedelta, now: datetime) -> str:
    """The guide's name for a backup of this age."""
    at = now - age
    return (
        f"{component}/app.log.{at:%Y%m%d}.gz"
        if component == "logs"
        else f"{component}/{component}_{at:%Y%m%d_%H%M%S}{ENDS[component]}"
    )


def names(component: str, days: Iterable[float], now: datetime | None = None) -> list[str]:
    """Those of these ages in days; the age 0 is of a minute ago."""
    moment = now or datetime.now(UTC)
    return [name(component, timedelta(days=day, minutes=1), moment) for day in days]


def stock(root: Path, wanted: Iterable[str]) -> list[Path]:
    """Files of these names, each with a manifest beside it."""
    made = []
    for one in wanted:
        path = root / one
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
        path.with_name(path.name + ".manifest.json").write_text("{}")
        made.append(path)
    return made


def local(path: Path, name: str = "local") -> dict[str, Any]:
    """A directory as the site file names it."""
    return {"kind": "local", "name": name, "path": str(path), "timezone": "UTC"}


def sited(small: SmallSite, *sources: dict[str, Any], **retention: Any) -> Shell:
    """A shell whose site has these sources and this retention."""
    return with_site(small, sources=list(sources), retention=retention)


def context(shell: Shell) -> Context:
    """As a command of this shell sees it."""
    return Context(Path(shell.options[1]), Path(shell.options[3]), False)


def judge(shell: Shell, found: Callable[[Backup], bool | None] = lambda _: True) -> list[Backup]:
    """Have a verification find every backup good, or what ``found`` says of it; None is never verified."""
    of = context(shell)
    every = [one for one in of.catalog().backups if one.source != "aside"]
    for one in every:
        if (ok := found(one)) is not None:
            of.verdicts.keep(
                Verdict(
                    site=of.site.name,
                    backup=one.id,
                    at=datetime.now(UTC),
                    ok=ok,
                    stored=stored(one),
                    taken_at=one.taken_at,
                )
            )
    return every


def proposed(shell: Shell, *components: str, now: datetime | None = None) -> Proposal:
    """What a prune would do."""
    of = context(shell)
    return pruning.propose(of.site, of.catalog(), of.state, components, now)


def applied(shell: Shell, proposal: Proposal) -> list[Removal]:
    """What came of doing it."""
    of = context(shell)
    return list(pruning.apply(of.site, proposal, of.state, Authority()))


def left(root: Path) -> set[str]:
    """The backups that are there, relative to the directory."""
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.name.endswith(".json")
    }
