"""Removing what a killed drill left: its container, its directory with the copies in it, and its open journal."""

from __future__ import annotations

from pathlib import Path

from pacs_recover.errors import RecoverError
from pacs_recover.events import Ended
from pacs_recover.journal import Journal, is_written
from pacs_recover.runs import last_end
from pacs_recover.services.sandboxed_container import remove
from pacs_recover.state import JOURNAL
from pacs_recover.target.sandbox import left_behind
from pacs_recover.text import safe

EVIDENCE = "its worker was ended from outside; its sandbox was removed by a later drill"


def sweep(sandbox: Path) -> list[str]:
    """Remove the sandboxes of drills whose process is gone; what was removed, and what could not be."""
    said = []
    for home, note in left_behind(sandbox):
        try:
            if note.container:
                remove(note.runtime, note.container)
            _end(Path(note.run) / JOURNAL)
            home.remove()
            said.append(f"removed what drill {safe(Path(note.run).name)} left in {safe(home.path)}")
        except (OSError, RecoverError) as error:
            said.append(f"{safe(home.path)} could not be removed: {safe(error)}")
    return said


def _end(path: Path) -> None:
    if not path.exists() or is_written(path):
        return
    journal = Journal(path, create=False)
    try:
        if last_end(journal.events) is None:
            journal.step = None
            journal.write(Ended, outcome="interrupted", exit_code=130, evidence=EVIDENCE)
    finally:
        journal.close()
