"""Variables as systemd reads them, compared with what a real systemd gives to a process."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.services.variables import environment_file, printed
from tests.real_systemd import RealSystemd, needs_systemd

PIECES = [
    "A",
    "B",
    "C",
    "=",
    "=",
    "\n",
    "\n",
    " ",
    "\t",
    "'",
    '"',
    "\\",
    "$",
    "`",
    ";",
    "#",
    "\r",
    "ü",
    "\x01",
    "=x",
    "\\\n",
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("  A = 1  \n", {"A": "1"}),
        ("# A=1\n; B=1\n\nC=1", {"C": "1"}),
        ("A=#no comment", {"A": "#no comment"}),
        ("A='a \"b\" \\ $c'", {"A": 'a "b" \\ $c'}),
        ('A="a \'b\' \\" \\$ \\x"', {"A": "a 'b' \" $ \\x"}),
        ("A='two\nlines'\nB=1", {"A": "two\nlines", "B": "1"}),
        ("A=go\\\non\nB=1", {"A": "goon", "B": "1"}),
        ("A='a'  'b' c ' d", {"A": "abc ' d"}),
        ("A=a'b'", {"A": "a'b'"}),
        ("A=it\\ is \\ \n", {"A": "it is  "}),
        ("export A=1\nB", {}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("1A=1\n=2\n==3\n='4\n5'", {}),
        ("A=\x01\tb", {"A": "\x01\tb"}),
        ("A='never closed", {"A": "never closed"}),
        ("A=\\", {"A": ""}),
        ("", {}),
    ],
)
def test_an_environment_file_is_read_by_the_rules_of_systemd(text: str, found: dict[str, str]) -> None:
    assert environment_file(text) == found


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
def test_no_environment_file_is_too_odd_to_be_read(text: str) -> None:
    found = environment_file(text)
    assert all(name.isidentifier() and name.isascii() for name in found)


@given(st.text(max_size=30))
def test_any_words_that_systemctl_could_print_are_read(text: str) -> None:
    printed(text)


@needs_systemd
def test_odd_environment_files_mean_what_systemd_makes_of_them(real_systemd: RealSystemd, tmp_path: Path) -> None:
    random = Random(2026)
    texts = ["A=" + "".join(random.choices(PIECES, k=random.randint(1, 25))) for _ in range(150)]
    texts = [text for text in texts if not _has_comment_with_escape(text)]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.env").write_text(text, newline="")
    real_systemd.install_unit(
        "variables@.service",
        f"[Service]\nType=oneshot\nExecStart=/usr/bin/env -0\nEnvironmentFile={tmp_path}/%i.env\n"
        f"StandardOutput=truncate:{tmp_path}/%i.out\n",
    )
    real_systemd.run(["systemctl", "start", *(f"variables@{number}" for number in range(len(texts)))], check=True)
    for number, text in enumerate(texts):
        assert environment_file(text) == _names_of_one_letter(tmp_path / f"{number}.out"), repr(text)


def _names_of_one_letter(output: Path) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in output.read_bytes().decode().split("\0")]
    return {name: value for name, _, value in pairs if set(name) <= set("ABC") and name}


def _has_comment_with_escape(text: str) -> bool:
    """What follows an escaped end of a comment became a line of its own with systemd 254."""
    return any(line.lstrip().startswith(("#", ";")) and "\\" in line for line in text.replace("\r", "\n").split("\n"))
