"""Services behind commands, tried with a small real daemon."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_recover.errors import RecoverError
from pacs_recover.services.command import Command

DAEMON = """#!/bin/sh
# start [deaf]|stop|status: a daemon that keeps the output it inherits
pid=$(cat {pid} 2>/dev/null)
alive() {{ [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }}
case $1 in
start) alive && exit 0
    if [ "$2" = deaf ]; then sh -c 'trap "" TERM; echo $$ > {pid}; while :; do sleep 0.05; done' &
    else sh -c 'echo $$ > {pid}; exec sleep 1000' & fi
    env > {environment}
    while [ ! -s {pid} ]; do sleep 0.01; done ;;
stop) alive || exit 0; kill "$pid"; exit 0 ;;
status) alive && exit 0; [ -n "$pid" ] && exit 1; exit 3 ;;
esac
"""


class Daemon:
    """The script and what it leaves."""

    def __init__(self, directory: Path) -> None:
        self.script, self.pid, self.environment = (directory / name for name in ("daemon", "pid", "environment"))
        self.script.write_text(DAEMON.format(pid=self.pid, environment=self.environment))
        self.script.chmod(0o755)

    def command(self, *start: str, environment: dict[str, str] | None = None) -> Command:
        script = str(self.script)
        return Command(
            "bridge", [script, "start", *start], [script, "stop"], [script, "status"], environment, stop_timeout=5
        )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path)
    yield made
    if made.pid.is_file():
        try:
            os.kill(int(made.pid.read_text()), 9)
        except ProcessLookupError:
            return


def exits(code: int) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"import sys; print('DOE^JANE'); print('DOE^JANE', file=sys.stderr); sys.exit({code})",
    ]


def test_a_service_is_started_seen_and_stopped(daemon: Daemon) -> None:
    service = daemon.command()
    assert service.state().activity == "stopped"
    assert service.start() == "bridge started: running (status command: exit 0)"
    assert service.state().activity == "active"
    assert service.stop().startswith("bridge stopped: dead, its PID file is left")
    assert service.state().activity == "failed"


def test_a14_a_service_that_goes_on_after_the_stop_is_an_error(daemon: Daemon) -> None:
    service = daemon.command("deaf")
    service.start()
    service.stop_timeout = 0.5
    with pytest.raises(RecoverError, match=r"bridge did not stop: not within 0\.5 s; it is running") as caught:
        service.stop()
    assert f"{daemon.script} stop" in caught.value.hint


def test_b14_a_start_command_that_fails_is_an_error_without_what_it_printed() -> None:
    service = Command("bridge", exits(5), exits(0), exits(3))
    with pytest.raises(RecoverError, match=r"bridge did not start: exit 5 .*; it is not running") as caught:
        service.start()
    assert "run it by hand" in caught.value.hint
    assert "DOE" not in caught.value.message


def test_a_start_command_that_never_returns_is_an_error() -> None:
    service = Command("bridge", [sys.executable, "-c", "import time; time.sleep(1000)"], exits(0), exits(3))
    service.start_timeout = 0.5
    began = time.monotonic()
    with pytest.raises(RecoverError, match=r"the start command .* did not end within 0\.5 s") as caught:
        service.start()
    assert time.monotonic() - began < 10
    assert "must end by itself" in caught.value.hint


def test_a_stop_command_that_fails_counts_only_while_the_service_runs() -> None:
    assert "stopped" in Command("bridge", exits(0), exits(1), exits(3)).stop()
    with pytest.raises(RecoverError, match="did not stop: exit 1"):
        Command("bridge", exits(0), exits(1), exits(0)).stop()


def test_without_a_status_command_the_state_is_unknown_and_the_exit_codes_count() -> None:
    service = Command("bridge", exits(0), exits(0))
    assert service.state().activity == "unknown"
    assert service.state().detail == "the site names no status command"
    assert "started" in service.start()
    assert service.stop() == "bridge: the stop command succeeded; the site names no status command"
    with pytest.raises(RecoverError, match="did not stop: exit 2"):
        Command("bridge", exits(0), exits(2)).stop()


@pytest.mark.parametrize(
    ("code", "activity"),
    [(0, "active"), (1, "failed"), (2, "failed"), (3, "stopped"), (4, "unknown"), (150, "unknown")],
)
def test_status_codes_mean_what_the_standard_says(code: int, activity: str) -> None:
    state = Command("bridge", exits(0), exits(0), exits(code)).state()
    assert state.activity == activity
    assert f"exit {code}" in state.detail
    assert "DOE" not in state.detail


def test_a_status_command_that_cannot_be_run_makes_the_state_unknown() -> None:
    state = Command("bridge", exits(0), exits(0), ["/no/such/program"]).state()
    assert state.activity == "unknown"
    assert state.detail == "status command: /no/such/program cannot be run: No such file or directory"


def test_a_service_gets_its_declared_variables_and_none_of_an_operators_secrets(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    service = daemon.command(environment={"PACS_HOST": "pacs.example", "LANG": "C"})
    service.start()
    got = dict(line.split("=", 1) for line in daemon.environment.read_text().splitlines())
    assert got["PACS_HOST"] == "pacs.example"
    assert got["LANG"] == "C"
    assert got["PATH"] == os.environ["PATH"]
    assert "AWS_SECRET_ACCESS_KEY" not in got


def test_the_environment_is_what_the_site_declares() -> None:
    assert Command("bridge", exits(0), exits(0)).environment() is None
    assert Command("bridge", exits(0), exits(0), environment={"A": "1"}).environment() == {"A": "1"}
