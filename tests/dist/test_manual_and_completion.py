"""The man page and the Debian package hold every command; real shells complete by what the program printed."""

from __future__ import annotations

import subprocess
import time
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from distribution import manual
from pacs_recover.cli.commands import cli
from pacs_recover.cli.completing import SHELLS
from pacs_recover.demo.site_maker import DemoSite, build
from tests.cli.shell import COMMAND, environment
from tests.dist.conftest import ROOT

pytestmark = pytest.mark.xdist_group("systemd")
"""One worker builds and uses what is built."""


@pytest.mark.needs("groff", reason="reads the man page")
def test_the_man_page_names_every_command_and_option_and_groff_has_no_complaint(tmp_path: Path) -> None:
    page = tmp_path / manual.NAME
    page.write_text(manual.text())
    argv = ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", str(page)]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    for path, command in manual.commands(cli, ()):
        assert f"\n   {' '.join(path)}" in shown.stdout
        for option in command.params:
            assert not isinstance(option, click.Option) or all(name in shown.stdout for name in option.opts)
    for part in ("EXIT STATUS", "FILES", "/etc/pacs_recover/site.yaml", "130 interrupted"):
        assert part in shown.stdout


@pytest.mark.needs("dpkg-deb", reason="makes and reads a Debian package")
def test_the_debian_package_holds_the_one_file_with_its_page_and_completions(built: Path, tmp_path: Path) -> None:
    (package,) = built.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", str(package), str(tmp_path)], check=True)
    program = tmp_path / "usr/bin/pacs-recover"
    assert program.read_bytes() == (built / "pacs-recover.pyz").read_bytes()
    assert program.stat().st_mode & 0o777 == 0o755
    assert len([path for path in tmp_path.rglob("*pacs-recover*") if path.is_file()]) == 2 + len(SHELLS)
    fields = subprocess.run(["dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True).stdout
    assert "Depends: python3 (>= 3." in fields


def test_the_wheel_holds_every_file_of_the_package(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    files = (path for path in (ROOT / "pacs_recover").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    with zipfile.ZipFile(wheel) as archive:
        assert {str(path.relative_to(ROOT)) for path in files} <= set(archive.namelist())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoSite:
    """A site with backups to name."""
    return build(tmp_path_factory.mktemp("site") / "site", datetime.now(UTC), messages=20)


@pytest.fixture(scope="module")
def variables(demo: DemoSite, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As an operator has them; the program is on the PATH."""
    path = f"{Path(COMMAND[0]).parent}:/usr/bin:/bin"
    home = str(tmp_path_factory.mktemp("home"))
    return environment(PATH=path, HOME=home, PACS_RECOVER_SITE=str(demo.site_file), TERM="dumb")


def script(shell: str, variables: dict[str, str]) -> str:
    """What ``pacs-recover completion`` prints."""
    argv = ["pacs-recover", "completion", shell]
    return subprocess.run(argv, capture_output=True, text=True, check=True, env=variables).stdout


BASH = """
source {file}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p pacs-recover | sed 's/.*-F \\([^ ]*\\).*/\\1/') pacs-recover
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = "source {file}; complete -C '{words}'"
ZSH = """
zmodload zsh/zpty
zpty shell 'zsh -f -i'
type_in() {{ zpty -w shell "$1"; sleep 0.3; }}
type_in "PS1=; autoload -U compinit; compinit -u -D; LISTMAX=1000"
type_in "source {file}"
zpty -w -n shell "{words}"$'\\t\\t'
zpty -r -m shell everything '*{last}*'; print -r -- $everything
sleep 0.3
while zpty -r -t shell more; do print -r -- $more; done
"""
QUESTIONS = (("pacs-recover re", {"report", "restore", "resume"}), ("pacs-recover restore --ba", {"--backup"}))


def asked(shell: str, words: str, file: Path, variables: dict[str, str], last: str) -> set[str]:
    """The words that a shell offers after these; one that draws a menu is read until this last one came."""
    text = {"bash": BASH, "fish": FISH, "zsh": ZSH}[shell].format(file=file, words=words, last=last)
    argv: Sequence[str] = [shell, "-c", text]
    found = subprocess.run(argv, capture_output=True, text=True, env=variables, timeout=60, check=False)
    return set(found.stdout.split())


@pytest.mark.parametrize(
    "shell", [pytest.param(name, marks=pytest.mark.needs(name, reason="completes for real")) for name in SHELLS]
)
def test_a_real_shell_completes_commands_options_and_backups(
    shell: str, demo: DemoSite, variables: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "completion"
    file.write_text(script(shell, variables))
    for words, offered in QUESTIONS:
        assert offered <= asked(shell, words, file, variables, max(offered)), words
    ids = {demo.good["certs"], demo.expired}
    assert ids <= asked(shell, "pacs-recover preview certs/", file, variables, min(ids))


def test_completing_a_command_loads_neither_the_commands_nor_the_engine(variables: dict[str, str]) -> None:
    more = {**variables, "_PACS_RECOVER_COMPLETE": "bash_complete", "COMP_WORDS": "pacs-recover re", "COMP_CWORD": "1"}
    code = "import sys; from pacs_recover.cli import main\ntry: main([])\nexcept SystemExit: print('LOADED', *sys.modules)"
    python = [str(Path(COMMAND[0]).with_name("python")), "-c", code]
    began = time.monotonic()
    out = subprocess.run(python, capture_output=True, text=True, check=True, env=more).stdout
    assert time.monotonic() - began < 5
    loaded = set(out.partition("LOADED ")[2].split())
    assert "plain,restore" in out
    assert not loaded & {"pacs_recover.catalog", "pacs_recover.cli.restoring", "textual", "msgspec", "yaml"}
