"""The newcomer's pages, word by word, and that the pages as a whole are a site without a dead link."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pacs_recover.demo.site_maker import DemoSite, build
from tests import leaks
from tests.cli.shell import COMMAND
from tests.docs.typed import Typist, commands

DOCS = Path(__file__).parents[2] / "docs"
FAILS = {"demo verify --all --component config": 6}
"""Commands that a page shows failing, with their exit status."""


def environment(home: Path, programs: Path) -> dict[str, str]:
    """As a newcomer has it after installing."""
    path = f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8", "TZ": "UTC", "USER": "newcomer"}


def follow(page: Path, home: Path, programs: Path) -> None:
    """Type every command of a page and see what the page shows."""
    typist = Typist(home, environment(home, programs))
    try:
        for command in commands(page):
            said, status = typist.type(command)
            leaks.refuse(said, command.text)
            assert status == FAILS.get(command.text, 0), f"{command.text}\n{said}"
            assert command.fits(said), f"{command.text}\n{said}"
    finally:
        typist.close()


@pytest.mark.needs("bwrap", "setpriv", reason="the drill's sandbox")
def test_a_first_drill_goes_as_the_page_says(tmp_path: Path) -> None:
    follow(DOCS / "first-drill.md", tmp_path, Path(COMMAND[0]).parent)
    assert not list(tmp_path.glob("first-drill*"))


@pytest.fixture
def down(tmp_path: Path) -> Iterator[DemoSite]:
    """A site whose newest configuration and queue are good, and whose service runs."""
    made = build(tmp_path / "site", datetime.now(UTC), every_kind=True)
    subprocess.run(made.start, check=True, env={**os.environ, **made.environment})
    yield made
    subprocess.run(made.stop, check=False, env={**os.environ, **made.environment})


@pytest.fixture
def programs(down: DemoSite, tmp_path: Path) -> Path:
    """``pacs-recover`` as it is on the host of that site, also as the one file."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("pacs-recover", "pacs-recover.pyz"):
        words = f"--site {down.site_file} --state {tmp_path / 'state'}"
        (place / name).write_text(f'#!/bin/sh\nexec {COMMAND[0]} {words} "$@"\n')
        (place / name).chmod(0o755)
    return place


@pytest.mark.parametrize("page", ["incident.md", "install.md"])
def test_a_page_s_commands_do_what_it_shows(page: str, programs: Path, tmp_path: Path) -> None:
    follow(DOCS / page, tmp_path, programs)


def test_the_incident_guide_is_one_printed_page() -> None:
    text = (DOCS / "incident.md").read_text()
    lines = sum(max(1, -(-len(line) // 110)) for line in text.splitlines() if not line.startswith("```"))
    assert lines <= 80, "a page of A4 at 9.5 points takes about eighty lines"


def test_the_site_of_pages_is_made_without_a_warning(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "dirhtml", str(DOCS), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("index.html"))) >= len(list(DOCS.glob("*.md")))
