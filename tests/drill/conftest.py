"""A demo site whose drill runs an independent HL7 service in its sandbox."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacs_recover import drilling, looks, worker
from pacs_recover.cli.context import Context
from pacs_recover.drilling import Order
from pacs_recover.report import Report
from pacs_recover.selection import select
from tests.runs.small_site import SmallSite, make

PEER = Path(__file__).with_name("peer.py")
FULL = ("config", "certs", "queue")


def python_homes() -> list[str]:
    """What this Python needs in a sandbox."""
    places = (sys.prefix, sys.base_prefix, str(PEER.parent))
    return [place for place in dict.fromkeys(places) if not Path(place).is_relative_to("/usr")]


class Counted:
    """A hospital's system that the restored configuration names: it counts who calls."""

    def __init__(self, address: str) -> None:
        self.listening = socket.create_server((address, 0))
        self.address = "{}:{}".format(*self.listening.getsockname()[:2])
        self.calls = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        with suppress(OSError):
            while True:
                self.listening.accept()[0].close()
                self.calls += 1


def addresses() -> list[str]:
    """This host's own addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        try:
            outside.connect(("192.0.2.1", 9))
            return ["127.0.0.1", outside.getsockname()[0]]
        except OSError:
            return ["127.0.0.1"]


@dataclass
class Drilled:
    """A small site and how it is drilled."""

    small: SmallSite
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def sandbox(self) -> Path:
        """Where its drills restore to."""
        return self.small.root / "sandbox"

    def configure(self, *fault: str, **drill: Any) -> None:
        """Write the site file, with this drill section."""
        text = yaml.safe_load(self.small.demo.site_file.read_text()) | self.settings
        health = self.small.demo.health_url.split(":")[2].split("/")[0]
        peer = [sys.executable, "-P", str(PEER), "--queue", str(self.small.queue), "--port", self.port]
        peer += ["--health", health, "--certs", str(self.small.config / "certs"), *fault]
        text["drill"] = {"start": peer, "readable": python_homes(), "message_timeout": "1s"} | drill
        text["sandbox"] = str(self.sandbox)
        text["health"] = {"url": self.small.demo.health_url, "timeout": "20s"}
        text["start_timeout"] = "20s"
        self.site_file.write_text(yaml.safe_dump(text))
        self.site_file.chmod(0o600)

    @property
    def port(self) -> str:
        """Of the HL7 listener, as the service's variables say."""
        return str(self.small.demo.environment["PACS_BRIDGE_PORT"])

    @property
    def site_file(self) -> Path:
        """Its own site file."""
        return self.small.root / "drill.yaml"

    @property
    def context(self) -> Context:
        """As a command sees it."""
        return Context(self.site_file, self.small.root / "state", False)

    def arm(self, *components: str, backups: tuple[str, ...] = (), **order: Any) -> Path:
        """A run whose worker may start in this process."""
        context, words = self.context, components or FULL
        made = drilling.make(
            context.site,
            context.state,
            Order(words, **order),
            lambda: select(context.catalog(), words, backups),
            context.authority,
        )
        context.state.prepare()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drilling, "spawn", lambda *_: None)
            return drilling.start(made, context.site, context.state, context.authority).run

    def __call__(self, *components: str, **order: Any) -> tuple[int, Report]:
        """Drill in this process: the exit code and the report."""
        return self.run(self.arm(*components, **order))

    def run(self, run: Path) -> tuple[int, Report]:
        """Drill what was armed."""
        code = worker.restore(run, lambda: False)
        return code, looks.report_of(run)


@pytest.fixture(scope="session")
def drill_site(tmp_path_factory: pytest.TempPathFactory) -> SmallSite:
    """The site, built once."""
    home = tmp_path_factory.mktemp("drills")
    home.chmod(0o755)
    return make(home / "site")


@pytest.fixture
def drilled(drill_site: SmallSite) -> Iterator[Drilled]:
    """The site as new, its service running, with a service of its own in its drills."""
    drill_site.reset()
    made = Drilled(drill_site)
    made.configure()
    yield made
    drill_site.reset()
