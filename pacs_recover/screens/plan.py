"""A plan: read, judged, shown, and armed by typing the site's name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Input

from pacs_recover.errors import RecoverError
from pacs_recover.front import Following
from pacs_recover.model import Backup
from pacs_recover.plan import Plan
from pacs_recover.screens import plan_view as view
from pacs_recover.screens.arming import Arming
from pacs_recover.screens.background import Task
from pacs_recover.screens.page import Page
from pacs_recover.selection import gaps_of_newest
from pacs_recover.text import seconds
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.reading import Reading


class PlanPage(Page):
    """What a restore of these backups would do."""

    heading = "Plan"
    about = (
        "Every backup of the set was read to its end and judged, and compared with what lives. a arms this plan and no "
        "other: you type the site's name, it is checked that nothing changed since the plan was made, and a worker of "
        "its own does the steps. Before the name is typed nothing changes."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "arm", "arm: LIVE RESTORE", id="plan.arm", tooltip="Type the site's name to restore it"),
        Binding("m", "carry", "carry over", id="plan.carry", tooltip="Carry over what only the live queue has"),
    ]

    def __init__(self, backups: Sequence[Backup]) -> None:
        super().__init__()
        self.backups = tuple(backups)
        self.plan: Plan | None = None
        self._clock: Timer | None = None
        self._began = time.monotonic()
        self._busy = False
        self._carry_over = False

    def body(self) -> ComposeResult:
        """The plan, and the line to arm it with."""
        yield Reading(id="plan")
        yield Arming()

    def begin(self) -> None:
        """Read and judge, in the background."""

        carry_over, self.plan, self._began = self._carry_over, None, time.monotonic()

        gathered = self.console.gathered
        doubts = gaps_of_newest(gathered.catalog, self.backups, sorted(gathered.waiting))

        def make(_: Task) -> Plan:
            return self.session.plan(self.backups, carry_over=carry_over, doubts=doubts)

        self._waiting()
        self._clock = self.set_interval(1.0, self._waiting)
        self.slow("plan", make, self._made, self._failed)

    def _waiting(self) -> None:
        took = seconds(float(int(time.monotonic() - self._began)))
        many = ", ".join(backup.id for backup in self.backups)
        lines = [
            Line(f"reading and judging {many}", "", "… "),
            Line(f"for {took}; nothing live is touched; esc leaves it", "", "  "),
        ]
        self.query_one("#plan", Reading).show(lines)

    def _stop_clock(self) -> None:
        if self._clock:
            self._clock.stop()

    def _made(self, plan: Plan) -> None:
        self._stop_clock()
        self.say("")
        self.plan = plan
        self.query_one("#plan", Reading).show(view.lines(plan, self.session.read_only), top=True)
        self.refresh_bindings()

    def _failed(self, error: RecoverError) -> None:
        self._stop_clock()
        lines = [Line("NO PLAN: nothing was changed", "bad", "✗ "), Line(error.message, "", "  ")]
        lines += [Line(f"next: {error.hint}", "", "  ")] if error.hint else []
        self.query_one("#plan", Reading).show([*lines, Line(""), Line("esc goes back to choose another", "", "  ")])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only a plan without a refusal can be armed, and never in a read-only console."""
        if action == "arm":
            return self.plan is not None and not self.plan.refusals and not self.session.read_only and not self._busy
        if action == "carry":
            return self.plan is not None and not self._busy and "queue" in self.plan.request.components
        return super().check_action(action, parameters)

    def mode(self) -> str:
        """Armed or not."""
        return super().mode() if not self._busy else "LIVE RESTORE"

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        if self.plan and not self.session.read_only:
            return ("restore", "--yes", "--plan", self.plan.plan_id)
        carrying = ("--carry-over",) if self._carry_over else ()
        return ("plan", *(word for backup in self.backups for word in ("--backup", backup.id)), *carrying)

    def action_carry(self) -> None:
        """Plan again, the other way."""
        self._carry_over = not self._carry_over
        self.begin()
        self.refresh_bindings()
        self.say("planning again: " + ("what only the live queue has is kept" if self._carry_over else "as it was"))

    def action_arm(self) -> None:
        """Ask for the site's name."""
        if self.plan:
            parts = ", ".join(self.plan.request.components)
            self.query_one(Arming).ask(f"LIVE RESTORE of {parts}.", str(self.plan.request.site["name"]))

    def action_leave_typing(self) -> None:
        """Not armed."""
        self.query_one(Arming).shut()
        self.set_focus(self.query_one("#plan", Reading))
        self.say("not armed: nothing was changed")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Armed, if that is its name."""
        plan, typed = self.plan, event.value
        self.query_one(Arming).shut()
        self.set_focus(self.query_one("#plan", Reading))
        if plan is None or self._busy:
            return
        self._busy = True
        self.refresh_bindings()
        self.say("checking that nothing changed since the plan was made…")
        self.slow("arm", lambda _: self.session.arm(plan, typed), self._armed, self._refused)

    def _refused(self, error: RecoverError) -> None:
        self._busy = False
        self.refresh_bindings()
        self.complain(error)

    def _armed(self, following: Following) -> None:
        self.console.picked.clear()
        self.console.show_started(following)
