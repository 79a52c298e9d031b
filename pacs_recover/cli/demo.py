"""``pacs-recover demo``: one restore that passes and one that rolls back, on a real site that it makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, leave

if TYPE_CHECKING:
    from pacs_recover.demo.site_maker import DemoSite


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.pass_obj
@guarded
def demo(context: Context, directory: Path | None) -> None:
    """Make a small real site and restore it, well and badly.

    Under DIRECTORY, which stays (default: a temporary one, which does not). Prints both reports. Exit
    status: 0 only if the first restore passed and the second rolled back by itself.
    """
    context.must_write("demo")
    with _place(directory) as place:
        output.say(f"Making a demo site in {place}: configuration, certificates, a queue, backups, a service.")
        from pacs_recover.demo.site_maker import build

        made = build(place, datetime.now(UTC))
        leave(0 if _show(made) else 1)


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    """The directory named, which stays, or a temporary one, which does not."""
    if directory is not None:
        yield directory.absolute()
        return
    home = Path(tempfile.mkdtemp(prefix="pacs-recover-demo-"))
    try:
        yield home / "site"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _show(made: DemoSite) -> bool:
    """Both restores, with the service running; whether each went as it should."""
    environment = {**os.environ, **made.environment}
    subprocess.run(made.start, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    try:
        good = tuple(made.good[name] for name in ("config", "certs", "queue"))
        before = _restore(made, good, "1. A restore that passes: configuration, certificates and queue", "restored")
        after = _restore(
            made, (made.fails_in_soak,), "2. A restore whose service dies a second after its start", "rolled_back"
        )
    finally:
        subprocess.run(made.stop, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    for what, went in (("restore", before), ("rollback", after)):
        output.say(f"{'✓' if went else '✗'} the {what} went {'as it should' if went else 'WRONG'}")
    return before and after


def _restore(made: DemoSite, ids: tuple[str, ...], title: str, expected: str) -> bool:
    """Plan, arm by the plan's id and run one restore, as ``plan`` and ``restore --yes --plan`` do."""
    from pacs_recover import front
    from pacs_recover import plan as plans
    from pacs_recover.cli.follow import follow
    from pacs_recover.selection import select

    output.say(f"\n{title}\n")
    context = Context(made.site_file, made.directory / "state", False)
    plan = plans.make(context.site, select(context.catalog(), (), ids), context.state)
    plans.save(plan, context.state)
    following = front.start(plan, context.state, assume_yes=True)
    follow(following, False)
    return following.ended is not None and following.ended.outcome == expected
