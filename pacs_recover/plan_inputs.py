"""What a plan depends on, as digests: how it is seen to be stale."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from pacs_recover.components import Look
from pacs_recover.errors import RecoverError
from pacs_recover.events import Choice
from pacs_recover.site import Site
from pacs_recover.site import model as site_model
from pacs_recover.target import places, trees


def inputs(site: Site, choices: Mapping[str, Choice], look: Look) -> dict[str, str]:
    """What the plan depends on: the site, the backups and, of what lives, all but the queue's rows."""
    return {
        "the site file": _digest(site_model.to_json(site)),
        "what is carried over": "the live queue's own messages" if look.carry_over else "nothing",
        **{f"the backup {choice.backup.id}": choice.sha256 for choice in choices.values()},
        **{f"the live {name}": live_input(name, path) for name, path in look.live.items()},
    }


def live_input(name: str, live: Path) -> str:
    """One live part as a digest: files by hash; of the queue its path, device and owner."""
    try:
        found = places.identity(live)
        if found is None:
            return "absent"
        if name == "queue":
            with places.directory(live.parent) as parent:
                status = os.stat(live.name, dir_fd=parent, follow_symlinks=False)
            return _digest(f"{live} {status.st_dev} {status.st_uid} {status.st_gid}".encode())
        rows = [f"{e.name!r} {e.kind} {e.mode:o} {e.sha256}" for e in trees.entries(live) if not is_git(e.name)]
        return _digest("\n".join(rows).encode())
    except (OSError, RecoverError) as error:
        return f"unreadable: {type(error).__name__}"


def is_git(name: str) -> bool:
    """Whether a tree's entry belongs to Git's own directory."""
    return name == ".git" or name.startswith(".git/")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
