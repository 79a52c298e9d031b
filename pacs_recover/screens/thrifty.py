"""Sends a terminal only the cells that differ from what it shows: Textual sends every region that was drawn anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import get_character_cell_size
from rich.console import Console, RenderableType
from rich.control import Control
from rich.style import Style
from textual._compositor import CompositorUpdate
from textual.app import App
from textual.screen import Screen
from textual.strip import Strip

GAP = 8
"""Equal cells between two that differ, from which it is shorter to jump over them."""
Cell = tuple[str, Style | None]


class Changes(CompositorUpdate):
    """Pieces of rows, each with its column and row."""

    def __init__(self, pieces: Sequence[tuple[int, int, Strip]]) -> None:
        self.pieces = pieces

    def render_segments(self, console: Console) -> str:
        """The bytes for the terminal."""
        return "".join(Control.move_to(x, y).segment.text + strip.render(console) for x, y, strip in self.pieces)


def cells(strip: Strip) -> list[Cell]:
    """A row cell by cell; a wide character is followed by an empty one, a combining one belongs to the one before."""
    found: list[Cell] = []
    for text, style, _ in strip:
        for char in text:
            wide = get_character_cell_size(char)
            if wide:
                found += [(char, style), *[("", style)] * (wide - 1)]
            elif found:
                found[-1] = (found[-1][0] + char, found[-1][1])
    return found


def runs(old: Sequence[Cell], new: Sequence[Cell]) -> Iterator[tuple[int, int]]:
    """From where to where two rows differ, whole characters, close ones together."""
    if len(old) != len(new):
        yield 0, len(new)
        return
    begin = end = -1
    for place in (n for n, (one, other) in enumerate(zip(old, new, strict=True)) if one != other):
        if begin >= 0 and place - end > GAP:
            yield _whole(old, new, begin, end)
            begin = -1
        begin, end = place if begin < 0 else begin, place + 1
    if begin >= 0:
        yield _whole(old, new, begin, end)


def _whole(old: Sequence[Cell], new: Sequence[Cell], begin: int, end: int) -> tuple[int, int]:
    while begin and "" in (old[begin][0], new[begin][0]):
        begin -= 1
    while end < len(new) and "" in (old[end][0], new[end][0]):
        end += 1
    return begin, end


def changes(shown: Sequence[Strip], rows: Sequence[Strip]) -> list[tuple[int, int, Strip]]:
    """What brings a terminal from these rows to those; all of them where their number is another."""
    if len(shown) != len(rows):
        return [(0, y, strip) for y, strip in enumerate(rows)]
    return [
        (begin, y, new.crop(begin, end))
        for y, (old, new) in enumerate(zip(shown, rows, strict=True))
        if old != new
        for begin, end in runs(cells(old), cells(new))
    ]


class Thrifty(App[int], inherit_bindings=False):
    """An application that remembers what its terminal shows."""

    _rows: Sequence[Strip] = ()

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Send what changed; nothing where nothing did and the cursor stays."""
        if isinstance(renderable, CompositorUpdate) and self._sends():
            rows = [strip.simplify().discard_meta() for strip in self.screen._compositor.render_strips()]
            pieces, self._rows = changes(self._rows, rows), rows
            cursor = self.screen.outer_size.clamp_offset(self.cursor_position)
            renderable = Changes(pieces) if pieces or cursor != self._previous_cursor_position else None
        super()._display(screen, renderable)

    def _sends(self) -> bool:
        """Whether what is displayed now reaches a terminal."""
        ready = self._running and not self._closed and self._driver is not None and not self._batch_count
        return ready and not self.is_headless and not self.is_inline

    def on_resize(self) -> None:
        """What a terminal shows after that is its own affair; the new size is told even if Textual's timer is lost.

        Textual tells it by a timer of 8 ms, which a busy machine can lose (`widgets.once` says how), and then never
        again: it waits for that timer.
        """
        self._rows = ()
        self.call_later(self._check_resize)

    def action_redraw(self) -> None:
        """Draw everything anew: something else wrote to the terminal."""
        self._rows = ()
        self.screen.refresh(layout=True)
