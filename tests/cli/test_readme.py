"""What the documents tell people to type is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.shell import Shell

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/guide.md", "docs/runs.md", "docs/site.md")
SECOND = {"init", "check", "show"}


def commands(page: str) -> set[tuple[str, ...]]:
    """Every ``pacs-recover WORD`` of a page, options before it left out."""
    text = (ROOT / page).read_text()
    found = re.findall(r"pacs-recover (?:--(?:state|site) \S+ |--read-only )*([a-z]+)(?: ([a-z]+))?", text)
    return {(first, second) if first == "site" and second in SECOND else (first,) for first, second in found}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_exists(shell: Shell, page: str) -> None:
    named = commands(page)
    assert named
    for words in named:
        assert shell(*words, "--help", code=0).out.startswith(f"Usage: pacs-recover {' '.join(words)}")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_that_a_page_links_to_exists(page: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / link).exists(), link


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert f"\n{target}:" in makefile
