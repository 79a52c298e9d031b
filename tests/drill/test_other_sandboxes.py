"""Drills of a systemd unit's own program, of a container, and of start commands that leave a daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from pacs_recover.drill import sandboxes
from pacs_recover.services.sandboxed_container import LABEL
from pacs_recover.site import Site
from tests.cli.shell import Shell
from tests.drill.conftest import PEER, Counted, Drilled, addresses, python_homes
from tests.drill.test_process import soaking
from tests.drill.test_sources import kept_elsewhere
from tests.real_systemd import RealSystemd, needs_systemd, real_systemd  # noqa: F401 - a fixture
from tests.services.test_container import Podman, needs_podman

ROOT = Path(__file__).parents[2]
needs_sandbox = pytest.mark.needs("bwrap", "setpriv", reason="a real sandbox")


def as_site(drilled: Drilled, **changes: object) -> None:
    """Write the site file with other settings, its drill section without a program of its own."""
    text = yaml.safe_load(drilled.site_file.read_text())
    drill = {key: value for key, value in text["drill"].items() if key != "start"}
    drilled.site_file.write_text(yaml.safe_dump(text | {"drill": drill} | changes))


def command(drilled: Drilled) -> list[str]:
    """The program of the drill's service."""
    return list(yaml.safe_load(drilled.site_file.read_text())["drill"]["start"])


@needs_systemd
@needs_sandbox
def test_a_drill_runs_what_the_unit_s_execstart_says(drilled: Drilled, real_systemd: RealSystemd) -> None:  # noqa: F811
    variables = "".join(f'Environment="{name}={value}"\n' for name, value in drilled.small.demo.environment.items())
    unit = f"[Service]\nExecStart={' '.join(command(drilled))} --dial ${{NOBODY}}\n{variables}WorkingDirectory=/tmp\n"
    real_systemd.install_unit("drilled.service", unit)
    as_site(drilled, services=[{"kind": "systemd", "unit": "drilled"}])
    argv = [sys.executable, "-m", "pacs_recover", "--site", str(drilled.site_file)]
    argv += ["--state", str(drilled.small.root / "state"), "drill", "--yes", "--json"]
    done = real_systemd.run(argv, env={**os.environ, "PYTHONPATH": str(ROOT)})
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, (report["failure"], done.stderr)
    assert report["drill"]["sandbox"] == "process"
    assert "drilled stopped" in report["drill"]["production"], "the unit itself was never started"
    real_systemd.remove_unit("drilled.service")


needs_container = pytest.mark.needs("root", reason="a look into the container's network")
RUNTIMES = pytest.mark.parametrize(
    "runtime", ["podman", pytest.param("docker", marks=pytest.mark.needs("docker", reason="its command line"))]
)


@contextmanager
def contained(
    drilled: Drilled, podman: Podman, runtime: str, monkeypatch: pytest.MonkeyPatch, *words: str
) -> Iterator[None]:
    """The site's service is a container of this runtime meanwhile."""
    small = drilled.small
    monkeypatch.setenv("PATH", f"{by_name(podman)}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{podman.socket}")
    drilled.configure(*words)
    state, etc = small.queue.parent, small.config
    variables = [f"--env={name}={value}" for name, value in small.demo.environment.items()]
    live = podman.make(command(drilled), f"--volume={etc}:{etc}", f"--volume={state}:{state}", *variables)
    as_site(drilled, services=[{"kind": "container", "container": live, "runtime": runtime}])
    text = yaml.safe_load(drilled.site_file.read_text())
    text["drill"]["readable"] = [*python_homes(), *(path for path in ("/usr", "/lib", "/lib64") if Path(path).exists())]
    drilled.site_file.write_text(yaml.safe_dump(text))
    with serving(podman, runtime):
        yield
    podman.run("rm", "--force", live)


def left(podman: Podman) -> list[str]:
    """Containers of drills that are still there."""
    return podman.run("ps", "--all", "--quiet", f"--filter=label={LABEL}").split()


@needs_container
@needs_podman
@RUNTIMES
def test_a_drill_and_a_verification_in_a_container_made_as_the_live_one_is(
    drilled: Drilled, podman: Podman, runtime: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    peers, small = [Counted(address) for address in addresses()], drilled.small
    dialled = ("--dial", ",".join(peer.address for peer in peers))
    with kept_elsewhere(drilled, tmp_path) as backups, contained(drilled, podman, runtime, monkeypatch, *dialled):
        before = small.fingerprint()
        code, report = drilled.run(drilled.arm(backups=backups))
        assert code == 0, report.failure
        assert {backup.source for backup in report.backups} == {"s3", "replica"}
        assert report.drill is not None
        assert report.drill.sandbox == "container"
        assert report.drill.production_equal
        start = next(step for step in report.steps if step.title.startswith("Start"))
        assert "loopback alone" in start.evidence
        options = ("--site", str(drilled.site_file), "--state", str(small.root / "state"))
        (result,) = Shell(small, options)("verify", "--start", "--json", backups[1], code=0).json["results"]
        assert result["checks"][-1]["name"] == "Service starts with restored data"
        assert result["checks"][-1]["state"] == "ok"
        assert left(podman) == []
        assert small.fingerprint() == before
        assert [peer.calls for peer in peers] == [0] * len(peers), "no peer was called from the container"


@needs_container
@needs_podman
def test_what_a_killed_drill_left_of_its_container_is_removed_by_the_next(
    drilled: Drilled, podman: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contained(drilled, podman, "podman", monkeypatch):
        text = yaml.safe_load(drilled.site_file.read_text())
        drilled.site_file.write_text(yaml.safe_dump(text | {"soak": "60s"}))
        run = drilled.arm()
        with subprocess.Popen([sys.executable, "-m", "pacs_recover.worker", "restore", str(run)]) as process:
            soaking(run)
            process.kill()
        assert len(left(podman)) == 1, "the engine keeps it running"
        assert list(drilled.sandbox.rglob("queue.db"))
        drilled.site_file.write_text(yaml.safe_dump(text))
        code, report = drilled("config", "certs")
        assert code == 0, report.failure
        assert left(podman) == []
        assert list(drilled.sandbox.iterdir()) == []


@pytest.mark.needs("bwrap", "setpriv", "unshare", reason="a user namespace: somebody who is not root, and a sandbox")
def test_who_is_not_root_drills_too(drilled: Drilled) -> None:
    words = ["--site", str(drilled.site_file), "--state", str(drilled.small.root / "operators-state")]
    operator = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    done = subprocess.run(
        [*operator, sys.executable, "-m", "pacs_recover", *words, "drill", "--yes", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, (report["failure"], done.stderr)
    assert report["drill"]["sandbox"] == "process"


def by_name(podman: Podman) -> Path:
    """A directory in which ``podman`` is the test's own."""
    home = podman.home / "bin"
    home.mkdir(exist_ok=True)
    (home / "podman").write_text(f'#!/bin/sh\nPATH="{os.environ["PATH"]}" exec {podman.program} "$@"\n')
    (home / "podman").chmod(0o755)
    return home


class serving:
    """Docker's command line speaks to podman meanwhile."""

    def __init__(self, podman: Podman, runtime: str) -> None:
        self.podman = podman if runtime == "docker" else None
        self.service: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> None:
        self.service = self.podman.serve() if self.podman else None

    def __exit__(self, *_: object) -> None:
        if self.service:
            self.service.kill()
            self.service.wait()


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """A podman whose containers are processes of this host, as a site's are."""
    with tempfile.TemporaryDirectory(prefix="pods") as directory:
        made = Podman(Path(directory), ())
        made.make_image()
        yield made
        made.run("rm", "--all", "--force", "--time=0")


@needs_sandbox
def test_a_start_command_that_leaves_a_daemon_is_drilled_for_as_long_as_its_status_says_so(
    drilled: Drilled, tmp_path: Path
) -> None:
    words = " ".join(command(drilled))
    script = tmp_path / "control"
    script.write_text(
        f'#!/bin/sh\ncase "$1" in\nstart) {words} >/dev/null 2>&1 & echo $! >/run/bridge.pid ;;\n'
        'status) kill -0 "$(cat /run/bridge.pid)" ;;\nesac\n'
    )
    script.chmod(0o755)
    text = yaml.safe_load(drilled.site_file.read_text())
    service = text["services"][0] | {verb: [str(script), verb] for verb in ("start", "stop", "status")}
    (drilled.small.control / "running").touch()
    as_site(drilled, services=[service])
    before = drilled.small.calls()
    text = yaml.safe_load(drilled.site_file.read_text())
    text["drill"]["readable"] = python_homes()
    drilled.site_file.write_text(yaml.safe_dump(text))
    code, report = drilled("config", "certs")
    assert code == 0, report.failure
    assert drilled.small.calls() == before


def site(**changes: object) -> Site:
    """A site as its file says."""
    from pacs_recover.site.checking import check

    found, problems = check(yaml.safe_dump({"name": "x", **changes}))
    assert not problems
    return found


def test_litestream_is_never_what_a_drill_starts() -> None:
    both = [{"kind": "systemd", "unit": "litestream"}, {"kind": "systemd", "unit": "pacs_bridge"}]
    assert sandboxes.service_of(site(services=both)).name == "pacs_bridge"


@pytest.mark.parametrize(
    ("services", "why"),
    [
        ([], "the site has no service"),
        ([{"kind": "systemd", "unit": "a"}, {"kind": "systemd", "unit": "b"}], "the site has several services"),
        ([{"kind": "container", "container": "a", "runtime": "podman"}], "podman cannot be run|only root"),
    ],
)
def test_what_cannot_be_told_is_not_started(
    services: list[object], why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for program in ("bwrap", "setpriv"):
        if found := shutil.which(program):
            (tmp_path / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    import re

    chosen = sandboxes.choose(site(services=services))
    assert chosen.kind == "root"
    assert re.search(why, chosen.why)


def test_a_directory_that_was_asked_for_needs_no_reason() -> None:
    assert sandboxes.choose(site(), "root") == sandboxes.Chosen("root")


def test_the_places_of_a_live_container_are_its_drill_s() -> None:
    from pacs_recover.services.sandboxed_container import mapped

    mounts = [
        {"Source": "/srv/pacs", "Destination": "/data"},
        {"Source": "/etc/localtime", "Destination": "/etc/localtime"},
        {"Source": "/srv/pacs/etc", "Destination": "/etc/pacs_bridge"},
        {},
    ]
    live = {"queue": Path("/srv/pacs/q/queue.db"), "config": Path("/srv/pacs/etc")}
    assert mapped(mounts, live, lambda source: Path("/box") / source.relative_to("/")) == {
        Path("/data"): Path("/box/srv/pacs"),
        Path("/etc/pacs_bridge"): Path("/box/srv/pacs/etc"),
    }


def test_the_peer_is_not_part_of_the_product() -> None:
    assert "pacs_recover" not in PEER.read_text()
