"""A small site whose backups go to an empty directory of the test's own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import Shell, with_site
from tests.runs.conftest import made, small
from tests.runs.small_site import SmallSite

__all__ = ["made", "small"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The empty directory."""
    path = tmp_path / "backups"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def shell(small: SmallSite, store: Path) -> Shell:
    """``pacs-recover`` on the site with that directory alone."""
    return with_site(small, sources=[local(store)])


def local(path: Path, name: str = "local") -> dict[str, Any]:
    """A directory as the site file names it."""
    return {"kind": "local", "name": name, "path": str(path)}


def stored(store: Path) -> list[str]:
    """Every file in it, manifests left out; anything unfinished too."""
    files = (path for path in store.rglob("*") if path.is_file() and not path.name.endswith(".manifest.json"))
    return sorted(str(path.relative_to(store)) for path in files)


def one(store: Path, component: str) -> Path:
    """The only backup of a component."""
    (found,) = [store / name for name in stored(store) if name.startswith(f"{component}/")]
    return found


def sh(script: str, **variables: Any) -> str:
    """What a script of bash prints, without any failure on its way."""
    given = {"PATH": "/usr/bin:/bin", **{key: str(value) for key, value in variables.items()}}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, env=given)
    assert done.returncode == 0, done.stderr
    return done.stdout
