"""The demo's site file, and how its service is called."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import yaml

from pacs_recover import calling
from pacs_recover.demo.backups import owner_names

NAME = "demo-hospital"
KEY = "backup_key"
"""The key file's name in the demo's directory."""


def site_file(
    directory: Path,
    program: Mapping[str, tuple[str, ...]],
    environment: Mapping[str, str],
    health_url: str,
    sources: Sequence[Mapping[str, object]],
    now: datetime,
) -> str:
    """The text of the site file; ``environment`` is what the service's commands need."""
    live = directory / "live"
    owner, group = owner_names()
    etc, var = live / "etc/pacs_bridge", live / "var"
    verbs = {verb: list(argv) for verb, argv in program.items() if verb != "run"}
    service = {"kind": "command", "name": "pacs_bridge", **verbs}
    site = {
        "name": NAME,
        "live": {
            "config": str(etc),
            "config_file": str(etc / "config.yaml"),
            "certs": str(etc / "certs"),
            "queue": str(var / "lib/pacs_bridge/queue.db"),
            "logs": str(var / "log/pacs_bridge"),
        },
        "owner": owner,
        "group": group,
        "services": [{**service, "environment": dict(environment)}],
        "validator": None,
        "health": {"url": health_url, "timeout": "20s"},
        "soak": "2s",
        "start_timeout": "20s",
        "stop_timeout": "20s",
        "key_file": str(directory / KEY),
        "key_copy": f"the safe in the hospital's IT office, seen {now:%Y-%m-%d}",
        "timezone": "UTC",
        "sources": list(sources),
        "sandbox": str(directory / "sandbox"),
        "drill": _drill(program["run"], environment, live),
    }
    text: str = yaml.safe_dump(site, sort_keys=False, allow_unicode=True, width=1000)
    return "# A demo site made by pacs-recover demo: synthetic data, real files, a stand-in service.\n" + text


def _drill(run: tuple[str, ...], environment: Mapping[str, str], live: Path) -> dict[str, object]:
    paths = [str(Path(entry)) for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    package = [str(Path(path) / "pacs_recover") for path in paths]
    return {"start": list(run), "readable": sorted({*_readable(), *package}), "writable": [str(live / "run")]}


def _readable() -> list[str]:
    """What this very Python needs to run in a sandbox, beside the system's own directories."""
    ours = calling.HOME if calling.UNPACKED else calling.HOME / "pacs_recover"
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix, str(ours)]
    return sorted({place for place in places if not Path(place).is_relative_to("/usr")})


def program(root: Path) -> dict[str, tuple[str, ...]]:
    """The service's commands: this very Python, which (-P) takes no module from the directory it is run in."""
    command = (sys.executable, "-P", "-m", "pacs_recover.demo.service")
    return {verb: (*command, verb, "--root", str(root)) for verb in ("run", "start", "stop", "status")}


def python_path() -> dict[str, str]:
    """What a fresh Python needs to find this package, where it is not installed into that Python."""
    here = Path(__file__).parents[2]
    installed = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    return {} if here in installed else {"PYTHONPATH": str(here)}
