"""``pacs-recover demo``: one restore that passes and one that rolls back, on a real site that it makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, leave

if TYPE_CHECKING:
    from pacs_recover.demo.site_maker import DemoSite
    from pacs_recover.session import Session


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--unattended", is_flag=True, help="Run both restores and print their reports, on a terminal too.")
@click.pass_obj
@guarded
def demo(context: Context, directory: Path | None, unattended: bool) -> None:
    """Make a small real site and restore it, well and badly.

    Under DIRECTORY, which stays (default: a temporary one, which does not). On a terminal it opens the console there,
    with a guided first restore. Without one it runs both restores and prints both reports; exit status: 0 only if the
    first restore passed and the second rolled back by itself.
    """
    context.must_write("demo")
    with ExitStack() as stack:
        made = make(stack, directory)
        if unattended or not (sys.stdin.isatty() and sys.stdout.isatty()):
            leave(0 if _show(made) else 1)
        from pacs_recover import app

        leave(app.run(made.site_file, made.directory / "state", slow=context.slow, guide=guide_of(made)))


def make(stack: ExitStack, directory: Path | None = None) -> DemoSite:
    """A demo site whose service runs; both are gone when the stack is closed, unless the directory was named."""
    place = stack.enter_context(_place(directory))
    output.say(f"Making a demo site in {place}: configuration, certificates, a queue, backups, a service.")
    from pacs_recover.demo.site_maker import build

    made = build(place, datetime.now(UTC), every_kind=True)
    stack.enter_context(_serving(made))
    return made


def guide_of(made: DemoSite) -> Mapping[str, str]:
    """What the console says on each screen of the first, guided restore."""
    from pacs_recover.demo.site_file import NAME
    from pacs_recover.screens.guide import guide

    return guide(made.fails_in_soak, made.good, NAME)


def session_of(made: DemoSite) -> tuple[Session, Mapping[str, str]]:
    """A console's session on the demo site, and the guide through it."""
    from pacs_recover import app

    return app.open_site(made.site_file, made.directory / "state", False), guide_of(made)


@contextmanager
def _serving(made: DemoSite) -> Iterator[None]:
    """The demo's service, up."""
    _call(made, made.start, check=True)
    try:
        yield
    finally:
        _call(made, made.stop, check=False)


def _call(made: DemoSite, argv: tuple[str, ...], *, check: bool) -> None:
    environment = {**os.environ, **made.environment}
    subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=check)


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
    """Both restores; whether each went as it should."""
    good = tuple(made.good[name] for name in ("config", "certs", "queue"))
    before = _restore(made, good, "1. A restore that passes: configuration, certificates and queue", "restored")
    dying = "2. A restore whose service dies a second after its start"
    after = _restore(made, (made.fails_in_soak,), dying, "rolled_back")
    for what, went in (("restore", before), ("rollback", after)):
        output.say(f"{'✓' if went else '✗'} the {what} went {'as it should' if went else 'WRONG'}")
    return before and after


def _restore(made: DemoSite, ids: tuple[str, ...], title: str, expected: str) -> bool:
    """Plan, arm by the plan's id and run one restore, as ``plan`` and ``restore --yes --plan`` do."""
    from pacs_recover import arming, front
    from pacs_recover import plan as plans
    from pacs_recover.cli.follow import follow
    from pacs_recover.selection import select

    output.say(f"\n{title}\n")
    context = Context(made.site_file, made.directory / "state", False)
    plan = plans.make(context.site, select(context.catalog(), (), ids), context.state)
    arming.save(plan, context.state, context.authority)
    following = front.start(plan, context.state, context.authority, assume_yes=True)
    follow(following, False)
    return following.ended is not None and following.ended.outcome == expected
