"""The ways from one screen to another; a screen is loaded when it is first gone to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pacs_recover.screens.gathered import Gathered
from pacs_recover.screens.thrifty import Thrifty

if TYPE_CHECKING:
    from pacs_recover.front import Following
    from pacs_recover.model import Backup
    from pacs_recover.session import Session


class Ways(Thrifty, inherit_bindings=False):
    """An application that can show each screen."""

    gathered: Gathered
    followings: dict[str, Following]
    found_again: dict[str, str]

    @property
    def session(self) -> Session:
        """What is worked on."""
        raise NotImplementedError

    @property
    def is_open(self) -> bool:
        """Whether the site has been read."""
        raise NotImplementedError

    def show_overview(self) -> None:
        """Back to the first screen of the site."""
        from pacs_recover.screens.overview import Overview

        while len(self.screen_stack) > 1 and not isinstance(self.screen, Overview):
            self.pop_screen()

    def show_catalog(self, words: str) -> None:
        """The backups, filtered."""
        from pacs_recover.screens.catalog import CatalogPage

        self.push_screen(CatalogPage(words))

    @property
    def has_points(self) -> bool:
        """Whether a source of the site is a Litestream replica."""
        return any(state.kind == "litestream" for part in self.gathered.parts.values() for state in part.sources)

    def show_points(self) -> None:
        """The points in time."""
        from pacs_recover.screens.points import PointsPage

        self.push_screen(PointsPage())

    def show_preview(self, backup: Backup) -> None:
        """One backup in full."""
        from pacs_recover.screens.preview import PreviewPage

        self.push_screen(PreviewPage(backup))

    def choose(self, names: Iterable[str], backups: Mapping[str, Backup] | None = None) -> None:
        """Choose a recovery set, beginning with these."""
        from pacs_recover.screens.choose import ChoosePage

        self.push_screen(ChoosePage(names, backups or {}))

    def show_plan(self, backups: Iterable[Backup]) -> None:
        """Make and show a plan."""
        from pacs_recover.screens.plan import PlanPage

        self.push_screen(PlanPage(tuple(backups)))

    def show_started(self, following: Following) -> None:
        """A run that has just begun: behind it is the first screen, since what led to it is used up."""
        from pacs_recover.screens.run import RunPage

        self.followings[following.run.name] = following
        self.found_again[following.run.name] = self.session.goes_on(following.run.name)
        self.show_overview()
        self.push_screen(RunPage(following.run, following))

    def show_run(self, run: Path) -> None:
        """A run, followed from its first line."""
        from pacs_recover.front import Following
        from pacs_recover.screens.run import RunPage

        known = self.followings.get(run.name)
        self.push_screen(RunPage(run, Following(run, known.process if known else None)))

    def show_runs(self) -> None:
        """Past and present runs."""
        from pacs_recover.screens.runs import RunsPage

        self.push_screen(RunsPage())

    def action_audit(self) -> None:
        """Who did what."""
        from pacs_recover.screens.audit import AuditPage

        if self.is_open and not isinstance(self.screen, AuditPage):
            self.push_screen(AuditPage())

    def show_report(self, run: Path) -> None:
        """A run's report."""
        from pacs_recover.screens.report import ReportPage

        self.push_screen(ReportPage(run))

    def show_undo(self, run: Path, purpose: str) -> None:
        """What taking a run up again would do."""
        from pacs_recover.screens.undo import UndoPage

        self.push_screen(UndoPage(run, purpose))

    def show_notes(self, run: Path) -> None:
        """What was noted of a run."""
        from pacs_recover.screens.notes import NotesPage

        self.push_screen(NotesPage(run))

    def show_handover(self, run: Path) -> None:
        """A run in a few lines to paste."""
        from pacs_recover.screens.handover import HandoverPage

        self.push_screen(HandoverPage(run))

    def show_history(self) -> None:
        """Recovery times."""
        from pacs_recover.screens.history import HistoryPage

        self.push_screen(HistoryPage())

    def show_drill(self, backups: Iterable[Backup], names: Iterable[str]) -> None:
        """A drill of these backups, or of the newest of these components."""
        from pacs_recover.screens.drill import DrillPage

        self.push_screen(DrillPage(tuple(backups), tuple(names)))
