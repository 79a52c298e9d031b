"""The written forms of a report: text for a terminal, Markdown, JSON, and one HTML page that stands alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from html import escape

from pacs_recover.report.blocks import Block, Facts, List, Row, Table
from pacs_recover.report.contract import Report, to_json
from pacs_recover.report.page import COMMAND, page
from pacs_recover.wrapping import SYMBOLS, clean, columns, pad, wrap

INDENT = "  "


def as_json(report: Report) -> str:
    """The report as one JSON document in ASCII: exact for programs, harmless to a terminal."""
    return json.dumps(to_json(report), indent=2)


def as_text(report: Report, width: int = 80, zone: tzinfo | None = None, command: str = COMMAND) -> str:
    """The report for a terminal of ``width`` columns; only a word that has no room at all is longer than a line."""
    laid_out = page(report, zone, command)
    lines = wrap(laid_out.headline, width)
    for block in laid_out.blocks:
        lines += ["", block.title, *_text(block, width)]
    return "\n".join(lines) + "\n"


def _text(block: Block, width: int) -> Iterator[str]:
    match block:
        case List():
            for number, item in enumerate(block.items, start=1):
                yield from wrap(item, width, INDENT + (f"{number}. " if block.numbered else "- "))
        case Facts():
            widest = max(columns(label) for label, _ in block.pairs)
            for label, value in block.pairs:
                yield from wrap(value, width, f"{INDENT}{pad(label, widest)}  ")
        case Table():
            yield from _text_table(block.rows, width)


def _text_table(rows: Sequence[Row], width: int) -> Iterator[str]:
    """State, short cells and subject on a line; the evidence beneath, with room for a path that is to be copied."""
    grid = [(_state(row.state), *map(clean, row.cells)) for row in rows]
    widths = [max(columns(line[place]) for line in grid) for place in range(len(grid[0]))]
    for row, cells in zip(rows, grid, strict=True):
        start = INDENT + "  ".join(pad(cell, wide) for cell, wide in zip(cells, widths, strict=True)) + "  "
        yield from wrap(row.subject, width, start)
        if row.evidence:
            yield from wrap(row.evidence, width, INDENT * 3)


def _state(state: str) -> str:
    return f"{SYMBOLS[state]} {state}" if state in SYMBOLS else clean(state)


def as_markdown(report: Report, zone: tzinfo | None = None, command: str = COMMAND) -> str:
    """The report as Markdown, for a ticket or a wiki."""
    laid_out = page(report, zone, command)
    lines = [f"# {_md(laid_out.headline)}"]
    for block in laid_out.blocks:
        lines += ["", f"## {block.title}", "", *_markdown(block)]
    return "\n".join(lines) + "\n"


def _markdown(block: Block) -> Iterator[str]:
    match block:
        case List():
            for number, item in enumerate(block.items, start=1):
                yield f"{f'{number}.' if block.numbered else '-'} {_md(item)}"
        case Facts():
            yield from (f"- {label}: {_md(value)}" for label, value in block.pairs)
        case Table():
            yield f"| {' | '.join(block.columns)} |"
            yield "|" + " --- |" * len(block.columns)
            yield from (f"| {' | '.join(map(_md, _cells(row)))} |" for row in block.rows)


def _cells(row: Row) -> tuple[str, ...]:
    return (_state(row.state), *row.cells, row.subject, row.evidence)


def _md(text: str) -> str:
    """Outside text that Markdown takes as it is: every character that could begin a construct is escaped."""
    return re.sub(r"([\\`*_\[\]<>|~#&])", r"\\\1", clean(text))


STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h1 { font-size: 1.5rem; border-left: .5rem solid; padding-left: .75rem; }
h1.good { border-color: #177245; } h1.open { border-color: #a66b00; } h1.bad { border-color: #b3261e; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #bbb; padding: .3rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; font-weight: 600; }
.failed, .bad, .cut { color: #b3261e; } .passed, .ok { color: #177245; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; } dd { margin: 0; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } tr, li { break-inside: avoid; } }
"""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The page loads and runs nothing, whatever got into it."""


def as_html(report: Report, zone: tzinfo | None = None, command: str = COMMAND) -> str:
    """The report as one HTML page without scripts or anything to load; it prints well."""
    laid_out = page(report, zone, command)
    head = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_html(report.run)}: {_html(laid_out.headline)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
    ]
    body = [f'<h1 class="{laid_out.state}">{_html(laid_out.headline)}</h1>']
    for block in laid_out.blocks:
        body += [f"<h2>{_html(block.title)}</h2>", *_markup(block)]
    return "\n".join([*head, *body, "</body>\n</html>"]) + "\n"


def _markup(block: Block) -> Iterator[str]:
    match block:
        case List():
            tag = "ol" if block.numbered else "ul"
            yield f"<{tag}>" + "".join(f"<li>{_html(item)}</li>" for item in block.items) + f"</{tag}>"
        case Facts():
            yield "<dl>" + "".join(f"<dt>{label}</dt><dd>{_html(value)}</dd>" for label, value in block.pairs) + "</dl>"
        case Table():
            yield (
                "<table>\n<thead><tr>"
                + "".join(f"<th>{name}</th>" for name in block.columns)
                + "</tr></thead>\n<tbody>"
            )
            yield from (_markup_row(row) for row in block.rows)
            yield "</tbody>\n</table>"


def _markup_row(row: Row) -> str:
    kind = f' class="{row.state}"' if row.state in SYMBOLS else ""
    first, *rest = _cells(row)
    return f"<tr><td{kind}>{_html(first)}</td>" + "".join(f"<td>{_html(cell)}</td>" for cell in rest) + "</tr>"


def _html(text: str) -> str:
    return escape(clean(text), quote=True)
