"""Services that do not do what they are told, in a restore of every component by a real worker."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacs_recover.runs import last_end
from tests.faults.conftest import ALL
from tests.faults.lab import PLANS, Lab
from tests.faults.table import SERVICES, VALIDATORS, ServiceFault, ValidatorFault
from tests.runs.small_site import SERVICE, SmallSite

pytestmark = [
    pytest.mark.needs("gcc", reason="the workers of the matrix are started under its shim"),
    pytest.mark.timeout(900),
]
FAULTY = (
    '#!/bin/sh\nroot="$(dirname "$0")"; name="$(basename "$0")"\n[ -e "$root/$name.fault" ] && . "$root/$name.fault"\n'
)
QUICK = ("stop-ignored", "start-fails", "crash-loops", "health-silent", "litestream-stays")
SECOND = "litestream"
"""What follows the queue; it is stopped first and started last."""


@contextmanager
def configured(lab: Lab, components: tuple[str, ...], **settings: Any) -> Iterator[None]:
    """The plan of these components under other settings of the site; as before afterwards."""
    file = lab.site.demo.site_file
    before = file.read_text()
    whole = lab.site.reset
    try:
        file.write_text(yaml.safe_dump(yaml.safe_load(before) | settings))
        lab.site.reset = resetting(lab.site, whole)  # type: ignore[method-assign]
        lab.forget()
        lab.choose(*components)
        yield
    finally:
        del lab.site.reset  # type: ignore[attr-defined]
        file.write_text(before)
        lab.forget()


def resetting(site: SmallSite, whole: Any) -> Any:
    """A reset after which each service does what its ``.fault`` file says first."""

    def reset() -> None:
        whole()
        (site.control / "service").write_text(FAULTY + SERVICE)
        second = site.control / SECOND
        second.write_text(FAULTY + SERVICE.replace("running", "following").replace("calls", "other-calls"))
        second.chmod(0o755)
        (site.control / "following").touch()

    return reset


def services(lab: Lab, fault: ServiceFault) -> list[dict[str, Any]]:
    """PACS Bridge, and Litestream where the fault is about that."""
    own = yaml.safe_load(lab.site.demo.site_file.read_text())["services"][0]
    script = str(lab.site.control / SECOND)
    second = {"kind": "command", "name": SECOND, **{verb: [script, verb] for verb in ("start", "stop", "status")}}
    return [own, second] if fault.service == SECOND else [own]


@pytest.mark.parametrize("plan", PLANS if ALL else ("full",))
@pytest.mark.parametrize("name", SERVICES if ALL else QUICK)
def test_a_service_does_not_obey(lab: Lab, name: str, plan: str) -> None:
    lab.row = name
    with lab.case(plan):
        lab.tally[disobeyed(lab, SERVICES[name], plan)] += 1
    assert lab.broken == []


def disobeyed(lab: Lab, fault: ServiceFault, plan: str) -> str:
    """One restore in which a service does not obey; it is mended, and the operator goes on."""
    with (
        health(fault.health) as url,
        configured(
            lab,
            PLANS[plan],
            services=services(lab, fault),
            health={"url": url, "timeout": "1s"} if url else None,
            soak=fault.soak,
            start_timeout="1.5s",
            stop_timeout="1s",
        ),
    ):
        lab.site.reset()
        run = lab.site.arm(lab.plan)
        said = lab.site.control / f"{fault.service}.fault"
        said.write_text(fault.script)
        if url:
            HEALTH.update(mode=fault.health)
        worked = lab.workers.work("restore", run)
        assert worked.code == fault.code, (worked, last_end(lab.told(run)))
        left = " ".join(getattr(last_end(lab.told(run)), "left", ()))
        assert (fault.service.replace("service", "bridge") in left) == (worked.code == 4), left
        standing = lab.judge(run, worked)
        said.unlink()
        HEALTH.update(mode="well")
        standing = lab.finish(run, standing)
        assert (lab.site.control / "following").exists()
        return standing


HEALTH: dict[str, str] = {"mode": "well"}


@contextmanager
def health(mode: str) -> Iterator[str]:
    """A health endpoint that is well until it is told otherwise; none where the fault has none."""
    if not mode:
        yield ""
        return
    HEALTH.update(mode="well")
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []
        threading.Thread(target=answer, args=(server, held), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/health/ready"
        server.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


def answer(server: socket.socket, held: list[socket.socket]) -> None:
    """Answer, say that it is not ready, or hold the line in silence."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        if HEALTH["mode"] == "silent":
            held.append(connection)
            continue
        with connection:
            connection.recv(4096)
            if HEALTH["mode"] != "hangs up":
                status = b"200 OK" if HEALTH["mode"] == "well" else b"503 Service Unavailable"
                connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("plan", ("config", "full") if ALL else ("config",))
@pytest.mark.parametrize("name", VALIDATORS)
def test_a_validator_does_not_say_yes(lab: Lab, name: str, plan: str, tmp_path: Path) -> None:
    lab.row = name
    with lab.case(plan):
        lab.tally[not_validated(lab, VALIDATORS[name], plan, tmp_path)] += 1
    assert lab.broken == []


def not_validated(lab: Lab, fault: ValidatorFault, plan: str, tmp_path: Path) -> str:
    """One restore whose validator does not say yes, which changes nothing."""
    script = tmp_path / "validator"
    script.write_text(f"#!/bin/sh\ncd {tmp_path}\n[ -e mended ] && exit 0\n{fault.script}\n")
    script.chmod(0o755)
    (tmp_path / "mended").touch()
    with configured(lab, PLANS[plan], validator=[str(script), "{config}"]):
        (tmp_path / "mended").unlink()
        if not fault.script:
            script.unlink()
        lab.site.reset()
        run = lab.site.arm(lab.plan)
        began = time.monotonic()
        worked = lab.workers.work("restore", run)
        assert time.monotonic() - began < 20
        ended = last_end(lab.told(run))
        assert worked.code == fault.code
        assert ended is not None
        assert ended.outcome == "failed_untouched"
        assert "validator" in ended.evidence
        assert lab.site.calls() == []
        assert [pid for pid in pids(tmp_path / "pids") if runs(pid)] == []
        return lab.finish(run, lab.judge(run, worked))


def runs(pid: str) -> bool:
    """Whether a process still has a program; one that has ended and that nobody waited for has none."""
    program = Path(f"/proc/{pid}/cmdline")
    return program.exists() and program.read_bytes() != b""


def pids(file: Path) -> list[str]:
    """The processes that a validator left."""
    return file.read_text().split() if file.exists() else []
