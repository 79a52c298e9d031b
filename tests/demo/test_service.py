"""The stand-in service: a real process that reads what was restored, and dies where a real one would."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.demo.conftest import WAITING, Running, wait_for

RUNNING, DEAD, STOPPED = 0, 1, 3


def count(database: Path, where: str = "true") -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM message_queue WHERE {where}").fetchone()[0])


def test_it_starts_quickly_and_answers_only_the_paths_of_the_real_service(running: Running) -> None:
    assert running.health() == 0
    running.call("start")
    assert wait_for(lambda: running.health() == 200, 10) < 5
    assert [running.health(path) for path in ("live", "ready", "deep", "", "other")] == [200, 200, 200, 404, 404]


def test_it_listens_on_loopback_only(running: Running) -> None:
    running.start_and_wait()
    port = int(running.site.health_url.split(":")[2].split("/")[0])
    sockets = [line.split() for name in ("tcp", "tcp6") for line in _proc_net(name)]
    listening = [fields[1] for fields in sockets if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]


def _proc_net(name: str) -> list[str]:
    path = Path("/proc/net") / name
    return path.read_text().splitlines()[1:] if path.exists() else []


def test_its_states_have_the_codes_of_an_init_script(running: Running) -> None:
    assert running.call("status").returncode == STOPPED
    running.start_and_wait()
    assert running.call("status").returncode == RUNNING
    os.kill(running.pid(), signal.SIGKILL)
    wait_for(lambda: running.call("status").returncode == DEAD, 5)
    assert running.call("stop").returncode == 0
    assert running.call("status").returncode == STOPPED


def test_rows_arrive_and_leave_while_it_runs(running: Running) -> None:
    running.config.write_text(running.config.read_text().replace("deliver_every: 2.0", "deliver_every: 0.05"))
    before = count(running.database)
    highest = _highest_id(running.database)
    running.start_and_wait()
    time.sleep(1.2)
    running.call("stop")
    assert count(running.database, f"id > '{highest}'") >= 2
    assert count(running.database) < before


def _highest_id(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT max(id) FROM message_queue").fetchone()[0])


def test_what_a_worker_had_in_hand_is_pending_again_after_the_start(running: Running) -> None:
    assert count(running.database, "state = 1") > 0
    running.start_and_wait()
    running.call("stop")
    assert count(running.database, "state = 1") == 0


def test_while_it_runs_there_is_a_wal_and_after_a_stop_there_is_none(running: Running) -> None:
    running.start_and_wait()
    wait_for(lambda: Path(f"{running.database}-wal").stat().st_size > 0, 5)
    assert running.call("stop").returncode == 0
    assert os.listdir(running.database.parent) == ["queue.db"]


def test_rows_of_a_killed_service_are_in_its_wal_and_the_next_start_finds_them(running: Running) -> None:
    running.start_and_wait()
    time.sleep(0.6)
    os.kill(running.pid(), signal.SIGKILL)
    wait_for(lambda: running.call("status").returncode == DEAD, 5)
    alone = shutil.copy(running.database, running.live / "alone.db")
    assert count(Path(alone)) == WAITING
    running.start_and_wait()
    running.call("stop")
    assert count(running.database) > WAITING


def test_what_is_past_its_time_to_live_becomes_a_dead_letter(running: Running) -> None:
    from datetime import UTC, datetime, timedelta

    from pacs_recover.demo.bridge import Queue

    queue = Queue(running.database)
    before = queue.database.execute("SELECT count(*) FROM dead_letter_queue").fetchone()[0]
    queue.expire(datetime.now(UTC) - timedelta(hours=10))
    after = queue.database.execute("SELECT count(*) FROM dead_letter_queue").fetchone()[0]
    assert after - before == WAITING - queue.depth() > 0
    queue.close()


def test_a_second_start_leaves_the_first_alone(running: Running) -> None:
    running.start_and_wait()
    pid = running.pid()
    assert running.call("start").returncode == 0
    assert running.pid() == pid
    refused = running.call("run")
    assert (refused.returncode, refused.stderr) == (1, "pacs_bridge: already running\n")


def test_many_starts_and_looks_at_once_make_one_process(running: Running) -> None:
    threads = [threading.Thread(target=running.call, args=(verb,)) for verb in ("start", "status") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: running.health() == 200, 10)
    own = [
        pid for pid in filter(str.isdigit, os.listdir("/proc")) if _command(pid)[-4:-2] == ["--root", str(running.live)]
    ]
    assert own == [str(running.pid())]


def _command(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().strip("\0").split("\0")
    except OSError:
        return []


def test_a_stale_pid_file_with_the_number_of_a_stranger_harms_nobody(running: Running) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        (running.live / "run").mkdir()
        (running.live / "run/pacs_bridge.pid").write_text(f"{stranger.pid}\n")
        assert running.call("status").returncode == DEAD
        assert running.call("stop").returncode == 0
        running.start_and_wait()
        assert running.pid() != stranger.pid
        assert stranger.poll() is None
        stranger.kill()


def test_start_succeeds_even_where_the_process_then_dies(running: Running) -> None:
    running.config.write_text("hl7: [")
    assert running.call("start").returncode == 0
    wait_for(lambda: running.call("status").returncode == DEAD, 5)
    assert "config.yaml is no YAML" in running.call("status").stdout


def _replace(old: str, new: str) -> Callable[[Running], object]:
    return lambda site: site.config.write_text(site.config.read_text().replace(old, new))


def _foreign_key(site: Running) -> None:
    shutil.copy(site.certs / "client.key", site.certs / "server.key")


def _damage(site: Running) -> None:
    with site.database.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * 200_000)


def _no_database(site: Running) -> None:
    site.database.write_bytes(b"this is no database at all, whatever its name says" * 100)


BROKEN: dict[str, tuple[Callable[[Running], object], str]] = {
    "no config": (lambda site: site.config.unlink(), "config.yaml cannot be read"),
    "empty config": (lambda site: site.config.write_text(""), "holds no settings"),
    "bad yaml": (lambda site: site.config.write_text("a: b: c"), "is no YAML, line 1"),
    "bad bytes": (lambda site: site.config.write_bytes(b"\xff\xfe\xff"), "is no YAML"),
    "a section is missing": (_replace("\nqueue:", "\nqueues:"), "no usable queue"),
    "a section is a list": (_replace("\nhl7:\n  listener:", "\nhl7: []\nother:\n  listener:"), "no usable value"),
    "port": (_replace("port: ${PACS_BRIDGE_PORT:-2576}", "port: 70000"), "not between 1 and 65535"),
    "unclosed variable": (_replace("${PACS_HOST}", "${PACS_HOST"), "not closed"),
    "time to live": (_replace("message_ttl: 48h", "message_ttl: soon"), "message_ttl"),
    "no include": (
        lambda site: (site.config.parent / "mapping/stations.yaml").unlink(),
        "stations.yaml cannot be read",
    ),
    "no key": (lambda site: (site.certs / "server.key").unlink(), "server.crt and server.key"),
    "foreign key": (_foreign_key, "KEY_VALUES_MISMATCH"),
    "broken certificate": (lambda site: (site.certs / "server.crt").write_text("none"), "server.crt"),
    "no CA": (lambda site: (site.certs / "ca.crt").unlink(), "ca.crt"),
    "damaged queue": (_damage, "the queue database is damaged"),
    "no database": (_no_database, "not a database"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_it_refuses_to_run_on_what_is_broken_with_one_line(running: Running, name: str) -> None:
    break_it, message = BROKEN[name]
    break_it(running)
    result = running.call("run")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert result.stdout == ""
    assert "SYNTHETIC" not in result.stderr


def test_a_variable_without_a_value_is_named(running: Running) -> None:
    del running.environment["RIS_PRIMARY_HOST"]
    assert running.call("run").stderr == "pacs_bridge: environment variable 'RIS_PRIMARY_HOST' is not set\n"


def test_a_variable_with_a_value_wins_over_its_default(running: Running) -> None:
    elsewhere = running.live / "elsewhere.db"
    shutil.copy(running.database, elsewhere)
    running.environment["PACS_BRIDGE_QUEUE_DB"] = str(elsewhere)
    running.start_and_wait()
    assert Path(f"{elsewhere}-wal").exists()


def test_a_health_port_in_use_is_a_refusal(running: Running) -> None:
    running.start_and_wait()
    second = running.live / "second"
    shutil.copytree(running.live / "etc", second / "etc")
    command = [*running.site.start[:-3], "run", "--root", str(second)]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=30,
        env={**running.environment, "PACS_BRIDGE_QUEUE_DB": str(second / "queue.db")},
    )
    assert result.returncode == 1
    assert "health port" in result.stderr


def test_the_configuration_that_fails_in_the_soak_starts_answers_and_then_dies(running: Running) -> None:
    name = running.site.fails_in_soak.replace("/", "/config_").replace("@local", ".tar.gz")
    with tarfile.open(running.site.directory / "backups" / name) as archive:
        member = archive.extractfile("pacs_bridge/config.yaml")
        assert member is not None
        running.config.write_bytes(member.read())
    running.start_and_wait()
    answered = time.monotonic()
    wait_for(lambda: running.call("status").returncode == DEAD, 5)
    assert time.monotonic() - answered < 2, "it must die within the soak"
    assert "demo.fail_after" in running.call("status").stdout
    assert Path(f"{running.database}-wal").stat().st_size > 0, "it ended as a crash does"
    assert count(running.database) > WAITING


def test_it_logs_what_it_did_without_any_payload(running: Running) -> None:
    running.start_and_wait()
    running.call("stop")
    text = (running.live / "var/log/pacs_bridge/bridge.log").read_text()
    assert '"message": "started"' in text
    assert '"message": "stopped"' in text
    assert "SYNTHETIC" not in text
    assert (running.live / "run/pacs_bridge.out").read_text() == ""


def test_it_stops_for_ctrl_c_in_the_foreground(running: Running) -> None:
    command = [*running.site.start[:-3], "run", *running.site.start[-2:]]
    with subprocess.Popen(command, env=running.environment, stderr=subprocess.PIPE) as process:
        wait_for(lambda: running.health() == 200, 10)
        assert running.call("status").returncode == RUNNING
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert running.call("status").returncode == STOPPED


def test_it_imports_no_more_than_the_standard_library_and_yaml() -> None:
    program = "import sys, pacs_recover.demo.bridge; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.split())
    foreign = {"cryptography", "click", "msgspec", "textual", "boto3", "humanize", "isal"}
    assert "yaml" in loaded
    assert not loaded & foreign


def test_it_takes_no_module_from_the_directory_it_is_run_in(running: Running, tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('planted')")
    (tmp_path / "pacs_recover").mkdir()
    result = subprocess.run(running.site.status, capture_output=True, cwd=tmp_path, env=running.environment)
    assert result.returncode == STOPPED
