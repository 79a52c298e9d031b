"""What must be in no output: planted in the demo's messages, key file and keys, and looked for in every test."""

from __future__ import annotations

import re
from pathlib import Path

PLANTED = re.compile(
    rb"SYNTHETIC\d{3}|SYNTHETIC REPORT|EXAMPLE STREET|TESTDOCTOR|NEXTOFKIN|SYNTHETIC ALLERGEN|PRIVATE KEY-----"
)
"""Names, addresses and results of ``demo.messages``, and how every private key begins."""
WRITTEN = ("*.json", "*.jsonl", "*.log", "*.lock", "*.holder")
"""Our own files: journals, requests, plans, answers, logs, locks, the audit; not what was unpacked or set aside."""


def refuse(text: str | bytes, where: str, key_file: Path | None = None) -> None:
    """Fail where anything planted is in this."""
    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    found = PLANTED.search(data)
    assert found is None, f"{where} tells {found[0]!r}"
    password = key_file.read_bytes().strip() if key_file and key_file.exists() else b""
    assert not password or password not in data, f"{where} tells the key's password"


def refuse_in_files(home: Path, key_file: Path) -> None:
    """Fail where one of our own files below this directory holds anything planted, or can be read by others."""
    for pattern in WRITTEN:
        for path in home.rglob(pattern):
            if path.is_file() and not {"staged", "aside", "withdrawn"} & set(path.parts):
                refuse(path.read_bytes(), str(path), key_file)
                assert path.stat().st_mode & 0o027 == 0, f"{path} is open to others ({path.stat().st_mode:o})"
