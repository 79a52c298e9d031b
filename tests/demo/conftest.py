"""Demo sites: one that is only looked at, and fresh ones whose service runs for one test."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pacs_recover.demo.site_maker import DemoSite, build

NOW = datetime(2026, 11, 23, 21, 15, 30, tzinfo=UTC)
WAITING = 420


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> DemoSite:
    """A site that tests only look at, made at NOW."""
    return build(tmp_path_factory.mktemp("demo") / "site", NOW, messages=WAITING)


class Running:
    """A demo site whose service a test starts and stops."""

    def __init__(self, site: DemoSite) -> None:
        self.site = site
        self.live = site.directory / "live"
        self.config = self.live / "etc/pacs_bridge/config.yaml"
        self.certs = self.live / "etc/pacs_bridge/certs"
        self.database = self.live / "var/lib/pacs_bridge/queue.db"
        self.environment = {**os.environ, **site.environment}

    def call(self, verb: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [*self.site.start[:-3], verb, *self.site.start[-2:]]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=30, env={**self.environment, **environment}
        )

    def pid(self) -> int:
        return int((self.live / "run/pacs_bridge.pid").read_text())

    def health(self, path: str = "ready") -> int:
        url = self.site.health_url.removesuffix("/ready") + (f"/{path}" if path else "")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    def start_and_wait(self) -> None:
        assert self.call("start").returncode == 0
        wait_for(lambda: self.health() == 200, 10)


def wait_for(condition: object, seconds: float) -> float:
    """Wait until a condition holds; how long that took."""
    assert callable(condition)
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "it never came true"
        time.sleep(0.02)
    return time.monotonic() - begun


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A fresh site, made now; its service is stopped at the end whatever happened."""
    site = Running(build(tmp_path / "site", datetime.now(UTC), messages=WAITING))
    yield site
    assert site.call("stop").returncode == 0
