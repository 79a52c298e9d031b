"""The table of many sites, and the console of one of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from pacs_recover import session
from pacs_recover.errors import RecoverError, UsageError
from pacs_recover.group import Member
from pacs_recover.screens import sites_view as view
from pacs_recover.screens.console import Console
from pacs_recover.screens.overview import Overview
from pacs_recover.screens.sites import SitesPage
from pacs_recover.sessions import Sessions
from pacs_recover.site import Site
from tests.runs.small_site import SmallSite
from tests.screens.acted import HELD, Acted
from tests.screens.conftest import frame, picture
from tests.screens.test_flows import notice, press
from tests.screens.test_frames import settle

Accepted = Callable[[str, str], None]
BAD = UsageError("the site file /sites/west.yaml has 1 problem:\n  line 3: sorce is unknown", "mend it")
MEMBERS = [
    *(Member(Path(f"/sites/{name}.yaml"), Site(name=name)) for name in ("north", "radiology", "south", "slow")),
    Member(Path("/sites/west.yaml"), None, BAD),
]


def status(name: str, **parts: Any) -> dict[str, Any]:
    """All that is told of a site where nothing is wrong, but for these parts."""
    fine = {"state": "ok", "sentence": "", "age_seconds": 7200}
    told = {"site": name, "state": "ok", "components": [], "services": [], "live": HELD, "unfinished": []}
    return {**told, "findings": [], "sources": [], "verification": fine, "drill": fine, **parts}


LATE = {"state": "bad", "sentence": "OVERDUE: the last verification was 9 days ago", "age_seconds": 777_600}
STOPPED = [{"name": "pacs_bridge", "activity": "stopped", "state": "bad"}]
UNDRILLED = {"state": "warn", "sentence": "OVERDUE: there was no drill yet", "age_seconds": None}
TOLD: dict[str, dict[str, Any] | RecoverError] = {
    "north": status("north", state="bad", verification=LATE, services=STOPPED),
    "radiology": status("radiology"),
    "south": status("south", state="warn", drill=UNDRILLED),
}


class Group(Sessions):
    """Sites that only act; one of them answers when the test lets it."""

    def __init__(self) -> None:
        super().__init__(Path("/sites"))
        object.__setattr__(self, "free", threading.Event())

    def members(self) -> list[Member]:
        """The fixed ones."""
        return MEMBERS

    def status(self, member: Member) -> dict[str, Any] | RecoverError:
        """The fixed one."""
        if member.name == "slow":
            self.free.wait(20)  # type: ignore[attr-defined]
            return RecoverError("slow cannot be looked at: Input/output error", "see what is wrong there")
        return TOLD[member.name]

    def open(self, member: Member) -> session.Session:
        """A session that only acts."""
        return Acted()


def test_many_sites_are_one_table_and_each_is_opened_and_left(accepted: Accepted) -> None:
    group = Group()

    async def flow() -> None:
        console = Console(None, theme="textual-dark", sites=group)
        async with console.run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            accepted("sites.txt", frame(console))
            accepted("sites.svg", picture(console))
            group.free.set()  # type: ignore[attr-defined]
            await press(pilot, "y")
            assert notice(pilot) == "$ pacs-recover status --sites /sites"
            await press(pilot, "down", "down", "down", "down", "enter")
            assert "line 3: sorce is unknown" in frame(console)
            assert isinstance(console.screen, SitesPage)
            await press(pilot, "up")
            assert "slow cannot be looked at: Input/output error" in frame(console)
            await press(pilot, "up", "up", "enter")
            assert isinstance(console.screen, Overview)
            assert "radiology@pacs1" in frame(console).splitlines()[0]
            await press(pilot, "c", "space", "escape", "escape")
            assert isinstance(console.screen, SitesPage)
            assert console.picked
            await press(pilot, "enter")
            assert not console.picked, "what was chosen of one site is not of another"
            await press(pilot, "q")

    asyncio.run(flow())


@pytest.mark.parametrize(
    ("member", "told", "said", "look"),
    [
        (MEMBERS[0], None, "… north", ""),
        (MEMBERS[0], TOLD["north"], "✗ north                9d       2h    service pacs_bridge: stopped (and 1", "bad"),
        (MEMBERS[1], TOLD["radiology"], "✓ radiology            2h       2h    all fine", "ok"),
        (MEMBERS[2], TOLD["south"], "! south                2h       -     drill OVERDUE", "warn"),
        (MEMBERS[3], RecoverError("gone", ""), "✗ slow.yaml            -        -     gone", "bad"),
        (MEMBERS[4], None, "✗ west.yaml            -        -     the site file /sites/west.yaml has 1 problem", "bad"),
    ],
)
def test_a_site_is_a_symbol_and_the_worst_of_its_status(member: Member, told: Any, said: str, look: str) -> None:
    row = view.row(member, told)
    assert row.text.startswith(said)
    assert row.look == look


def test_the_summary_counts_by_what_is_to_be_done() -> None:
    told = {member.path: TOLD.get(member.name) for member in MEMBERS}
    line = view.summary(MEMBERS, told)
    assert line.text == "5 sites: 2 need somebody, 1 to look at, 1 fine, reading 1…"
    assert line.look == "bad"


def test_real_site_files_are_read_side_by_side_and_opened(small: SmallSite) -> None:
    home = small.root / "sites"
    home.mkdir()
    text = small.demo.site_file.read_text()
    for name in ("a", "b"):
        (home / f"{name}.yaml").write_text(text.replace(f"name: {small.site.name}", f"name: {name}"))
    (home / "c.yaml").write_text("name: [")
    for path in home.iterdir():
        path.chmod(0o600)
    sites = Sessions(home, small.state.path, True)

    async def flow(pilot: Pilot[Any]) -> None:
        for _ in range(200):
            if "reading" not in frame(pilot.app):
                break
            await pilot.pause(0.1)
        assert "3 sites: 3 need somebody" in frame(pilot.app), "none was verified"
        await press(pilot, "down", "enter")
        for _ in range(100):
            if "✓ fresh" in frame(pilot.app):
                break
            await pilot.pause(0.1)
        assert "READ-ONLY" in frame(pilot.app)
        assert " b@" in frame(pilot.app).splitlines()[0]
        await press(pilot, "y")
        assert f"--site {home / 'b.yaml'} --state" in notice(pilot)

    async def main() -> None:
        console = Console(None, read_only=True, sites=sites)
        async with console.run_test(size=(80, 24)) as pilot:
            await flow(pilot)

    asyncio.run(main())
    with pytest.raises(UsageError, match="cannot be read"):
        Sessions(small.root / "empty-of-sites", None, True).members()


def test_the_console_of_a_directory_is_opened_by_an_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pacs_recover.cli import commands
    from pacs_recover.cli import console as opening

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(opening, "open_console", lambda *_, **options: asked.append(options) or 0)
    with pytest.raises(SystemExit):
        commands.run(["--sites", str(tmp_path)])
    assert asked[0]["sites"] == tmp_path
    with pytest.raises(UsageError, match="of many sites"):
        commands.run(["--sites", str(tmp_path), "status"])
    with pytest.raises(UsageError, match="of many sites"):
        commands.run(["--sites", str(tmp_path), "--site", "x"])
