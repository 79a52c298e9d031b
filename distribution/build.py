"""``python -m distribution.build [DIRECTORY]``: everything that is installed, in one directory (``make dist``).

The wheel; ``pacs-recover.pyz``, which is the program with all that it needs but Python and the C library; its man page;
and, where dpkg-deb is, a Debian package of these two. What goes into the one file has the versions of this Python's own
environment, which are those that the tests ran with.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from shiv.bootstrap.environment import Environment
from shiv.builder import create_archive

from distribution import debian, manual
from distribution.start import numbers
from pacs_recover import __version__

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
NAME = "pacs-recover.pyz"
INTERPRETER = "/usr/bin/env python3"
EPOCH = "2026-01-01 00:00:00"
"""The time of every file in it: the same sources make the same bytes."""
SERVICES = ("s3", "sso", "sso-oidc", "sts", "signin")
"""Of the hundreds that botocore describes: what a bucket is read with, and what a login is made with."""
MANYLINUX = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
"""PEP 513, 571 and 599; later tags name glibc's version themselves (PEP 600)."""
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def main() -> None:
    """Make all of it."""
    into = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").absolute()
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = make_wheel(into)
        make_one_file(wheel, into / NAME, Path(scratch))
    (into / manual.NAME).write_text(manual.text())
    made = [wheel, into / NAME, into / manual.NAME]
    made += debian.make(into, needs_of(into / NAME)) if shutil.which("dpkg-deb") else []
    for path in made:
        sys.stdout.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")


def make_wheel(into: Path) -> Path:
    """The wheel. CalledProcessError."""
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", str(into), str(ROOT)], check=True)
    return next(into.glob(f"pacs_recover-{__version__}-*.whl"))


def make_one_file(wheel: Path, target: Path, scratch: Path) -> None:
    """The program and all that it needs, packed by shiv, with our own start. CalledProcessError."""
    packed = scratch / "site-packages"
    install(wheel, packed, scratch / "constraints.txt")
    for directory in superfluous(packed):
        shutil.rmtree(directory)
    shutil.copy(HERE / "again.py", packed / "__main__.py")
    files = sorted(path for path in packed.rglob("*") if path.is_file() and path.suffix != ".pyc")
    contents = "".join(f"{path.stat().st_size} {path.relative_to(packed)}\n" for path in files)
    environment = Environment(built_at=EPOCH, shiv_version="", reproducible=True, entry_point="pacs_recover.cli:main")
    making = target.with_name(target.name + ".making")
    create_archive([packed], making, INTERPRETER, "start:main", environment)
    needs = {**platform_of(packed), "bytes": sum(path.stat().st_size for path in files)}
    needs["build"] = f"{__version__}-{str(environment.build_id)[:16]}"
    add(
        making, {"start.py": (HERE / "start.py").read_text(), "contents.txt": contents, "needs.json": json.dumps(needs)}
    )
    making.replace(target)


def install(wheel: Path, into: Path, constraints: Path) -> None:
    """The wheel with its dependencies, in the versions of this environment. CalledProcessError."""
    frozen = subprocess.run([*PIP, "freeze", "--exclude-editable"], check=True, capture_output=True, text=True).stdout
    constraints.write_text("".join(line + "\n" for line in frozen.splitlines() if "@" not in line))
    options = ["--no-compile", "--only-binary=:all:", "--target", str(into), "--constraint", str(constraints)]
    subprocess.run([*PIP, "install", *options, str(wheel)], check=True)


def superfluous(packed: Path) -> Iterator[Path]:
    """Directories that a run never reads: nine tenths of botocore are descriptions of other services; scripts."""
    yield packed / "bin"
    for directory in (packed / "botocore/data").iterdir():
        if directory.is_dir() and directory.name not in SERVICES:
            yield directory


def platform_of(packed: Path) -> dict[str, str]:
    """What the compiled parts need of a host, from the tags of their wheels (PEP 425)."""
    wheels = (re.findall(r"^Tag: (\S+)$", path.read_text(), re.MULTILINE) for path in packed.glob("*.dist-info/WHEEL"))
    needed = [min((glibc(tag) for tag in tags if "linux" in tag), key=numbers, default="0") for tags in wheels]
    return {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "machine": platform.machine(),
        "glibc": max(needed, key=numbers),
    }


def glibc(tag: str) -> str:
    """The C library that a wheel's tag stands for; this host's where it was built on this host."""
    if found := re.search(r"manylinux_(\d+)_(\d+)_", tag):
        return ".".join(found.groups())
    known = [version for name, version in MANYLINUX.items() if name in tag]
    return known[0] if known else platform.libc_ver()[1]


def add(archive: Path, files: dict[str, str]) -> None:
    """Files beside what shiv packed."""
    with zipfile.ZipFile(archive, "a", compression=zipfile.ZIP_DEFLATED) as opened:
        for name, text in files.items():
            opened.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    archive.chmod(0o755)


def needs_of(one_file: Path) -> dict[str, str]:
    """What a one file says of the host that it runs on."""
    with zipfile.ZipFile(one_file) as archive:
        needs: dict[str, str] = json.loads(archive.read("needs.json"))
    return needs


if __name__ == "__main__":
    os.umask(0o022)
    main()
