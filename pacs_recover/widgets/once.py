"""A call after a while that comes, however busy the machine is."""

from __future__ import annotations

from collections.abc import Callable

from textual.message_pump import MessagePump
from textual.timer import Timer


def once(pump: MessagePump, seconds: float, call: Callable[[], None]) -> Timer:
    """Make this call once, after so many seconds; stop the timer to take it back.

    Textual's own `set_timer` never calls where the task that waits is held up for longer than the delay between two
    looks at the clock: it skips the tick that is late, and there is no other (`Timer._run`, Textual 8.2).
    """

    def tick() -> None:
        timer.stop()
        call()

    timer = pump.set_interval(seconds, tick)
    return timer
