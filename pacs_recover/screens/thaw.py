"""Having an archived backup made readable: what it takes is shown first, then a tier is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from pacs_recover.errors import RecoverError
from pacs_recover.model import Backup
from pacs_recover.screens.arming import Arming
from pacs_recover.screens.page import Page
from pacs_recover.text import both_times, safe
from pacs_recover.widgets.line import Line, stated
from pacs_recover.widgets.reading import Reading

if TYPE_CHECKING:
    from pacs_recover.thawing import Offer


def may_thaw(backup: Backup, read_only: bool) -> bool:
    """Whether a thaw of this backup can be asked for here."""
    return not read_only and any(fact.label == "archived" for fact in backup.findings)


def lines(offer: Offer) -> list[Line]:
    """Its state, the tiers against the RTO, the cost."""
    backup = offer.backup
    head = [Line(safe(backup.id), "title"), Line(both_times(backup.taken_at), "", "  "), Line("")]
    told = [stated(fact.state, f"{fact.label}: {fact.value}") for fact in offer.facts()]
    end = Line("nothing is asked for before a tier is typed: a", "ok", "✓ ") if offer.tiers else Line("")
    return [*head, *told, Line(""), end]


class ThawPage(Page):
    """How long each tier takes, against the RTO; typing one asks for it."""

    heading = "Thaw"
    about = (
        "An archived backup cannot be read before a thaw: a copy that stays for some days. It costs, so the tier is "
        "typed out. The stored object stays as it is; the catalog shows THAWING until it can be read (r reads again)."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "ask", "ask for it", id="thaw.ask", tooltip="Type a tier, and the thaw is asked for")
    ]

    def __init__(self, backup: Backup) -> None:
        super().__init__()
        self.backup = backup
        self.offer: Offer | None = None

    def body(self) -> ComposeResult:
        """What it takes, and the line to type a tier into."""
        yield Reading(id="thaw")
        yield Arming()

    def begin(self) -> None:
        """Ask the bucket for its state now."""
        self.query_one("#thaw", Reading).show([Line("asking the bucket…", "", "… ")])
        self.slow("thaw offer", lambda _: self.session.thaw_offer(self.backup), self._told, self._failed)

    def _told(self, offer: Offer) -> None:
        self.offer = offer
        self.query_one("#thaw", Reading).show(lines(offer))
        self.refresh_bindings()

    def _failed(self, error: RecoverError) -> None:
        next_step = [Line(f"next: {error.hint}", "", "  ")] if error.hint else []
        self.query_one("#thaw", Reading).show([Line(error.message, "bad", "✗ "), *next_step])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only where it would do something, and never in a read-only console."""
        if action == "ask":
            return bool(self.offer and self.offer.tiers) and not self.session.read_only
        return super().check_action(action, parameters)

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("thaw", self.backup.id)

    def action_ask(self) -> None:
        """Have a tier typed."""
        assert self.offer
        self.query_one(Arming).ask_for(f"This COSTS. To ask for it, type a tier: {' or '.join(self.offer.tiers)}")

    def action_leave_typing(self) -> None:
        """Not asked for."""
        self._shut()
        self.say("nothing was asked for")

    def _shut(self) -> None:
        self.query_one(Arming).shut()
        self.set_focus(self.query_one("#thaw", Reading))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Ask for it, if what was typed is a tier."""
        typed = event.value.strip().lower()
        self._shut()
        tier = next((tier for tier in (self.offer.tiers if self.offer else ()) if tier.lower() == typed), None)
        if tier is None:
            self.say("that is no tier of it: nothing was asked for", "warn")
        else:
            self.slow("thaw", lambda _: self.session.thaw(self.backup, tier), self._asked)

    def _asked(self, offer: Offer) -> None:
        self._told(offer)
        self.say("asked for; the catalog is read again")
        self.console.gather()
