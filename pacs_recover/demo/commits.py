"""The demo's configuration as a Git history, made by git itself where this machine has it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from pacs_recover.demo.backups import private_directory

SOURCE = "git"
"""What the demo's site file calls it."""
BRANCH = "main"
WHO = "Demo Operator <operator@demo-hospital.example>"


def write(repository: Path, commits: Sequence[tuple[datetime, str, Mapping[str, bytes]]]) -> bool:
    """A bare repository with these commits (time, message, files), oldest first; False where there is no git.

    Keys stay out of it, as they should. OSError where git cannot make it.
    """
    git = shutil.which("git")
    if git is None:
        return False
    private_directory(repository)
    environment = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    command = [git, f"--git-dir={repository}"]
    for words, said in (
        (("init", "--quiet", "--bare", f"--initial-branch={BRANCH}"), b""),
        (("fast-import", "--quiet"), _stream(commits)),
    ):
        done = subprocess.run([*command, *words], input=said, env=environment, capture_output=True, check=False)
        if done.returncode:
            raise OSError(0, done.stderr.decode(errors="replace").strip() or "git failed", str(repository))
    return True


def _stream(commits: Sequence[tuple[datetime, str, Mapping[str, bytes]]]) -> bytes:
    """What ``git fast-import`` reads (git-fast-import(1))."""
    parts: list[bytes] = []
    for at, message, files in commits:
        parts.append(f"commit refs/heads/{BRANCH}\ncommitter {WHO} {int(at.timestamp())} +0000\n".encode())
        parts += [_data(message.encode()), b"deleteall\n"]
        for name, content in sorted(files.items()):
            if not name.endswith(".key"):
                parts += [f"M 100644 inline {name}\n".encode(), _data(content)]
    return b"".join(parts)


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
