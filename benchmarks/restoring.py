"""Restores of configuration, certificates and queue, against the guide's scripts: in all, and how long it is down."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks import lab
from benchmarks.harness import Comparison, Row, Sample, Size, process
from benchmarks.lab import Lab

NAMES = ("config", "certs", "queue")


def suite(size: Size, home: Path) -> Iterator[Comparison]:
    """An armed restore on each side: both begin with one backup and end with a service that was started."""
    host = lab.make(home)
    small = (("config", lab.back_up_config(host)), ("certs", lab.back_up_certs(host)))
    for name, backup in small:
        yield compare(host, name, backup, name, size.starts, 1.0)
    backup = lab.back_up_queue(host, size.queue)
    yield compare(host, "queue", backup, f"queue of {size.queue} MiB", size.rounds, 0.8)


def compare(host: Lab, name: str, backup: Path, what: str, rounds: int, target: float) -> Comparison:
    """One component."""
    rows = (
        Row(f"restore of {what}: until the service is started", target, "up"),
        Row("… to the end of the command, without the soak", target),
        Row("… how long the service is down", 0.05 if name == "queue" else None, "down"),
    )
    return Comparison(
        name,
        f"restore_{name}.sh",
        rows,
        lambda: ours(host, name),
        lambda: theirs(host, name, backup),
        rounds,
        warm=0 if name == "queue" else 1,
        before=host.fresh,
    )


def ours(host: Lab, name: str) -> Sample:
    """The run of a plan; what the soak takes by itself is taken off."""
    planned = subprocess.run(host.argv("plan", name, "--json"), check=True, capture_output=True).stdout
    plan = json.loads(planned)["plan_id"]
    sample = process(host.argv("restore", "--yes", "--plan", plan))
    return host.times({**sample, "seconds": sample["seconds"] - lab.SOAK})


def theirs(host: Lab, name: str, backup: Path) -> Sample:
    """The guide's script."""
    return host.times(process(host.script(f"restore_{name}.sh", str(backup))))
