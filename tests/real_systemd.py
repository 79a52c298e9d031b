"""A real systemd for tests: PID 1 of mount, pid, uts and ipc namespaces of its own, gone with the test session.

In a ``conftest.py`` beside the tests that want it::

    from tests.real_systemd import real_systemd  # noqa: F401 - a fixture

and in a test::

    @needs_systemd
    def test_a_unit_is_restored(real_systemd: RealSystemd, tmp_path: Path) -> None:
        real_systemd.install_unit("pacs_bridge.service", "[Service]\\nExecStart=/bin/sleep 1000\\n")
        real_systemd.run(["systemctl", "start", "pacs_bridge"], check=True)
        subprocess.Popen([*real_systemd.enter_prefix, sys.executable, "-m", "pacs_recover.worker", ...], cwd="/")

What runs inside sees the files of this machine (``tmp_path`` too, at the same paths), but a /run, an /etc/systemd and
a process table of its own. Only the units that a test installs exist there, so ``DefaultDependencies=no`` is not
needed; there is no D-Bus and no journal (root's ``systemctl`` and ``systemd-run --scope`` need none). The working
directory inside is ``/``: name files and the package absolutely (``PYTHONPATH``). A program that leaves a daemon behind
must not hold a pipe of ours. Units outlive a test (the fixture lives as long as the session): give each test's a name
of its own, or call ``remove_unit``.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

SYSTEMD = "/lib/systemd/systemd"
needs_systemd = pytest.mark.needs(
    "root", "unshare", "nsenter", "setpriv", "systemctl", SYSTEMD, reason="a real systemd in namespaces of its own"
)

BOOT = f"""
set -e
for group in "$@"; do echo 0 > "$group/cgroup.procs"; done
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /etc/systemd
mkdir -p /etc/systemd/system /run/systemd/system
for target in sysinit basic shutdown tests; do
    printf '[Unit]\\nDefaultDependencies=no\\n' > /etc/systemd/system/$target.target
done
exec env -i container=tests PATH="$PATH" \\
    SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/run/systemd/transient \\
    {SYSTEMD} --system --unit=tests.target --log-target=console --log-level=notice --show-status=no
"""
"""``container`` keeps systemd's hands off this machine's clock, kernel settings and terminals."""


class NotPossible(Exception):
    """This machine lets nobody start a systemd of its own; the text says why."""


class RealSystemd:
    """A running systemd; ``pid`` is its number outside."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.enter_prefix = ("nsenter", f"--target={pid}", "--mount", "--pid", "--uts", "--ipc", "--")
        """Put before any program, it runs that program inside."""
        self.units = Path(f"/proc/{pid}/root/etc/systemd/system")

    def run(self, argv: Sequence[str], timeout: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end and return what it printed; ``options`` are those of ``subprocess.run``."""
        settings: dict[str, Any] = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, **options}
        return subprocess.run([*self.enter_prefix, *argv], timeout=timeout, **settings)

    def install_unit(self, name: str, text: str) -> None:
        """Write a unit file (``name`` with its suffix) and have systemd read it."""
        (self.units / name).write_text(text)
        self.run(["systemctl", "daemon-reload"], check=True)

    def remove_unit(self, name: str) -> None:
        """Kill, stop and forget a unit, whatever state a test left it in."""
        self.run(["systemctl", "kill", "--signal=KILL", "--", name])
        self.run(["systemctl", "stop", "--", name])
        self.run(["systemctl", "reset-failed", "--", name])
        (self.units / name).unlink(missing_ok=True)
        self.run(["systemctl", "daemon-reload"], check=True)


@pytest.fixture(scope="session")
def real_systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSystemd]:
    """One systemd for the whole session (with ``pytest -n``: for each worker)."""
    try:
        with booted(tmp_path_factory.mktemp("systemd") / "log") as systemd:
            yield systemd
    except NotPossible as error:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(f"REQUIRE_ALL=1 and no systemd of our own: {error}", pytrace=False)
        pytest.skip(f"no systemd of our own: {error}")


@contextmanager
def booted(log: Path) -> Iterator[RealSystemd]:
    """A systemd that is up, and at the end killed with all that ran in it. NotPossible."""
    groups = _make_groups(f"pacs-recover-tests-{os.getpid()}-{secrets.token_hex(4)}")
    process: subprocess.Popen[bytes] | None = None
    try:
        process = _spawn(groups, log)
        pid = _wait_for(lambda: _child(process.pid), process, log)
        systemd = RealSystemd(pid)
        _wait_for(lambda: "active" in systemd.run(["systemctl", "is-active", "tests.target"]).stdout, process, log)
        yield systemd
    finally:
        if process is not None:
            process.kill()  # --kill-child takes PID 1 of the namespace along, and that everything in it
            process.wait()
        _remove_groups(groups)


def _spawn(groups: Sequence[Path], log: Path) -> subprocess.Popen[bytes]:
    namespaces = ["--mount", "--pid", "--uts", "--ipc", "--mount-proc"]
    argv = ["unshare", *namespaces, "--fork", "--kill-child=KILL", "sh", "-c", BOOT, "boot", *map(str, groups)]
    with log.open("wb") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "--", *argv],  # so that it does not outlive a killed pytest either
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _wait_for(condition: Any, process: subprocess.Popen[bytes], log: Path) -> Any:
    deadline = time.monotonic() + 20
    while not (result := condition()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotPossible(log.read_text(errors="replace").strip()[-500:] or "it did not come up")
        time.sleep(0.02)
    return result


def _child(pid: int) -> int | None:
    """The one child of ``unshare``, once it has become systemd."""
    with suppress(OSError):
        child = Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()
        if child and Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
            return int(child)
    return None


def _make_groups(name: str) -> list[Path]:
    """A new control group in every hierarchy that systemd manages: one on unified hosts, two on hybrid ones."""
    groups = [mount / name for mount in _hierarchies()]
    if not groups:
        raise NotPossible("no control groups are mounted")
    try:
        for group in groups:
            group.mkdir()
    except OSError as error:
        _remove_groups(groups)
        raise NotPossible(f"no control group can be made: {error}") from error
    return groups


def _hierarchies() -> Iterator[Path]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options):
            yield Path(before.split(" ")[4])


def _remove_groups(groups: Sequence[Path]) -> None:
    deadline = time.monotonic() + 5
    for group in groups:
        while group.exists():
            for directory, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):  # the last of its processes is not quite gone
                    Path(directory).rmdir()
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
