"""docs/faults.md from the table and from what the last whole run of the matrix counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.faults.table import ROWS

DOCUMENT = Path(__file__).parents[2] / "docs/faults.md"
Counts = Mapping[str, Counter[str]]
"""By row: cases, passed, and how those left the site."""


def matrix() -> str:
    """The rows: what is broken, how, and what is promised."""
    rows = ["| fault | how it is brought about | promised afterwards |", "|---|---|---|"]
    return "\n".join([*rows, *(f"| {row.name} | {row.how} | {row.promise} |" for row in ROWS.values())])


def results(counts: Counts) -> str:
    """What was counted, row by row."""
    rows = ["| fault | cases | passed | old state | new state | lost |", "|---|--:|--:|--:|--:|---|"]
    return "\n".join([*rows, *_lines(counts)])


def _lines(counts: Counts) -> Iterator[str]:
    total: Counter[str] = Counter()
    for key, row in ROWS.items():
        found = counts.get(key, Counter())
        total += found
        yield _line(row.name, found)
    yield _line("**all**", total)


def _line(name: str, found: Counter[str]) -> str:
    numbers = " | ".join(str(found[column]) for column in ("cases", "passed", "old", "new"))
    lost = "not run" if not found["cases"] else "nothing" if found["passed"] == found["cases"] else "SEE THE FAILURES"
    return f"| {name} | {numbers} | {lost} |"


def block(text: str, name: str) -> str:
    """What stands between a block's two marks."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- end of {name} -->")[0]


def replaced(text: str, name: str, content: str) -> str:
    """The document with other content in a block."""
    before, mark, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"\n<!-- end of {name} -->")
    assert mark, name
    assert end, name
    return before + mark + content + end + after


def write(counts: Counts | None = None) -> None:
    """Bring the document up to date."""
    text = replaced(DOCUMENT.read_text(), "matrix", matrix())
    if counts is not None:
        text = replaced(text, "results", results(counts))
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    write()
