"""What a command loads: an operator's tool on a sick host starts with little."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pacs_recover.cli.commands import ROOMS as ROOMS_OF_COMMANDS
from tests.cli.shell import environment

CODE = """
import runpy, sys
sys.argv = ["pacs-recover", *{words!r}]
try:
    runpy.run_module("pacs_recover", run_name="__main__")
except SystemExit:
    pass
print("LOADED", *sorted(sys.modules))
"""


HEAVY = {"textual", "boto3", "botocore", "cryptography", "rich"}
NOTHING_YET = {
    "msgspec",
    "yaml",
    "json",
    "ssl",
    "sqlite3",
    "subprocess",
    "tempfile",
    "urllib.request",
    "humanize",
    "asyncio",
}
"""What a command has no use for that reads no file of ours."""
ROOMS = ("__main__", "cli", "errors", "authority", "calling", "state", "durable", "text", "wrapping")


OWN = {f"pacs_recover.cli.{name}" for name in ("commands", "context", "output")}
"""What every command begins with."""


def loaded(*words: str, home: Path, code: str = CODE) -> set[str]:
    """The modules that are loaded when a command has ended."""
    done = subprocess.run(
        [sys.executable, "-c", code.format(words=words)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(HOME=str(home)),
    )
    return set(done.stdout.rpartition("LOADED ")[2].split())


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("runs",)], ids=" ".join)
def test_what_reads_nothing_loads_little_more_than_click(words: tuple[str, ...], tmp_path: Path) -> None:
    modules = loaded(*words, home=tmp_path)
    assert {"click", "pacs_recover"} <= modules
    assert not modules & (HEAVY | NOTHING_YET)
    rooms = {name.split(".")[1] for name in modules if name.startswith("pacs_recover.")}
    assert rooms <= set(ROOMS)
    commands = {name for name in modules if name.startswith("pacs_recover.cli.")} - OWN
    assert commands <= {f"pacs_recover.cli.{words[0]}"}


def test_a_catalog_of_directories_loads_nothing_that_reads_content_or_changes_anything(tmp_path: Path) -> None:
    modules = loaded("catalog", home=tmp_path)
    assert "pacs_recover.sources.local" in modules
    assert not modules & (HEAVY | {"yaml", "sqlite3", "ssl", "urllib.request"})
    beyond = ("front", "worker", "engine", "plan", "components", "target", "drill", "looks", "keeping", "report")
    assert not {f"pacs_recover.{room}" for room in beyond} & modules


def test_a_worker_loads_what_its_run_needs_when_it_needs_it(tmp_path: Path) -> None:
    modules = loaded(home=tmp_path, code="import pacs_recover.worker, sys; print('LOADED', *sys.modules)")
    assert "pacs_recover.engine" in modules
    assert not modules & (HEAVY | {"click", "yaml", "ssl", "urllib.request", "concurrent.futures", "humanize"})
    assert not [name for name in modules if name.startswith("pacs_recover.sources.litestream")]
    assert not {f"pacs_recover.components.{name}" for name in ("config", "certs", "queue", "logs")} & modules


def test_every_command_is_listed_with_the_first_sentence_of_its_own_help() -> None:
    for room, functions in ROOMS_OF_COMMANDS.items():
        for function, said in functions.items():
            help = getattr(import_module(f"pacs_recover.cli.{room}"), function).help
            assert " ".join(help.split("\n\n")[0].split()) == said, function


def test_the_installed_command_loads_none_of_them_either() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "from pacs_recover.cli import main; main(['--help'])"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert "pacs_recover.cli" in done.stderr
    assert not [name for name in ("textual", "boto3", "cryptography") if f" {name}" in done.stderr]
