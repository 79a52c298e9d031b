"""Makes the example reports under docs by drilling the demo site: ``python -m tests.drill.make_examples``, as root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pacs_recover.demo.site_maker import build

DOCS = Path(__file__).parents[2] / "docs"
HOST = "pacs-recovery-1"
FORMS = {"text": "txt", "md": "md", "json": "json", "html": "html"}
RECORD = (
    *("--participant", "Anna Example (on call)", "--participant", "Bert Example (interfaces)"),
    *("--observation", "The replica was taken to be lost; the last good queue backup was several hours old."),
    *("--observation", "All that was needed was in the runbook, except where the backup key is kept."),
    *("--action", "Replicate the queue to a second place (Bert, within two weeks)."),
    *("--action", "Write down where the backup key is kept (Anna, this week)."),
)


def main() -> None:
    """Make the site, drill it from an old queue backup, write its report in every form."""
    place = Path(tempfile.gettempdir()) / "pacs-demo"
    shutil.rmtree(place, ignore_errors=True)
    made = build(place, datetime.now(UTC), every_kind=True)
    subprocess.run(made.start, env={**os.environ, **made.environment}, check=True)
    try:
        old = json.loads(_run(place, "catalog", "queue", "--source", "local", "--json"))["backups"][3]["id"]
        chosen = (old, made.good["config"], made.good["certs"])
        _run(place, "drill", "--yes", *(word for backup in chosen for word in ("--backup", backup)), *RECORD)
        for form, suffix in FORMS.items():
            (DOCS / f"example-drill.{suffix}").write_text(_run(place, "report", "--format", form))
    finally:
        subprocess.run(made.stop, env={**os.environ, **made.environment}, check=True)
        shutil.rmtree(place)


def _run(place: Path, *words: str) -> str:
    """What a command prints, on a host of an example's name."""
    argv = [sys.executable, "-m", "pacs_recover", "--site", str(place / "site.yaml"), "--state", str(place / "state")]
    named = ["unshare", "--uts", "sh", "-c", f'hostname {HOST} && exec "$@"', "sh"]
    env = {**os.environ, "SUDO_USER": "anna", "TZ": "UTC", "COLUMNS": "80"}
    return subprocess.run([*named, *argv, *words], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
