"""The measuring itself: in turn, by medians, a missed target told; and that every comparison can be made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import harness
from benchmarks.harness import Comparison, Result, Row, Sample

ROOT = Path(__file__).parents[2]


def test_both_sides_take_turns_after_rounds_that_do_not_count() -> None:
    took: list[str] = []

    def side(name: str) -> harness.Contender:
        def contender() -> Sample:
            took.append(name)
            return {"seconds": float(len(took))}

        return contender

    before: list[int] = []
    comparison = Comparison("x", "y", (Row("z"),), side("a"), side("b"), 2, 1, lambda: before.append(len(took)))
    result = harness.measure(comparison)
    assert took == ["a", "b"] * 3
    assert before == list(range(6))
    assert [(ours["seconds"], theirs["seconds"]) for ours, theirs in result.pairs] == [(3.0, 4.0), (5.0, 6.0)]


@pytest.mark.parametrize(("target", "told"), [(0.5, "≤ 0.5 met"), (0.3, "≤ 0.3 **missed**"), (None, "")])
def test_a_line_has_the_ratio_of_the_medians_its_spread_and_whether_the_target_is_met(
    target: float | None, told: str
) -> None:
    comparison = Comparison("x", "theirs | b", (Row("what", target),), dict, dict)
    pairs = [({"seconds": ours, "peak": 3e8}, {"seconds": theirs}) for ours, theirs in ((1, 2), (2, 3), (1, 10))]
    (line,) = Result(comparison, pairs).lines()
    assert line == f"| what | `theirs \\| b` | 1.00 s | 3.00 s | 0.33 (0.10–0.67) | {told} | 286 / – |\n"


def test_a_program_that_fails_ends_the_measuring() -> None:
    with pytest.raises(RuntimeError, match="failed: no such thing"):
        harness.process(["sh", "-c", "echo no such thing >&2; exit 3"])
    sample = harness.process([sys.executable, "-c", "x = bytearray(100 << 20)"])
    assert 100 < sample["peak"] / harness.MIB < 150


@pytest.mark.slow
@pytest.mark.needs("bash", "tar", "openssl", reason="the guide's scripts")
def test_one_comparison_is_made_from_the_command_line_and_writes_no_table() -> None:
    before = harness.DOCUMENT.read_text()
    argv = [sys.executable, "-m", "benchmarks", "--quick", "--only", "certs"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.count("| restore of certs") == 1
    assert harness.DOCUMENT.read_text() == before
