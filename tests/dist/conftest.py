"""What ``make dist`` makes, built once; and hosts that have nothing but a Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from distribution.build import NAME

ROOT = Path(__file__).parents[2]
PYTHON = os.path.realpath(sys.executable)
"""The Python that the environment was made of: it has none of our packages."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with everything that is installed."""
    into = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "distribution.build", str(into)], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return into

DISKS = ("/home", "/tmp", "/var/tmp", "/var/cache", "/run", "/dev/shm")
TINY = str(1 << 20)


@dataclass(frozen=True)
class Host:
    """A host without a network whose disks are read-only, but for what an option makes of them."""

    one_file: Path
    shared: Path
    """Seen at the same path, writable."""

    def run(
        self, *words: str, full: Sequence[str] = (), options: Sequence[str] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the one file there; the checkout and its environment are out of sight, some disks have no room."""
        sizes = {path: ["--size", TINY] for path in full}
        hidden = [word for path in (*DISKS, str(ROOT)) for word in (*sizes.get(path, ()), "--tmpfs", path)]
        seen = [word for path in (sys.base_prefix, self.one_file, self.shared) for word in ("--bind", str(path), str(path))]
        variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home", "TZ": "UTC", **environment}
        told = [word for name, value in variables.items() for word in ("--setenv", name, value)]
        sandbox = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
        argv = [*sandbox, *hidden, *seen, *options, "--clearenv", *told, PYTHON, str(self.one_file), *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd="/")


@pytest.fixture
def host(built: Path, tmp_path: Path) -> Host:
    """One with room in memory alone."""
    shared = tmp_path / "shared"
    shared.mkdir()
    return Host(built / NAME, shared)
