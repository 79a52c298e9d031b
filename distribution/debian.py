"""A Debian package of the one file, its man page and its completions; nothing of it runs when it is installed."""

from __future__ import annotations

import gzip
import subprocess
import tempfile
from pathlib import Path

from distribution import manual
from pacs_recover import __version__
from pacs_recover.cli.completing import SHELLS, script

PLACES = {
    "bash": "usr/share/bash-completion/completions/pacs-recover",
    "zsh": "usr/share/zsh/vendor-completions/_pacs-recover",
    "fish": "usr/share/fish/vendor_completions.d/pacs-recover.fish",
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Debian's names of the machines."""


def make(into: Path, needs: dict[str, str]) -> list[Path]:
    """The package, of what is in this directory already. CalledProcessError."""
    architecture = ARCHITECTURES.get(needs["machine"], needs["machine"])
    target = into / f"pacs-recover_{__version__}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        place(root / "usr/bin/pacs-recover", (into / "pacs-recover.pyz").read_bytes(), 0o755)
        page = gzip.compress((into / manual.NAME).read_bytes(), mtime=0)
        place(root / f"usr/share/man/man1/{manual.NAME}.gz", page)
        for shell in SHELLS:
            place(root / PLACES[shell], script(shell).encode())
        place(root / "usr/share/doc/pacs-recover/copyright", (Path(__file__).parents[1] / "LICENSE").read_bytes())
        place(root / "DEBIAN/control", control(architecture, needs).encode())
        argv = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), str(target)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return [target]


def control(architecture: str, needs: dict[str, str]) -> str:
    """What dpkg has to know, deb-control(5)."""
    major, minor = map(int, needs["python"].split("."))
    python = f"python3 (>= {needs['python']}), python3 (<< {major}.{minor + 1})"
    return (
        f"Package: pacs-recover\nVersion: {__version__}\nArchitecture: {architecture}\n"
        f"Maintainer: pacs-recover\nSection: admin\nPriority: optional\n"
        f"Depends: {python}, libc6 (>= {needs['glibc']})\nRecommends: bubblewrap, git\n"
        "Description: recovery console and command line for PACS Bridge\n"
        " Restores configuration, TLS certificates and the message queue of a PACS Bridge\n"
        " from its backups, step by step, with rollback and against the recovery time.\n"
    )


def place(path: Path, content: bytes, mode: int = 0o644) -> None:
    """A file of the package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
