"""What the documents tell people to type is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.shell import COMMAND, environment

ROOT = Path(__file__).parents[2]
WRITTEN = ("backup", "guide", "runs", "site", "verify", "install", "first-drill", "incident", "components")
PAGES = ("README.md", *(f"docs/{page}.md" for page in WRITTEN))
SECOND = {"init", "check", "show", "timers"}


@pytest.fixture(scope="module")
def there_are() -> set[str]:
    """What ``--help`` lists, of the program and of ``site``."""
    found = set()
    for group in ("", "site "):
        argv = [*COMMAND, *group.split(), "--help"]
        text = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment()).stdout
        found |= {group + name for name in re.findall(r"^  ([a-z]+)  ", text.partition("Commands:")[2], re.MULTILINE)}
    return found


def commands(page: str) -> set[str]:
    """Every ``pacs-recover WORD`` of a page, options before it left out."""
    text = (ROOT / page).read_text()
    found = re.findall(r"pacs-recover (?:--(?:state|site) \S+ |--read-only )*([a-z]+)(?: ([a-z]+))?", text)
    return {f"{first} {second}" if first == "site" and second in SECOND else first for first, second in found}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_exists(there_are: set[str], page: str) -> None:
    named = commands(page)
    assert named
    assert named <= there_are


@pytest.mark.parametrize("page", PAGES)
def test_every_page_that_a_page_links_to_exists(page: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / link).exists(), link


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert f"\n{target}:" in makefile
