"""Units of a real systemd: what they show, and that starts and stops are believed only when seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pacs_recover.errors import RecoverError
from pacs_recover.services.steady import steady
from pacs_recover.services.systemd import Systemd, judge
from tests.real_systemd import RealSystemd, needs_systemd
from tests.services.conftest import MakeUnit, wait_until

FOREVER = "ExecStart=/bin/sleep 1000"
CRASHING = "ExecStart=/bin/false\nRestart=on-failure\nRestartSec=1"
SHOWN = {
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "NRestarts": "0",
    "MainPID": "12",
    "LoadState": "loaded",
    "ExecMainStatus": "0",
    "TriggeredBy": "",
}


@needs_systemd
def test_a_unit_is_started_seen_running_and_stopped(make_unit: MakeUnit) -> None:
    unit = make_unit(FOREVER)
    assert unit.state().activity == "stopped"
    assert "inactive/dead" in unit.state().detail
    evidence = unit.start()
    running = unit.state()
    assert running.activity == "active"
    assert running.restarts == 0
    assert running.pid
    assert evidence == f"{unit.name} started: active/running, pid {running.pid}, NRestarts=0"
    assert unit.stop() == f"{unit.name} stopped: inactive/dead, NRestarts=0"
    assert unit.state().activity == "stopped"
    assert unit.state().pid is None


@needs_systemd
def test_b14_a_crash_loop_is_seen_though_the_start_succeeds(make_unit: MakeUnit) -> None:
    unit = make_unit(CRASHING)
    unit.start()  # systemctl returns 0
    first = unit.state()
    wait_until(lambda: unit.state().activity == "starting")
    assert "activating/auto-restart" in unit.state().detail
    assert "Result=exit-code, exit status 1" in unit.state().detail
    assert "activating/auto-restart" in steady(first, unit.state())
    wait_until(lambda: (unit.state().restarts or 0) > (first.restarts or 0))


@needs_systemd
def test_b14_a_service_that_came_back_by_itself_is_not_steady(make_unit: MakeUnit, real_systemd: RealSystemd) -> None:
    unit = make_unit(f"{FOREVER}\nRestart=always\nRestartSec=0")
    unit.start()
    first = unit.state()
    assert steady(first, unit.state()) == ""
    real_systemd.run(["systemctl", "kill", "--signal=KILL", unit.name], check=True)
    wait_until(lambda: unit.state().activity == "active" and unit.state().pid != first.pid)
    assert steady(first, unit.state()) == "restarted by itself once since the start"


@needs_systemd
def test_a_unit_that_waits_for_its_restart_is_stopped_for_good(make_unit: MakeUnit) -> None:
    unit = make_unit(CRASHING)
    unit.start()
    wait_until(lambda: "auto-restart" in unit.state().detail)
    unit.stop()
    restarts = unit.state().restarts
    time.sleep(1.5)  # longer than RestartSec
    assert unit.state().activity in ("stopped", "failed")
    assert unit.state().restarts == restarts


@needs_systemd
def test_a_unit_that_failed_too_often_is_started_all_the_same(make_unit: MakeUnit, tmp_path: Path) -> None:
    good = tmp_path / "good"
    limit = "StartLimitIntervalSec=1000\nStartLimitBurst=2"
    unit = make_unit(
        f"ExecStart=/bin/sh -c 'test -e {good} && exec sleep 1000'\nRestart=on-failure\nRestartSec=10ms", limit
    )
    unit.start()
    wait_until(lambda: unit.state().activity == "failed")
    refused = subprocess.run([*unit.prefix, "systemctl", "start", unit.name], capture_output=True, text=True)
    assert refused.returncode != 0  # start-limit-hit, as an operator meets it
    good.touch()
    unit.start()
    time.sleep(0.2)
    assert unit.state().activity == "active"


@needs_systemd
def test_b14_a_start_that_systemd_refuses_is_an_error_with_the_last_state(make_unit: MakeUnit) -> None:
    unit = make_unit("Type=exec\nExecStart=/no/such/program")
    with pytest.raises(RecoverError) as caught:
        unit.start()
    assert unit.name in caught.value.message
    assert "did not start" in caught.value.message
    assert "failed/failed" in caught.value.message
    assert "exit status 203" in caught.value.message
    assert caught.value.hint == f"see why: journalctl -u {unit.name}"


@needs_systemd
def test_a_start_that_does_not_end_in_time_is_an_error(make_unit: MakeUnit) -> None:
    unit = make_unit("Type=notify\nExecStart=/bin/sleep 1000")
    unit.start_timeout = 0.5
    with pytest.raises(RecoverError, match=r"did not end within 0\.5 s; it is activating/start"):
        unit.start()
    unit.stop()
    assert unit.state().activity in ("stopped", "failed")


@needs_systemd
def test_a14_a_service_that_goes_on_after_the_stop_is_an_error(make_unit: MakeUnit) -> None:
    deaf = "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'\nTimeoutStopSec=1000"
    unit = make_unit(deaf, stop_timeout=1)
    unit.start()
    time.sleep(0.3)  # until the shell ignores the signal
    began = time.monotonic()
    with pytest.raises(
        RecoverError, match=r"did not stop within 1\.0 s; it is deactivating/stop-sigterm, pid \d+"
    ) as e:
        unit.stop()
    assert time.monotonic() - began < 5
    assert "TimeoutStopSec" in e.value.hint
    assert unit.state().activity == "starting"


@needs_systemd
def test_a_service_that_systemd_had_to_kill_is_stopped(make_unit: MakeUnit) -> None:
    unit = make_unit(
        "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'\nTimeoutStopSec=500ms", stop_timeout=10
    )
    unit.start()
    time.sleep(0.3)
    assert "failed/failed" in unit.stop()
    assert unit.state().pid is None


@needs_systemd
def test_a_unit_that_is_not_installed_is_absent(real_systemd: RealSystemd) -> None:
    unit = Systemd("pacs_bridge_never_installed", prefix=real_systemd.enter_prefix)
    assert unit.state().activity == "absent"
    assert unit.state().detail.startswith("not-found")
    assert unit.stop() == "pacs_bridge_never_installed is not installed"
    with pytest.raises(RecoverError, match="not-found") as caught:
        unit.start()
    assert "install" in caught.value.hint
    assert unit.environment() is None


@needs_systemd
def test_a_masked_unit_is_absent_and_says_so(real_systemd: RealSystemd) -> None:
    real_systemd.run(["systemctl", "mask", "pacs_bridge_masked.service"], check=True)
    unit = Systemd("pacs_bridge_masked", prefix=real_systemd.enter_prefix)
    assert unit.state().activity == "absent"
    assert unit.state().detail.startswith("masked")
    with pytest.raises(RecoverError, match="masked") as caught:
        unit.start()
    assert caught.value.hint == "systemctl unmask pacs_bridge_masked"


@needs_systemd
def test_a_unit_that_runs_without_its_file_still_counts_as_running(
    make_unit: MakeUnit, real_systemd: RealSystemd
) -> None:
    unit = make_unit(FOREVER)
    unit.start()
    (real_systemd.units / f"{unit.name}.service").unlink()
    real_systemd.run(["systemctl", "mask", "--runtime", f"{unit.name}.service"], check=True)
    assert unit.state().activity == "active"
    assert unit.state().detail.startswith("masked, active/running")
    unit.stop()
    assert unit.state().activity == "absent"
    real_systemd.run(["systemctl", "unmask", "--runtime", f"{unit.name}.service"], check=True)


@needs_systemd
def test_a_damaged_unit_file_is_not_mistaken_for_a_stopped_service(make_unit: MakeUnit) -> None:
    unit = make_unit("Type=simple")  # no ExecStart=
    assert unit.state().activity == "unknown"
    assert unit.state().detail.startswith("bad-setting")


@needs_systemd
def test_what_could_wake_a_stopped_unit_is_named(make_unit: MakeUnit, real_systemd: RealSystemd) -> None:
    unit = make_unit(FOREVER)
    real_systemd.install_unit(f"{unit.name}.path", f"[Path]\nPathExists=/no/such\nUnit={unit.name}.service\n")
    real_systemd.run(["systemctl", "start", f"{unit.name}.path"], check=True)
    assert f"triggered by {unit.name}.path" in unit.state().detail
    real_systemd.remove_unit(f"{unit.name}.path")


@needs_systemd
def test_nothing_that_a_service_prints_reaches_our_words(make_unit: MakeUnit) -> None:
    unit = make_unit("Type=oneshot\nExecStart=/bin/sh -c 'echo DOE^JANE; echo DOE^JANE >&2; exit 1'")
    with pytest.raises(RecoverError) as caught:
        unit.start()
    assert "DOE" not in caught.value.message + caught.value.hint + unit.state().detail


@pytest.mark.needs("systemctl", reason="asks it where no systemd runs")
@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="a systemd runs here")
def test_where_no_systemd_runs_the_state_is_unknown_with_the_reason() -> None:
    unit = Systemd("pacs_bridge", stop_timeout=0.2)
    assert unit.state().activity == "unknown"
    assert "System has not been booted with systemd" in unit.state().detail
    assert unit.environment() is None
    with pytest.raises(RecoverError, match="did not start"):
        unit.start()
    with pytest.raises(RecoverError, match="did not stop"):
        unit.stop()


def test_where_systemctl_is_missing_the_state_is_unknown_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    unit = Systemd("pacs_bridge")
    assert unit.state().activity == "unknown"
    assert unit.state().detail == "systemctl cannot be run: No such file or directory"
    with pytest.raises(RecoverError, match="cannot be run"):
        unit.start()
    with pytest.raises(RecoverError, match="cannot be run"):
        unit.stop()


def test_a_systemctl_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f"#!{shutil.which('sh')}\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("pacs_recover.services.systemd.LOOK", 0.3)
    began = time.monotonic()
    assert Systemd("pacs_bridge").state().detail == "systemctl did not end within 0.3 s"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("changes", "activity"),
    [
        ({}, "active"),
        ({"SubState": "exited", "MainPID": "0"}, "active"),
        ({"ActiveState": "reloading", "SubState": "reload"}, "starting"),
        ({"ActiveState": "activating", "SubState": "auto-restart", "MainPID": "0"}, "starting"),
        ({"ActiveState": "deactivating", "SubState": "stop-sigterm"}, "starting"),
        ({"ActiveState": "maintenance"}, "unknown"),
        ({"ActiveState": "failed", "SubState": "failed", "MainPID": "0"}, "failed"),
        ({"ActiveState": "inactive", "LoadState": "not-found", "MainPID": "0"}, "absent"),
        ({"ActiveState": "inactive", "LoadState": "error", "MainPID": "0"}, "unknown"),
        ({"ActiveState": "inactive", "NRestarts": "", "MainPID": ""}, "stopped"),
    ],
)
def test_every_state_of_systemd_has_one_meaning(changes: dict[str, str], activity: str) -> None:
    assert judge(SHOWN | changes).activity == activity
