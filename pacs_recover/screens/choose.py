"""Choosing what a restore takes, before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from pacs_recover.model import LIVE, Backup
from pacs_recover.screens import choosing as view
from pacs_recover.screens.page import Page
from pacs_recover.text import both_times
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.reading import Reading


class ChoosePage(Page):
    """One row per component: restore it or not, and from which backup."""

    heading = "Plan: choose the recovery set"
    AUTO_FOCUS = "Listing"
    about = (
        "Configuration, certificates and queue that belong together are a recovery set. space takes a component in or "
        "leaves it out, the arrows choose an older or newer backup, t takes the next of the sets that belong together, "
        "s takes of the others what was newest at that time. enter reads the backups to their end and makes the plan; "
        "nothing live is touched by that."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "make", "plan", id="choose.make", tooltip="Read these backups and make the plan"),
        Binding("space", "include", "in/out", id="choose.toggle", tooltip="Restore this component, or leave it"),
        Binding(
            "right,l",
            "step(1)",
            "older",
            key_display="←→",
            id="choose.older",
            tooltip="An older backup of this component",
        ),
        Binding(
            "left,h", "step(-1)", "newer", show=False, id="choose.newer", tooltip="A newer backup of this component"
        ),
        Binding(
            "d", "drill", "drill", show=False, id="choose.drill", tooltip="Rehearse restoring this set, in a sandbox"
        ),
        Binding("t", "take", "set", id="choose.take", tooltip="The next of the sets that belong together"),
        Binding("s", "align", "align", id="choose.align", tooltip="Of the others, the newest at that time"),
    ]

    def __init__(self, names: Iterable[str], backups: Mapping[str, Backup]) -> None:
        super().__init__()
        self.names, self.given = tuple(names), dict(backups)
        self.choosing: view.Choosing | None = None

    def body(self) -> ComposeResult:
        """Rows, and what they come to."""
        yield Static(view.HEAD, markup=False, classes="head")
        yield Listing(id="choice")
        yield Reading(id="below")

    def begin(self) -> None:
        """Begin with what was asked for."""
        self.choosing = view.Choosing.of(self.console.gathered.catalog, self.names, self.given)
        self.query_one("#choice", Listing).cursor = self._first()
        self.draw()

    def gathered(self) -> None:
        """A source that answers late brings more to choose from; what was chosen stays."""
        if self.choosing:
            self.choosing.catalog = self.console.gathered.catalog
            again = view.Choosing.of(self.choosing.catalog, self.names, self.given)
            self.choosing.picked = {**again.picked, **self.choosing.picked}
            self.draw()

    def _first(self) -> int:
        wanted = [number for number, name in enumerate(LIVE) if self.choosing and name in self.choosing.wanted]
        return wanted[0] if wanted else 0

    def draw(self) -> None:
        """All of it."""
        if self.choosing is None:
            return
        lines = view.rows(self.choosing, self.session.now())
        self.query_one("#choice", Listing).show(len(lines), lambda number, _: lines[number])
        self.query_one("#below", Reading).show(view.below(self.choosing, self.here))

    @property
    def here(self) -> str:
        """The component under the cursor."""
        return LIVE[self.query_one("#choice", Listing).cursor]

    def on_listing_moved(self, _: Listing.Moved) -> None:
        """What is told below follows the cursor."""
        self.draw()

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        ids = [backup.id for backup in self.choosing.backups] if self.choosing else []
        return ("plan", *(word for backup in ids for word in ("--backup", backup)))

    def action_include(self) -> None:
        """In or out."""
        if self.choosing:
            self.choosing.toggle(self.here)
            self.draw()

    def action_step(self, by: int) -> None:
        """Older or newer."""
        if self.choosing:
            self.choosing.step(self.here, by)
            self.draw()

    def action_align(self) -> None:
        """The others as they were then."""
        if self.choosing:
            self.choosing.align(self.here)
            self.draw()
            self.say("the other rows now show what was newest at that time")

    def action_take(self) -> None:
        """The next of the proposed sets."""
        if self.choosing and (one := self.choosing.take()):
            self.draw()
            self.say(f"chosen: what there was at {both_times(one.anchor)}")

    def action_drill(self) -> None:
        """Into a sandbox."""
        if self.choosing and (backups := self.choosing.backups):
            self.console.show_drill(backups, [backup.component for backup in backups])
        else:
            self.say("choose a component first: space", "warn")

    def action_make(self) -> None:
        """Read and plan."""
        if self.choosing and self.choosing.backups:
            self.console.show_plan(self.choosing.backups)
        else:
            self.say("choose a component first: space", "warn")
