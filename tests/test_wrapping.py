"""Lines for a terminal: columns as a terminal counts them, paths that can be copied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.wrapping import LONGEST, clean, columns, pad, wrap


def test_wide_and_combining_characters_take_the_columns_that_a_terminal_gives_them() -> None:
    assert columns("큐") == 2
    assert columns("e\u0301") == 1
    assert pad("큐", 4) == "큐  "


def test_a_long_text_goes_on_beneath_its_beginning() -> None:
    assert wrap("one two three", 10, "A  ") == ["A  one two", "   three"]


def test_a_path_is_never_broken_and_takes_the_room_of_the_indent() -> None:
    path = "/var/lib/aside"
    assert wrap(f"see {path} now", 16, "      ") == ["      see", f"  {path}", "      now"]
    assert wrap(path, 10, "label  ") == ["label", path]


@given(st.text(max_size=400), st.integers(1, 100))
def test_wrapping_loses_no_word(text: str, width: int) -> None:
    assert " ".join(wrap(text, width)).split() == clean(text).split()


def test_endless_text_is_cut() -> None:
    assert len(clean("x" * 1_000_000)) == LONGEST + 1
