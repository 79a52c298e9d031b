"""Nothing is started unless the sandbox is seen to be shut: what lets it look open, and what a shut one holds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pacs_recover.errors import RecoverError
from pacs_recover.services import sandboxed
from pacs_recover.services.bubblewrap import Box
from pacs_recover.services.inside import Inside
from pacs_recover.services.isolation import NotIsolated, must_be_isolated
from pacs_recover.services.prober import AskPort
from pacs_recover.services.sandboxed import Process

needs_sandbox = pytest.mark.needs("bwrap", "setpriv", reason="a real sandbox")
SLEEP = ("/bin/sleep", "60")


def box(tmp_path: Path, **changes: object) -> Box:
    """A sandbox with one copy."""
    copy = tmp_path / "copy"
    copy.mkdir(exist_ok=True)
    fields: dict[str, object] = {
        "name": "bridge",
        "argv": SLEEP,
        "environment": {},
        "copies": {Path("/etc/pacs_bridge"): copy},
        "hidden": (),
    }
    return Box(**(fields | changes))  # type: ignore[arg-type]


def test_a_process_of_the_host_is_not_isolated() -> None:
    with pytest.raises(NotIsolated, match="shares its net, mnt, pid, ipc namespace"):
        must_be_isolated(os.getpid(), {}, ())


@needs_sandbox
@pytest.mark.parametrize("shared", ["--unshare-net", "--unshare-pid", "--unshare-ipc"])
def test_a_sandbox_that_lacks_a_wall_starts_nothing(
    tmp_path: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sandboxed.bubblewrap
    monkeypatch.setattr(sandboxed, "bubblewrap", lambda box: [word for word in made(box) if word != shared])
    started = tmp_path / "copy/started"
    process = Process(box(tmp_path, argv=("/bin/sh", "-c", "touch /etc/pacs_bridge/started; sleep 60")))
    with pytest.raises(NotIsolated, match="namespace with the host"):
        process.start()
    time.sleep(0.3)
    assert not started.exists(), "the program never ran"
    assert process.state().activity == "stopped"


@needs_sandbox
def test_a_sandbox_that_would_show_a_live_file_starts_nothing(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    process = Process(box(tmp_path, readable=(live,), hidden=(live / "key",)))
    (live / "key").write_text("secret")
    process.start()  # it is masked
    process.close()
    process = Process(box(tmp_path, readable=(live,), hidden=(live,)))
    process.start()
    process.close()
    with pytest.raises(NotIsolated, match="sees the live"):
        must_see_live(tmp_path, live)


def must_see_live(tmp_path: Path, live: Path) -> None:
    """What is looked for, with the mask taken away."""
    process = Process(box(tmp_path, readable=(live,)))
    process.start()
    try:
        must_be_isolated(process.state().pid or 0, process.box.copies, (live / "key",))
    finally:
        process.close()


@needs_sandbox
def test_the_host_cannot_be_reached_nor_written_and_the_owner_runs_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        tries = (
            "exec 2>&1; id -u; echo $HOME; ls /root /home /var/lib; touch /usr/x; touch /etc/passwd;"
            f" (echo >/dev/tcp/127.0.0.1/{port}) && echo REACHED;"
            " cat /proc/net/dev | tail -n +3 | cut -d: -f1; ps -e -o comm="
        )
        (tmp_path / "copy").mkdir()
        os.chmod(tmp_path / "copy", 0o777)
        script = ("/bin/bash", "-c", f"({tries}) >/etc/pacs_bridge/said; touch /etc/pacs_bridge/done; sleep 60")
        user = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        process = Process(box(tmp_path, argv=script, user=user, environment={"HOME": "a b"}))
        process.start()
        end = time.monotonic() + 20
        while not (tmp_path / "copy/done").exists():
            assert time.monotonic() < end, process.state()
            time.sleep(0.05)
        assert process.inside().ask(AskPort(port, 2.0)).problem, "nor by the prober"
        assert process.stop().startswith("bridge ended")
        outside.settimeout(0.2)
        with pytest.raises(TimeoutError):
            outside.accept()
    said = (tmp_path / "copy/said").read_text()
    assert said.startswith(f"{user[0]}\na b\n")
    assert "REACHED" not in said
    assert said.count("No such file") >= 3
    assert said.count("Read-only file system") + said.count("Permission denied") >= 2
    assert [line.strip() for line in said.splitlines()].count("lo") == 1
    assert len(said.split("\n")) < 20, "no process of the host is seen"
    assert not Path("/usr/x").exists()


@needs_sandbox
def test_what_cannot_be_built_is_an_error_and_what_ends_is_failed(tmp_path: Path) -> None:
    with pytest.raises(RecoverError, match="could not"):
        Process(box(tmp_path, copies={Path("/etc/pacs_bridge"): tmp_path / "missing"})).start()
    process = Process(box(tmp_path, argv=("/bin/sh", "-c", "exit 7")))
    process.start()
    end = time.monotonic() + 10
    while process.state().activity == "active" and time.monotonic() < end:
        time.sleep(0.02)
    assert process.state().activity == "failed"
    assert "exit 7" in process.state().detail
    with pytest.raises(RecoverError, match="exit 7"):
        process.inside()
    process.close()


@needs_sandbox
def test_what_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    stubborn = (sys.executable, "-c", "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(60)")
    homes = tuple(Path(p) for p in {sys.prefix, sys.base_prefix} if not Path(p).is_relative_to("/usr"))
    process = Process(box(tmp_path, argv=stubborn, readable=homes, stop_timeout=0.5))
    process.start()
    time.sleep(0.5)
    assert "killed after 0.5 s" in process.stop()
    assert process.state().activity == "stopped"


def test_a_prober_that_hangs_or_ends_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacs_recover.services.inside.MARGIN", 0.2)
    for argv in (["sleep", "60"], ["true"], ["echo", "nonsense"]):
        inside = Inside(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        began = time.monotonic()
        with pytest.raises(RecoverError, match="without an answer"):
            inside.ask(AskPort(1, 0.2))
        assert time.monotonic() - began < 3
        inside.close()


def test_where_bubblewrap_is_missing_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sandboxed.missing() == "bwrap is not installed (package bubblewrap)"
