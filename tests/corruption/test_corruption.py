"""A part of the measurement in every run of the tests, and what docs/faults.md says of the whole."""

from __future__ import annotations

import re
from pathlib import Path

from tests.corruption.__main__ import BEGIN, END
from tests.corruption.measuring import HEAD, Measured, measure, table
from tests.corruption.samples import samples
from tests.runs.conftest import made

__all__ = ["made"]

PROVEN = ("queue db.gz", "config tar.gz", "config tar.gz.enc", "Litestream 0.5 (LTX)", "Litestream 0.3 (WAL segments)")
"""Formats whose own checksum covers every byte."""
EACH = 7


def test_nothing_damaged_is_taken_as_good_where_a_hash_is_known(made: object, tmp_path: Path) -> None:
    results = {sample.format: measure(sample, EACH) for sample in samples(made, tmp_path)}  # type: ignore[arg-type]
    assert sum(one.injected for one in results.values()) >= 200
    for one in results.values():
        assert not one.wrong, one
        assert one.found, one
        assert one.found + one.same + sum(one.missed.values()) == one.injected
    for format in PROVEN:
        assert not results[format].missed, results[format]
    rows = table(results.values()).removeprefix(HEAD)
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows.strip().splitlines()] == list(results)
    assert set(results) == set(documented())


def documented() -> dict[str, tuple[int, int, str]]:
    """Injected, not found without a hash, not found with one: by format, as the document has it."""
    text = (Path(__file__).parents[2] / "docs/faults.md").read_text()
    found = {}
    for line in text.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]:
        name, injected, _, _, missed, recorded = (cell.strip() for cell in line.strip("|").split("|"))
        found[name] = int(injected.replace(",", "")), int(re.findall(r"\d+", missed)[0]), recorded
    return found


def test_the_document_reports_a_whole_measurement() -> None:
    rows = documented()
    assert sum(injected for injected, _, _ in rows.values()) >= 2000
    assert all(recorded in ("0", "(its own checksums)") for _, _, recorded in rows.values())
    assert all(rows[format][1] == 0 for format in PROVEN)
    assert rows["queue db"][1] > 0, "what no format can find has to be told"


def test_an_injection_that_was_taken_though_its_hash_was_known_fails_the_measurement() -> None:
    assert Measured("x", injected=2, found=2, recorded=1).wrong
    assert not Measured("x", injected=2, found=0, recorded=2).wrong
    assert not Measured("x", injected=2, found=0).wrong
