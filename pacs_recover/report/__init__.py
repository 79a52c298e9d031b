"""What happened in a run, told from its journal alone: folded into a report, written out, or followed line by line."""

from typing import TYPE_CHECKING

from pacs_recover.deferred import deferred
from pacs_recover.report.contract import Report, StepReport, summary, to_json
from pacs_recover.report.folding import fold

if TYPE_CHECKING:
    from pacs_recover.report.followed import Teller, line, line_json
    from pacs_recover.report.page import headline
    from pacs_recover.report.writers import as_html, as_json, as_markdown, as_text

__all__ = [
    "Report",
    "StepReport",
    "Teller",
    "as_html",
    "as_json",
    "as_markdown",
    "as_text",
    "fold",
    "headline",
    "line",
    "line_json",
    "summary",
    "to_json",
]

__getattr__ = deferred(
    __name__,
    followed=("Teller", "line", "line_json"),
    page=("headline",),
    writers=("as_html", "as_json", "as_markdown", "as_text"),
)
