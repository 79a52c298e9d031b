"""The first screen where there is no site to work on: why, and the ways on."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from pacs_recover.errors import RecoverError
from pacs_recover.screens.page import Page
from pacs_recover.session import NoSite
from pacs_recover.site import init_text
from pacs_recover.text import safe
from pacs_recover.widgets.line import Line, title
from pacs_recover.widgets.reading import Reading

WAYS = (
    ("i", "show a commented site file, to be saved as /etc/pacs_recover/site.yaml"),
    ("q", "leave; with a site file elsewhere: pacs-recover --site FILE"),
)


DEMO = "try it out: makes a small, real demo site in a temporary folder and opens it; nothing of yours is touched"


def lines(error: RecoverError, may_demo: bool) -> list[Line]:
    """What happened, and what can be done."""
    head = "NO SITE FOUND" if isinstance(error, NoSite) else "THE SITE FILE CANNOT BE USED"
    said = (error.message, f"next: {error.hint}" if error.hint and not isinstance(error, NoSite) else error.hint)
    told = [Line(text, "", "  ") for part in said for text in part.splitlines() if text.strip()]
    told += [Line(""), title("Ways on"), Line(DEMO, "", "  d  ")] if may_demo else [Line(""), title("Ways on")]
    ways = [Line(text, "", f"  {key}  ") for key, text in WAYS]
    return [Line(head, "bad", "✗ "), *told, *ways]


class WelcomePage(Page):
    """Nothing to restore yet."""

    heading = "Welcome"
    about = "There is no site to work on. A site file says where PACS Bridge lives and where its backups are."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "demo", "demo", id="welcome.demo", tooltip="Make a demo site and open it"),
        Binding("i", "init", "site file", id="welcome.init", tooltip="Show a commented site file"),
    ]

    def __init__(self, error: RecoverError) -> None:
        super().__init__()
        self.error = error

    def body(self) -> ComposeResult:
        """One page."""
        yield Reading(lines(self.error, self.may_demo), id="welcome")

    @property
    def may_demo(self) -> bool:
        """Whether a demo can be made here."""
        return self.console.make_demo is not None and isinstance(self.error, NoSite)

    def mode(self) -> str:
        """There is nothing to change."""
        return "NOT ARMED"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is made in a read-only console, and there is no command that does the same."""
        if action == "demo":
            return self.may_demo
        if action == "back":
            return False
        return action == "init" or super().check_action(action, parameters)

    def action_demo(self) -> None:
        """Make it and open it."""
        make = self.console.make_demo
        assert make is not None
        self.say("making a demo site: certificates, a queue, backups, a service…")
        self.slow("demo", lambda _: make(), self.console.open_demo)

    def action_init(self) -> None:
        """The file, to read; it is saved by the command line."""
        head = [
            title("A site file; write it with:"),
            Line("pacs-recover site init /etc/pacs_recover/site.yaml", "key", "  "),
        ]
        text = [Line(f"  {safe(line)}", fixed=True) for line in init_text().splitlines()]
        self.query_one("#welcome", Reading).show([*head, Line(""), *text], top=True)
