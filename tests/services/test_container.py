"""Containers of a real podman, through its own command line and through docker's."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pacs_recover.errors import RecoverError
from pacs_recover.services.container import Container, judge
from pacs_recover.services.steady import steady
from tests.real_systemd import RealSystemd, needs_systemd
from tests.services.conftest import wait_until

needs_podman = pytest.mark.needs("podman", "crun", "conmon", "busybox", "tar", reason="real containers")
CONFIGURATION = """
[containers]
cgroups = "disabled"
netns = "none"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""A podman that asks nothing of a test machine's control groups and network."""
SCRIPT = """#!/bin/sh
export CONTAINERS_CONF={home}/containers.conf
exec {enter} unshare --mount sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"' sh \\
    podman --root {home}/store --runroot {home}/run --tmpdir {home}/tmp --storage-driver vfs "$@"
"""
"""Inside the namespaces of a real systemd, where all that it leaves ends; crun refuses a hybrid cgroup tree."""
FOREVER = ("/bin/busybox", "sleep", "1000")
OBEDIENT = ("/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do /bin/busybox sleep 0.1; done")


class Podman:
    """A podman with a store of its own."""

    def __init__(self, home: Path, enter: Sequence[str]) -> None:
        self.home = home
        self.program = home / "podman"
        self.socket = home / "docker.sock"
        (home / "containers.conf").write_text(CONFIGURATION)
        self.program.write_text(SCRIPT.format(home=home, enter=" ".join(enter)))
        self.program.chmod(0o755)

    def run(self, *words: str, **options: Any) -> str:
        """Run podman to its end and return what it printed."""
        argv = [str(self.program), *words]
        done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=60, **options)
        return str(done.stdout)

    def make(self, command: Sequence[str], *options: str) -> str:
        """Create a container that is not started; its name."""
        name = f"bridge_{secrets.token_hex(4)}"
        self.run("create", "--name", name, *options, "localhost/tiny", *command)
        return name

    def make_image(self) -> None:
        """An image of nothing but busybox."""
        for directory in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            (self.home / "image" / directory).mkdir(parents=True)
        busybox = shutil.which("busybox")
        assert busybox
        shutil.copy(busybox, self.home / "image/bin/busybox")
        (self.home / "image/bin/sh").symlink_to("busybox")
        subprocess.run(["tar", "-C", self.home / "image", "-cf", self.home / "image.tar", "."], check=True)
        self.run("import", "--quiet", str(self.home / "image.tar"), "localhost/tiny")

    def serve(self) -> subprocess.Popen[bytes]:
        """Answer docker's command line on the socket."""
        argv = [str(self.program), "system", "service", "--time=0", f"unix://{self.socket}"]
        service = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.socket.exists, 20)
        return service


@pytest.fixture(scope="module")
def podman(real_systemd: RealSystemd) -> Iterator[Podman]:
    """A podman with an image; short paths, for its sockets."""
    with tempfile.TemporaryDirectory(prefix="pods") as directory:
        made = Podman(Path(directory), real_systemd.enter_prefix)
        made.make_image()
        yield made
        made.run("rm", "--all", "--force", "--time=0")


@pytest.fixture(
    params=[
        pytest.param("podman", marks=[needs_systemd, needs_podman]),
        pytest.param(
            "docker", marks=[needs_systemd, needs_podman, pytest.mark.needs("docker", reason="its command line")]
        ),
    ]
)
def runtime(request: pytest.FixtureRequest, podman: Podman, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The program that a site would name: podman's, and docker's speaking to podman."""
    if request.param == "podman":
        yield str(podman.program)
        return
    monkeypatch.setenv("DOCKER_HOST", f"unix://{podman.socket}")
    service = podman.serve()
    yield "docker"
    service.kill()
    service.wait()
    podman.socket.unlink()


def test_a_container_is_started_seen_running_and_stopped(runtime: str, podman: Podman) -> None:
    container = Container(podman.make(OBEDIENT, "--env=PACS_HOST=a b=c", "--env=EMPTY="), runtime, stop_timeout=10)
    assert container.state().activity == "stopped"
    assert container.state().detail.startswith("created, exit code 0")
    container.start()
    running = container.state()
    assert running.activity == "active"
    assert running.pid
    assert running.restarts == 0
    assert running.detail == f"running, pid {running.pid}, RestartCount=0"
    environment = container.environment()
    assert environment is not None
    assert environment["PACS_HOST"] == "a b=c"
    assert environment["EMPTY"] == ""
    assert container.stop().startswith(f"{container.name} stopped: exited, exit code 0")
    assert container.state().activity == "stopped"
    assert container.state().pid is None


def test_a_container_that_ignores_the_signal_is_killed_and_counts_as_stopped(runtime: str, podman: Podman) -> None:
    container = Container(podman.make(FOREVER), runtime, stop_timeout=1)  # as PID 1, it does not hear SIGTERM
    container.start()
    assert "exit code 137" in container.stop()
    assert container.state().activity == "stopped"


def test_b14_a_container_that_came_back_by_itself_is_not_steady(runtime: str, podman: Podman) -> None:
    crashing = ("/bin/busybox", "sh", "-c", "/bin/busybox sleep 0.5; exit 3")
    container = Container(podman.make(crashing, "--restart=always"), runtime, stop_timeout=1)
    container.start()
    first = container.state()
    wait_until(lambda: "restarted by itself" in steady(first, container.state()), 20)
    container.stop()
    restarts = container.state().restarts
    time.sleep(1.5)
    assert container.state().activity in ("stopped", "failed"), "a stop is for good, whatever its restart policy"
    assert container.state().restarts == restarts


def test_b14_a_container_that_cannot_start_is_an_error_with_its_state(runtime: str, podman: Podman) -> None:
    container = Container(podman.make(("/no/such/program",)), runtime)
    with pytest.raises(RecoverError, match=r"did not start: .*; it is (created|exited|initialized)") as caught:
        container.start()
    assert f"logs --tail 50 {container.name}" in caught.value.hint


def test_a_container_that_failed_is_told_from_one_that_was_stopped(runtime: str, podman: Podman) -> None:
    container = Container(podman.make(("/bin/busybox", "false")), runtime)
    container.start()
    wait_until(lambda: container.state().activity == "failed")
    assert "exited, exit code 1" in container.state().detail
    assert "stopped: exited" in container.stop()


def test_a_container_that_a_stop_would_remove_is_not_stopped(runtime: str, podman: Podman) -> None:
    container = Container(podman.make(FOREVER, "--rm"), runtime)
    container.start()
    with pytest.raises(RecoverError, match="--rm"):
        container.stop()
    assert container.state().activity == "active"
    podman.run("rm", "--force", "--time=0", container.name)


def test_a_container_that_does_not_exist_is_absent(runtime: str) -> None:
    container = Container("no_such_bridge", runtime)
    assert container.state().activity == "absent"
    assert container.environment() is None
    assert container.stop() == "no_such_bridge is not there"
    with pytest.raises(RecoverError, match=r"did not start: .*no such container"):
        container.start()


def test_where_the_program_is_missing_the_state_is_unknown_with_the_reason() -> None:
    container = Container("bridge", "/no/such/docker")
    assert container.state().activity == "unknown"
    assert container.state().detail == "/no/such/docker cannot be run: No such file or directory"
    assert container.environment() is None
    with pytest.raises(RecoverError, match="cannot be run"):
        container.start()
    with pytest.raises(RecoverError, match="cannot be run"):
        container.stop()


@pytest.mark.needs("docker", reason="its words where no daemon runs")
def test_where_no_daemon_answers_the_state_is_unknown_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    state = Container("bridge", "docker").state()
    assert state.activity == "unknown"
    assert "docker daemon" in state.detail


@pytest.mark.parametrize(
    "output", ["", "[]", "{}", "[1]", "[{}, {}]", "nonsense", "[{}]", '[{"State": {"Status": 1}}]']
)
def test_an_answer_that_makes_no_sense_is_unknown(output: str, tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!{sys.executable}\nprint({output!r})\n")
    program.chmod(0o755)
    assert Container("bridge", str(program)).state().activity == "unknown"
    assert Container("bridge", str(program)).environment() is None


def test_a14_a_container_that_goes_on_after_the_stop_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker"
    running = '[{"State": {"Status": "running", "ExitCode": 0, "Pid": 12}, "RestartCount": 0}]'
    program.write_text(f"#!{sys.executable}\nprint({running!r})\n")  # and its stop ends with 0
    program.chmod(0o755)
    monkeypatch.setattr("pacs_recover.services.container.GRACE", 0.3)
    with pytest.raises(RecoverError, match=r"bridge did not stop within 0\.5 s; it is running, pid 12"):
        Container("bridge", str(program), stop_timeout=0.2).stop()


@pytest.mark.parametrize(
    ("state", "activity"),
    [
        ({"Status": "running", "Restarting": True, "Pid": 0}, "starting"),
        ({"Status": "restarting", "Restarting": True, "Pid": 0}, "starting"),
        ({"Status": "paused", "Pid": 12}, "unknown"),
        ({"Status": "dead", "Pid": 0}, "failed"),
        ({"Status": "exited", "ExitCode": 143, "Pid": 0}, "stopped"),
        ({"Status": "exited", "ExitCode": 1, "Pid": 0}, "failed"),
        ({"Status": "running", "Pid": 12, "Health": {"Status": "unhealthy", "Log": ["DOE^JANE"]}}, "active"),
    ],
)
def test_every_state_of_a_container_has_one_meaning(state: dict[str, Any], activity: str) -> None:
    judged = judge({"State": {"ExitCode": 0, **state}, "RestartCount": 2})
    assert judged.activity == activity
    assert judged.restarts == 2
    assert ("health unhealthy" in judged.detail) == ("Health" in state)
    assert "DOE" not in judged.detail
