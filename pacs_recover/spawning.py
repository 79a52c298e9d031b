"""Starting a worker so that it outlives whoever started it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from pacs_recover import calling
from pacs_recover.authority import Authority
from pacs_recover.worker import LOG, Purpose


def spawn(run: Path, purpose: Purpose, authority: Authority, operator: str = "") -> subprocess.Popen[bytes]:
    """Start a worker in a session of its own, out of the login's control group where systemd runs. Refused, OSError."""
    authority.must_allow(f"a {purpose}")
    argv = [*calling.module("pacs_recover.worker"), purpose, str(run), operator]
    with open(os.open(run / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        return subprocess.Popen(
            [*_scope(run.name), *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def _scope(name: str) -> list[str]:
    """A scope of its own survives the end of the login session; it keeps environment and descriptors."""
    if os.geteuid() != 0 or not Path("/run/systemd/system").is_dir() or not shutil.which("systemd-run"):
        return []
    scope = ["systemd-run", "--scope", "--slice=system.slice", "--quiet", "--collect"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        works = subprocess.run([*scope, "true"], timeout=10, check=False, **quiet).returncode == 0  # type: ignore[call-overload]
    except (OSError, subprocess.TimeoutExpired):
        works = False
    return [*scope, f"--description=pacs-recover {name}", "--"] if works else []
