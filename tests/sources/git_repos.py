"""Git repositories that tests make with git itself."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

TAKEN = datetime(2026, 11, 10, 2, tzinfo=UTC)
SETTINGS = (
    "-c",
    "user.name=Op Erator",
    "-c",
    "user.email=op@example.org",
    "-c",
    "gc.auto=0",
    "-c",
    "init.defaultBranch=main",
)


class Repo:
    """A repository with a work tree."""

    def __init__(self, path: Path, *words: str) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", *words)

    def git(self, *words: str, at: datetime = TAKEN, data: bytes = b"") -> str:
        """Run git in it; its output."""
        when = f"{at.timestamp():.0f} +0100"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        own = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        argv = ["git", *SETTINGS, "-c", "safe.directory=*", "-C", str(self.path), *words]
        done = subprocess.run(argv, env=kept | own | dates, input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return os.fsdecode(done.stdout).strip()

    def commit(self, files: dict[str, bytes], subject: str = "change", day: float = 0) -> str:
        """Write files and commit all that is there; the commit's hash."""
        for name, content in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_bytes(content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-F", "-", data=subject.encode(), at=TAKEN + timedelta(days=day))
        return self.git("rev-parse", "HEAD")

    def plant(self, *entries: tuple[str, bytes, bytes], subject: str = "planted", day: float = 0) -> str:
        """Commit a tree of these modes, names and contents as they are, also such as git itself would refuse."""
        lines = []
        for mode, name, content in sorted(entries, key=lambda entry: entry[1]):
            known = len(content) == 40 and mode in ("160000", "40000")
            oid = content.decode() if known else self.git("hash-object", "-w", "--stdin", data=content)
            lines.append(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid))
        tree = self.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=b"".join(lines))
        commit = self.git("commit-tree", "-m", subject, tree, at=TAKEN + timedelta(days=day))
        self.git("update-ref", "refs/heads/main", commit)
        return commit

    def many(self, count: int, file: str = "config.yaml") -> None:
        """A history of so many commits, a minute apart."""
        stream = []
        for n in range(count):
            who = f"committer Op <op@example.org> {int(TAKEN.timestamp()) + 60 * n} +0000"
            stream.append(f"commit refs/heads/main\n{who}\ndata 1\nc\nM 644 inline {file}\ndata {len(str(n))}\n{n}\n")
        self.git("fast-import", "--quiet", data="".join(stream).encode())
