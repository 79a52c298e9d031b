"""The console: screens over the same functions that the command line uses."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import Screen

from pacs_recover.errors import RecoverError
from pacs_recover.screens.background import Background, Task
from pacs_recover.screens.faults import in_words
from pacs_recover.screens.gathered import Gathered
from pacs_recover.screens.overview import Overview
from pacs_recover.screens.page import Page
from pacs_recover.screens.ways import Ways
from pacs_recover.widgets.edges import Typed

if TYPE_CHECKING:
    from pacs_recover.catalog import Catalog
    from pacs_recover.front import Following
    from pacs_recover.group import Member
    from pacs_recover.model import Backup, Preview
    from pacs_recover.session import Session
    from pacs_recover.sessions import Sessions
    from pacs_recover.sources import Source

Opening = Callable[[], "Session"]
"""Finds and reads the site; takes its time, as it loads everything that the first screen can do without."""
HUNG_UP = 129
"""Exit code after the terminal went away: 128 and SIGHUP."""


class Console(Ways, inherit_bindings=False):
    """The application: which screen is shown, and what the screens share."""

    TITLE = "pacs-recover"
    CSS_PATH = "../app.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+p", "commands", "all", id="app.commands", tooltip="Everything that can be done here, by name"),
        Binding("question_mark", "help", "help", id="app.help", tooltip="What this screen is, and all its keys"),
        Binding("q", "leave", "quit", id="app.quit", tooltip="Leave the console; a run goes on without it"),
        Binding(
            "ctrl+t", "colours", "", show=False, id="app.colours", tooltip="Colours for a light or a dark background"
        ),
        Binding("ctrl+l", "redraw", "", show=False, id="app.redraw", tooltip="Draw the whole screen again"),
        Binding("ctrl+q", "leave", "quit", show=False, id="app.quit_anywhere", tooltip="Leave, also while typing"),
        Binding("ctrl+c", "no_interrupt", "", show=False, id="app.interrupt", tooltip="Says how to leave"),
    ]

    def __init__(
        self,
        opened: Session | Opening | None,
        guide: Mapping[str, str] | None = None,
        theme: str = "",
        *,
        read_only: bool = False,
        sites: Sessions | None = None,
    ) -> None:
        super().__init__()
        self.sites = sites
        self._session = None if callable(opened) else opened
        self._opening = opened if callable(opened) else None
        self._read_only = read_only
        self.guide: Mapping[str, str] = guide or {}
        self.gathered = Gathered()
        self.picked: dict[str, Backup] = {}
        self.previews: dict[Backup, Preview] = {}
        self.background = Background(self._deliver, self.unexpected, self.refused)
        self.followings: dict[str, Following] = {}
        self.found_again: dict[str, str] = {}
        """How each run that was started here is found again, in lines to print."""
        self.is_stale = False
        """Whether a run ended since the sources were read: what it set aside is a backup too."""
        self.last_words = ""
        """What is printed after the screen is gone."""
        self.make_demo: Callable[[], Any] | None = None
        if theme:
            self.theme = theme

    @property
    def is_open(self) -> bool:
        """Whether the site has been read."""
        return self._session is not None

    @property
    def session(self) -> Session:
        """What is worked on; nothing asks for it before it is open."""
        assert self._session is not None
        return self._session

    @property
    def place(self) -> str:
        """The site and the host, for the bar."""
        if not self.is_open:
            return ""
        unrecorded = "NOT RECORDED " if self.session.state.audit.problem else ""
        return f"{unrecorded}{self.session.site.name}@{self.session.host}"

    @property
    def read_only(self) -> bool:
        """Whether nothing can be armed here."""
        return self._session.read_only if self._session else self._read_only

    @property
    def page(self) -> Page:
        """The screen in sight."""
        return cast(Page, self.screen)

    def get_default_screen(self) -> Screen[Any]:
        """The first screen, without an empty one before it."""
        if self.sites is None:
            return Overview()
        from pacs_recover.screens.sites import SitesPage

        return SitesPage(self.sites)

    def on_mount(self) -> None:
        """A terminal that goes away ends the console and nothing else; the site is read once something is seen."""
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in (signal.SIGHUP, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self.hung_up)
        if self._session:
            self._session.state.audit.warn = self._warn
        if self._opening:
            self.call_after_refresh(self._begin, self._opening)

    def _begin(self, opening: Opening) -> None:
        def read(_: Task) -> Session:
            from pacs_recover.screens import catalog, choose, plan, run  # noqa: F401 - loaded before they are asked for

            return opening()

        self.background.start("site", read, self._opened, self._not_opened)

    def refused(self, doing: str, error: RecoverError) -> None:
        """Something went wrong: a refusal is recorded."""
        if self._session:
            self._session.refused(error, doing)

    def _warn(self, problem: str) -> None:
        """From any thread."""
        self.call_later(self._unrecorded, problem)

    def _unrecorded(self, problem: str) -> None:
        self.page.tell_mode()
        self.page.say(f"! {problem}", "warn")

    def _opened(self, session: Session) -> None:
        self._session = session
        session.state.audit.warn = self._warn
        for screen in self.screen_stack:
            if isinstance(screen, Overview):
                screen.tell_mode()
                screen.begin()
                screen.refresh_bindings()

    def _not_opened(self, error: RecoverError) -> None:
        from pacs_recover.screens.welcome import WelcomePage

        self.push_screen(WelcomePage(error))

    def on_key(self, event: Key) -> None:
        """Keys typed faster than the input line took the focus belong to it, not to the screen."""
        focused = self.screen.focused
        if isinstance(focused, Typed) and event.is_printable and event.character:
            focused.insert_text_at_cursor(event.character)
            event.prevent_default().stop()

    def hung_up(self) -> None:
        """End at once: there is nobody to say anything to."""
        self.background.close()
        self.exit(HUNG_UP, HUNG_UP)

    def _deliver(self, tell: Callable[[], None]) -> None:
        """Call this on the console's thread, unless the console has begun to end by then: its screens are gone."""

        def unless_ending() -> None:
            if self.is_running:
                tell()

        self.call_later(unless_ending)

    def on_unmount(self) -> None:
        """Let what is being read clean up behind itself."""
        self.background.close()

    def unexpected(self, error: BaseException) -> RecoverError:
        """A fault of ours in words; the traceback goes to a file that is named."""
        return in_words(error, self._session.state.path if self._session else Path.home())

    def _fatal_error(self) -> None:
        """Textual would print a traceback over the operator's screen; it goes to the log instead."""
        told = self.unexpected(sys.exception() or self._exception or RuntimeError("unknown"))
        self._exit_renderables.append(Text(f"pacs-recover: {told.message}; a run goes on. {told.hint}"))
        self._close_messages_no_wait()

    def gather(self) -> None:
        """Ask every source anew, each in a thread of its own: one that hangs holds up nobody."""
        self.previews.clear()
        self.is_stale = False
        sources = self.session.sources()
        self.gathered.expect({source.name for source in sources})
        for source in sources:
            self._read(source)

    def _read(self, source: Source) -> None:
        grown, done = (partial(self._hear, hear, source.name) for hear in (self.gathered.grow, self.gathered.add))

        def failed(error: RecoverError) -> None:
            self._hear(self.gathered.fail, source.name, source.kind, error.message, error.hint)

        def read(task: Task) -> Catalog:
            return self.session.read(source, partial(self.background.tell, task, grown))

        def told(found: Catalog) -> None:
            done(found)
            self.background.start(f"filter {source.name}", partial(_lay_out, found), _nothing, _nothing)

        self.background.start(f"source {source.name}", read, told, failed)

    def _hear(self, hear: Callable[..., None], *told: Any) -> None:
        """A source answered, as far as it goes."""
        hear(*told)
        for screen in self.screen_stack:
            if isinstance(screen, Page) and screen.is_mounted:
                screen.gathered()

    def enter(self, sites: Sessions, member: Member) -> None:
        """Open one site of the group; what was known of another is not of this one."""

        def opened(session: Session) -> None:
            self._session, self.gathered = session, Gathered()
            self.picked.clear()
            session.state.audit.warn = self._warn
            self.push_screen(Overview())

        self.background.start(f"site {member.name}", lambda _: sites.open(member), opened, self.page.complain)

    def pick(self, backup: Backup) -> None:
        """Into the recovery set, or out of it."""
        if self.picked.pop(backup.component, None) != backup:
            self.picked[backup.component] = backup

    def do(self, action: str) -> None:
        """Do an action of the screen in sight."""
        self.call_later(self.run_action, action, self.screen if "." not in action else None)

    def open_demo(self, opened: tuple[Session, Mapping[str, str]]) -> None:
        """Go on with a demo site."""
        session, self.guide = opened
        self.pop_screen()
        self._opened(session)

    def action_commands(self) -> None:
        """The palette of the screen in sight."""
        from pacs_recover.screens.commands import CommandsPage

        if not isinstance(self.screen, CommandsPage):
            self.push_screen(CommandsPage(self.page))

    def action_help(self) -> None:
        """The help of the screen in sight, and back from it."""
        from pacs_recover.screens.help import HelpPage

        self.pop_screen() if isinstance(self.screen, HelpPage) else self.push_screen(HelpPage(self.page))

    def action_colours(self) -> None:
        """The other background."""
        light, dark = self.theme.replace("dark", "light"), self.theme.replace("light", "dark")
        self.theme = light if self.theme == dark else dark

    def action_no_interrupt(self) -> None:
        """Nothing is interrupted by accident."""
        self.page.say("q leaves the console; a run goes on without it")

    def action_leave(self) -> None:
        """Leave; of a run that goes on it is said how to find it again."""
        running = next((name for name, known in self.followings.items() if not known.over()), "")
        if running or self.page.run_in_sight():
            self.last_words = self.found_again.get(running) or self.session.goes_on(self.page.run_in_sight())
        self.exit(0)


def _lay_out(found: Catalog, task: Task) -> None:
    from pacs_recover.screens.catalog_view import lay_out

    lay_out(found.backups, task.stopping)


def _nothing(_: Any) -> None:
    """Nobody waits for it: what was not laid out is once it is looked through."""
