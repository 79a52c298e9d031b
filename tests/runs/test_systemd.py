"""Whole restores under a real systemd: crash loops, prior states, and a worker that outlives the login."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacs_recover.demo.site_maker import DemoSite, build
from tests.real_systemd import RealSystemd, needs_systemd, real_systemd
from tests.sources.s3_server import Bucket, credentials

__all__ = ["real_systemd"]

pytestmark = [needs_systemd, pytest.mark.xdist_group("systemd")]


@dataclass
class Host:
    """A host whose PACS Bridge is a unit."""

    systemd: RealSystemd
    demo: DemoSite
    unit: str

    def command(self, *words: str) -> list[str]:
        """pacs-recover with these words, inside."""
        home = self.demo.directory
        site = ["--site", str(self.demo.site_file), "--state", str(home / "state")]
        return [*self.systemd.enter_prefix, sys.executable, "-P", "-m", "pacs_recover", *site, *words]

    def recover(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=120, env=environment, check=False
        )

    def plan(self, *ids: str) -> str:
        """The id of a plan for these backups."""
        named = [word for one in ids for word in ("--backup", one)]
        made = self.recover("plan", "--json", *named)
        assert made.returncode == 0, made.stderr
        return str(json.loads(made.stdout)["plan_id"])

    def report(self) -> dict[str, Any]:
        """Of the latest run."""
        told: dict[str, Any] = json.loads(self.recover("report", "--json").stdout)
        return told

    def show(self, name: str) -> str:
        """One property of the unit."""
        return self.systemd.run(["systemctl", "show", "-p", name, "--value", self.unit]).stdout.strip()

    def do(self, verb: str) -> None:
        """systemctl, as an operator would."""
        self.systemd.run(["systemctl", verb, self.unit], check=True)


@pytest.fixture
def host(real_systemd: RealSystemd, tmp_path: Path) -> Iterator[Host]:
    """Running, with Restart=on-failure as the real unit has it."""
    tmp_path.chmod(0o755)
    moment = (datetime.now(UTC) - timedelta(hours=1)).replace(minute=50)
    demo = build(tmp_path / "site", moment, messages=60)
    unit = f"pacs_bridge_{secrets.token_hex(3)}"
    run = [sys.executable, "-P", "-m", "pacs_recover.demo.service", "run", "--root", str(demo.directory / "live")]
    variables = {**demo.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    lines = "".join(f'Environment="{name}={value}"\n' for name, value in variables.items())
    text = f"[Service]\nType=simple\nExecStart={' '.join(run)}\nRestart=on-failure\nRestartSec=0.3\n{lines}"
    real_systemd.install_unit(f"{unit}.service", text)
    site = yaml.safe_load(demo.site_file.read_text())
    site["services"] = [{"kind": "systemd", "unit": unit}]
    demo.site_file.write_text(yaml.safe_dump(site))
    made = Host(real_systemd, demo, unit)
    made.do("start")
    deadline = time.monotonic() + 20
    while made.show("ActiveState") != "active" and time.monotonic() < deadline:
        time.sleep(0.1)
    yield made
    real_systemd.remove_unit(f"{unit}.service")


def test_a_full_restore_of_a_unit(host: Host) -> None:
    plan = host.plan(*host.demo.good.values())
    done = host.recover("restore", "--yes", "--plan", plan)
    assert done.returncode == 0, done.stderr
    assert host.show("ActiveState") == "active"
    assert host.show("NRestarts") == "0"
    assert host.report()["outcome"] == "restored"


def test_b14_a_unit_that_crash_loops_is_rolled_back_though_systemctl_start_says_0(host: Host) -> None:
    config = host.demo.directory / "live/etc/pacs_bridge/config.yaml"
    before = config.read_bytes()
    done = host.recover("restore", "--yes", "--plan", host.plan(host.demo.fails_in_soak))
    assert done.returncode == 1, done.stdout
    report = host.report()
    assert report["outcome"] == "rolled_back"
    started = [step for step in report["steps"] if step["title"].startswith("Start ")]
    assert started[0]["state"] == "undone"  # systemctl start succeeded; what came after did not
    assert config.read_bytes() == before
    assert host.show("ActiveState") == "active"


def test_a_unit_that_was_stopped_is_stopped_again_after_a_rollback(host: Host) -> None:
    host.do("stop")
    done = host.recover("restore", "--yes", "--plan", host.plan(host.demo.fails_in_soak))
    assert done.returncode == 1
    assert host.show("ActiveState") in ("inactive", "failed")


def test_a_worker_in_its_own_scope_outlives_a_front_end_that_is_killed_with_its_group(host: Host) -> None:
    plan = host.plan(*host.demo.good.values())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    front = subprocess.Popen(
        host.command("restore", "--yes", "--plan", plan),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    runs = host.demo.directory / "state" / "runs"
    deadline = time.monotonic() + 30
    while not list(runs.glob("*/journal.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)
    scopes = host.systemd.run(["systemctl", "list-units", "--type=scope", "--no-legend", "--plain"]).stdout
    os.killpg(front.pid, signal.SIGKILL)
    front.wait()
    assert "pacs-recover" in scopes, scopes
    followed = host.recover("attach", "--json")
    assert followed.returncode == 0, followed.stderr
    assert host.report()["outcome"] == "restored"
    assert host.show("ActiveState") == "active"


def test_variables_of_the_unit_expand_the_configuration(host: Host) -> None:
    seen = json.loads(host.recover("preview", host.demo.good["config"], "--json").stdout)
    assert seen["state"] == "ok"
    assert seen["variables"]["unknown"] == []
    assert seen["variables"]["needed"]


def test_a_worker_in_its_own_scope_has_the_operators_credentials(host: Host) -> None:
    with credentials():
        bucket = Bucket()
        site = yaml.safe_load(host.demo.site_file.read_text())
        taken = host.demo.good["certs"].partition("/")[2].partition("@")[0]
        path = Path(site["sources"][0]["path"]) / "certs" / f"certs_{taken}.tar.enc"
        bucket.put(f"certs/{path.name}", path.read_bytes())
        own = {"kind": "s3", "name": "s3", "bucket": bucket.name, "endpoint": bucket.proxy.url, "addressing": "path"}
        host.demo.site_file.write_text(yaml.safe_dump({**site, "sources": [own]}))
        made = host.recover("plan", "certs", "--json")
        assert made.returncode == 0, made.stdout
        done = host.recover("restore", "--yes", "--plan", str(json.loads(made.stdout)["plan_id"]))
        bucket.close()
    assert done.returncode == 0, done.stderr
    assert host.report()["backups"][0]["source"] == "s3"
