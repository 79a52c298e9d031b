"""All backups in one list, with a pane beside it that fills as the backup under the cursor is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.timer import Timer
from textual.widgets import Input, Static

from pacs_recover.model import Backup
from pacs_recover.screens import catalog_view as view
from pacs_recover.screens.background import Task
from pacs_recover.screens.page import Page
from pacs_recover.screens.previewing import Previewing
from pacs_recover.screens.thaw import ThawPage, may_thaw
from pacs_recover.widgets.edges import Typed
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.once import once
from pacs_recover.widgets.reading import Reading

MANY = 20_000
"""Backups from which a filter works beside the keys."""
REST = 0.25
"""Seconds that the cursor has to rest before the backup under it is read."""


class CatalogPage(Page):
    """The backups of all sources, newest first."""

    heading = "Catalog"
    AUTO_FOCUS = "#backups"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (72, "-narrow"), (115, "-wide")]  # noqa: RUF012 - an instance variable there
    about = (
        "All backups of all sources in one list. The pane beside it reads the one under the cursor to its end, in "
        "private scratch, and says what it is; moving on stops that. space puts a backup into the recovery set (one "
        "for each component), p plans a restore of the set, or of the one under the cursor. Notes: enc encrypted, ODD "
        "something about it is odd, aside set aside by an earlier run; in a bucket DELETED and OLDER (overwritten) are "
        "versions that it still keeps, COLD is archived (t thaws it, which costs), THAWING asked for; UNREAD cannot be "
        "read now."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "look", id="catalog.open", tooltip="All facts about this backup, and its changes"),
        Binding("p", "plan", "plan", id="catalog.plan", tooltip="Plan a restore of the set, or of this backup"),
        Binding("space", "pick", "set", id="catalog.pick", tooltip="Put this backup into the recovery set, or out"),
        Binding("t", "thaw", "thaw", id="catalog.thaw", tooltip="Have this archived backup made readable"),
        Binding("i", "points", "in time", id="catalog.points", tooltip="The queue's points in time (Litestream)"),
        Binding("slash", "filter", "filter", id="catalog.filter", tooltip="Show only what has these words"),
        Binding("r", "again", "reread", id="catalog.again", tooltip="Read the sources again"),
    ]

    def __init__(self, words: str = "") -> None:
        super().__init__()
        self.filter = words
        self.shown: list[Backup] = []
        self.folded: Mapping[str, int] = {}
        self.previewing = Previewing(self, self.draw_pane)
        self._resting: Timer | None = None
        self._looking: Task | None = None
        self._is_untouched = True
        """Whether the cursor is still where it was put at first: on the newest, while pages arrive."""

    def body(self) -> ComposeResult:
        """Summary, filter, list and pane."""
        yield Reading(id="summary", passive=True)
        yield Typed("words of the id, the time, the source; enter keeps the filter, esc drops it", id="filter")
        with Horizontal():
            with Vertical(id="left"):
                yield Static(markup=False, classes="head", id="columns")
                yield Listing("no backups", id="backups")
            yield Reading(id="pane")

    def begin(self) -> None:
        """Show what has been read so far."""
        box = self.query_one("#filter", Typed)
        box.value = self.filter
        box.display = False
        if not self.console.gathered.parts and not self.console.gathered.waiting:
            self.console.gather()
        self.gathered()

    def gathered(self) -> None:
        """Another source answered: the cursor stays on its backup."""
        found, words = self.console.gathered.catalog, self.filter
        self._look_for(lambda: view.listed(found, words), len(found.backups))

    def _look_for(self, look: Callable[[], tuple[list[Backup], Mapping[str, int]]], many: int) -> None:
        """Find what is shown; of many beside the keys, so that the next letter waits for nothing."""
        if self._looking:
            self._looking.stop()
        if many < MANY:
            return self._list(self.backup, *look())
        self._looking = self.slow("filter", lambda _: look(), lambda told: self._list(self.backup, *told))
        return None

    def _list(self, here: Backup | None, shown: list[Backup], folded: Mapping[str, int]) -> None:
        """Show these, the cursor where it was."""
        self.shown, self.folded = shown, folded
        place = 0 if here is None or self._is_untouched else view.place_of(here, shown)
        empty = "reading…" if self.console.gathered.waiting else "no backup matches" if self.filter else "no backups"
        self.query_one("#backups", Listing).show(len(self.shown), self.line, place, empty)
        self.draw_summary()
        self.refresh_bindings()
        if self.backup != here or not self.previewing.of:
            self.moved()

    def draw_summary(self) -> None:
        """Counts, and the sources that cannot be read."""
        lines = view.summary(self.console.gathered, len(self.shown), self.filter, self.folded)
        self.query_one("#summary", Reading).show_whole(lines, 4, self.size.width - 3)

    def on_resize(self, _: Resize) -> None:
        """The columns follow the width."""
        self.call_after_refresh(self._columns)

    def _columns(self) -> None:
        width = self.query_one("#backups", Listing).scrollable_content_region.width
        self.query_one("#columns", Static).update(view.head(width - 1))

    def line(self, number: int, width: int) -> Line:
        """One row."""
        backup = self.shown[number]
        chosen = self.console.picked.get(backup.component) == backup
        return view.row(backup, self.session.now(), width, chosen)

    @property
    def backup(self) -> Backup | None:
        """The one under the cursor."""
        cursor = self.query_one("#backups", Listing).cursor
        return self.shown[cursor] if cursor < len(self.shown) else None

    def on_listing_moved(self, _: Listing.Moved) -> None:
        """What was being read is not wanted any more; the next is read once the cursor rests."""
        self._is_untouched = False
        self.moved()

    def moved(self) -> None:
        """Show what is known at once, then read."""
        self.previewing.look_at(self.backup)
        if self._resting:
            self._resting.stop()
        self._resting = once(self, REST, self.previewing.read)
        self.refresh_bindings()

    def draw_pane(self) -> None:
        """What is known of the backup under the cursor."""
        now, pane = self.previewing, self.query_one("#pane", Reading)
        pane.show(view.pane(now.of, now.seen, now.progress, now.problem) if now.of else [], top=now.fresh)

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("preview", self.backup.id) if self.backup else ("catalog",)

    def action_open(self) -> None:
        """Everything about this backup."""
        if self.backup:
            self.console.show_preview(self.backup)

    def action_pick(self) -> None:
        """Into the recovery set, or out of it."""
        if self.backup is None:
            return
        if self.backup.component == "logs":
            self.say("logs are not restored over live ones; get them out with: pacs-recover extract", "warn")
            return
        self.console.pick(self.backup)
        self.query_one("#backups", Listing).refresh()
        ids = [backup.id for backup in self.console.picked.values()]
        self.say(f"recovery set: {', '.join(ids)} - p plans it" if ids else "the recovery set is empty")

    def action_plan(self) -> None:
        """Choose with the set, or with this backup alone."""
        if not self.console.picked and self.backup:
            if self.backup.component == "logs":
                return self.action_pick()
            self.console.choose((), {self.backup.component: self.backup})
        elif self.console.picked:
            self.console.choose((), dict(self.console.picked))
        return None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is archived can be thawed, and never in a read-only console."""
        if action == "thaw" and self.console.is_open:
            return bool(self.is_mounted and self.backup and may_thaw(self.backup, self.session.read_only))
        return super().check_action(action, parameters)

    def action_thaw(self) -> None:
        """What a thaw would take."""
        if self.backup:
            self.console.push_screen(ThawPage(self.backup))

    def action_filter(self) -> None:
        """Type words."""
        box = self.query_one("#filter", Typed)
        box.display = True
        self.screen.set_focus(box)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        before, self.filter = self.filter, event.value
        if before.strip() and event.value.startswith(before):  # what is left of what was left
            left, words = self.shown, event.value
            self._look_for(lambda: (view.matching(left, words), {}), len(left))
        elif event.value != before:
            self.gathered()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Back to the list with the filter."""
        self.set_focus(self.query_one("#backups", Listing))
        self.query_one("#filter", Typed).display = bool(self.filter)

    def action_leave_typing(self) -> None:
        """Back to the list without a filter."""
        self.query_one("#filter", Typed).value = ""
        self.query_one("#filter", Typed).display = False
        self.set_focus(self.query_one("#backups", Listing))

    def action_back(self) -> None:
        """A filter goes first."""
        if self.filter:
            return self.action_leave_typing()
        return super().action_back()

    def action_again(self) -> None:
        """Read everything again."""
        self.console.gather()
        self.gathered()
        self.say(f"the sources were read again from {self.session.now():%H:%M:%S} UTC on")
