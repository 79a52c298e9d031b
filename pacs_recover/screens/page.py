"""What every screen has: the bar, a body, messages, the keys; and how it asks for slow things."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import ScreenResume
from textual.screen import Screen
from textual.widgets import Static

from pacs_recover.errors import RecoverError
from pacs_recover.screens.background import Task
from pacs_recover.widgets.edges import Bar, KeyLine, Notice

if TYPE_CHECKING:
    from pacs_recover.screens.console import Console
    from pacs_recover.session import Session


EARLY = ("help", "leave", "no_interrupt", "colours", "redraw", "back", "focus_next", "focus_previous")
"""What can be done before the site has been read, or where there is none."""


class Page(Screen[None], inherit_bindings=False):
    """A screen of the console."""

    heading = ""
    """What the bar calls it."""
    about = ""
    """One or two sentences for its help."""
    AUTO_FOCUS = "Reading"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back", id="page.back", tooltip="Back to the screen before"),
        Binding("y", "command", "cmd", id="page.command", tooltip="Show and copy the command line that does this"),
        Binding("tab", "app.focus_next", "next pane", show=False, id="page.next", tooltip="To the next pane"),
        Binding("shift+tab", "app.focus_previous", "pane before", show=False, id="page.before", tooltip="Pane before"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[Task] = []

    def compose(self) -> ComposeResult:
        """The edges around the body."""
        yield Bar()
        yield Static(markup=False, id="guide")
        yield from self.body()
        yield Notice()
        yield KeyLine()

    def body(self) -> ComposeResult:
        """What is between the edges."""
        raise NotImplementedError

    @property
    def console(self) -> Console:
        """The application."""
        return cast("Console", self.app)

    @property
    def session(self) -> Session:
        """What the console works on."""
        return self.console.session

    def run_in_sight(self) -> str:
        """The run that is watched here and goes on; none on most screens."""
        return ""

    def mode(self) -> str:
        """What can happen from here, in words."""
        return "READ-ONLY" if self.console.read_only else "NOT ARMED"

    def place(self) -> str:
        """The site and the host, for the bar."""
        return self.console.place

    def on_mount(self) -> None:
        """Fill the bar, then the body."""
        self.tell_mode()
        self.begin()

    def begin(self) -> None:
        """Fill the body for the first time."""

    def on_screen_resume(self, _: ScreenResume) -> None:
        """It is seen again."""
        self.tell_mode()

    def tell_mode(self) -> None:
        """Bring the bar up to date."""
        hint = self.console.guide.get(type(self).__name__, "")
        if hint and not self.query_one("#guide").display:
            self.query_one("#guide", Static).update(hint)
            self.query_one("#guide").display = True
        self.query_one(Bar).tell(self.mode(), self.heading, self.place())

    def gathered(self) -> None:
        """Another source answered."""

    def slow(self, name: str, work: Callable[[Task], Any], done: Callable[[Any], None], failed: Any = None) -> Task:
        """Do something that may take long; it is dropped when this screen is left."""
        task = self.console.background.start(name, work, done, failed or self.complain)
        self._tasks.append(task)
        return task

    def on_unmount(self) -> None:
        """Nobody waits for it any more."""
        for task in self._tasks:
            task.stop()

    def complain(self, error: RecoverError) -> None:
        """Say what happened and what to do next."""
        self.say(f"✗ {error.message}" + (f" - next: {error.hint}" if error.hint else ""), "bad")

    def say(self, text: str, look: str = "") -> None:
        """Show a message below; an empty one takes it away."""
        self.query_one(Notice).say(text, look)

    def words(self) -> tuple[str, ...]:
        """The words of the command line that does the same as this screen; none where there is none."""
        return ()

    def command_line(self) -> str:
        """The command line that does the same."""
        return self.session.line(*self.words())

    def action_command(self) -> None:
        """Show the command line that does the same, and copy it where the terminal allows that."""
        line = self.command_line()
        self.console.copy_to_clipboard(line)
        self.say(f"$ {line}")

    def action_points(self) -> None:
        """The points in time, where a screen has a key for them."""
        self.console.show_points()

    def action_back(self) -> None:
        """To the screen before; a message is taken away first."""
        self.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """There is no way back from the first screen, and little to do on it before the site has been read."""
        if not self.console.is_open and action not in EARLY:
            return False
        if action == "points":
            return self.console.has_points
        if action == "back":
            return len(self.app.screen_stack) > 1
        return True
