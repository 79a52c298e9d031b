"""The parts of a written report, whatever form it is written in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class List:
    """Sentences, in order; numbered where the order counts."""

    title: str
    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Facts:
    """Labels and values."""

    title: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """One line of a table: a state, short cells, what it is about, and the evidence."""

    state: str
    cells: tuple[str, ...]
    subject: str
    evidence: str


@dataclass(frozen=True)
class Table:
    """Rows under their columns; the first is the state, the last two are the long ones."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


Block = List | Facts | Table
