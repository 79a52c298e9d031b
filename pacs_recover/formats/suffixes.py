"""What the end of a file's name says: how a backup is wrapped, and what lies beside one."""

from __future__ import annotations

WRAPS = ("gz", "enc", "age")
CONTENTS = ("tar", "db")
RECORDS = (".manifest.json", ".sha256")
"""What a manifest's name adds to that of its backup; the one that says more first."""


def format_of(name: str) -> str:
    """How a file of this name is wrapped, outermost last: ``tar.gz``, ``tar.enc``, ``db.gz``, ``gz`` … or ``""``."""
    found: list[str] = []
    for part in reversed(name.lower().split(".")[1:]):
        if part in WRAPS:
            found.insert(0, part)
            continue
        if part in (*CONTENTS, "tgz"):
            found.insert(0, "tar.gz" if part == "tgz" else part)
        break
    return ".".join(found)
