"""The example reports under docs are such as the program writes now; ``make_examples.py`` beside this makes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pacs_recover.report.appendix import MAPPING
from tests.cli.test_json_documented import check

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = (
    *("Run", "Drill", "Findings", "Times", "Steps", "Checks", "Backups", "Functional validation"),
    *("Age of the data against RPO", "Observations", "Improvement actions", "Sign-off"),
)


def test_the_json_example_is_as_documented() -> None:
    told = json.loads((DOCS / "example-drill.json").read_text())
    check(told, "Report")
    assert told["mode"] == "drill"
    assert told["drill"]["production_equal"] is True


@pytest.mark.parametrize("form", ["txt", "md", "html"])
def test_the_written_examples_say_all_of_it(form: str) -> None:
    text = (DOCS / f"example-drill.{form}").read_text()
    told = json.loads((DOCS / "example-drill.json").read_text())
    starts = {"txt": "\n{}\n", "md": "\n## {}\n", "html": "<h2>{}</h2>"}
    for block in BLOCKS:
        assert starts[form].format(block) in text, block
    assert told["run"] in text
    assert all(backup["sha256"] in text for backup in told["backups"])
    assert all(reference in text for reference, _ in MAPPING)
    assert form != "html" or ("<script" not in text and "default-src 'none'" in text)


def test_no_example_holds_more_than_counts_of_messages() -> None:
    for path in DOCS.glob("example-drill.*"):
        text = path.read_text()
        assert "MSH|" not in text
        assert "PID|" not in text
        assert "SYNTHETIC" not in text
