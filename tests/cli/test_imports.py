"""What ``--help`` loads: an operator's tool on a sick host starts with little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import environment

CODE = """
import runpy, sys
sys.argv = ["pacs-recover", {word!r}]
try:
    runpy.run_module("pacs_recover", run_name="__main__")
except SystemExit:
    pass
print("LOADED", *sorted(sys.modules))
"""


@pytest.mark.parametrize("word", ["--help", "--version", "runs"])
def test_help_loads_neither_textual_nor_boto3_nor_cryptography(word: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(word=word)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(HOME=str(tmp_path)),
    )
    modules = {name.partition(".")[0] for name in done.stdout.rpartition("LOADED ")[2].split()}
    assert {"click", "pacs_recover"} <= modules
    assert not modules & {"textual", "boto3", "botocore", "cryptography", "rich"}


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
