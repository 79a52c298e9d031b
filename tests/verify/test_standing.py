"""What status tells of verification and drill, to people and to monitoring; timers; who is told."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from pacs_recover import looks, monitoring, notifying, proving, standing
from pacs_recover.authority import Authority
from pacs_recover.drill import STARTED
from pacs_recover.model import Backup
from pacs_recover.site import NotifyConfig, Site
from pacs_recover.verdicts import Directory, Verdict, Verdicts
from tests.cli.shell import Shell, with_site
from tests.drill.conftest import Counted, Drilled
from tests.runs.small_site import SmallSite

VALUE = re.compile(r'(pacs_recover_\w+)\{((?:\w+="[^"\n]*",?)+)\} -?[0-9.e+]+')


def test_a_verification_that_stopped_running_turns_the_status_red(shell: Shell, small: SmallSite) -> None:
    assert "never verified" in shell("status", "--nagios", code=2).out
    shell("verify", code=0)
    found = shell("status", "--json", code=0).json
    assert found["verification"]["state"] == "ok"
    assert {row["verdict"] for row in found["components"]} == {"good"}
    late = with_site(small, verify_every="0.1s")
    line = late("status", "--nagios", code=2).out
    assert line.startswith("PACS_RECOVER CRITICAL - demo-hospital: verification OVERDUE")
    assert line.count("|") == 1
    assert len(line.splitlines()) == 1
    assert "PACS_RECOVER UNKNOWN" in with_site(small, soak="soon")("status", "--nagios", code=3).out


def test_a_failed_verification_is_red_and_its_backup_is_named(tmp_path: Path) -> None:
    known = Verdicts(Directory(tmp_path), Authority())
    site, now = Site(name="s"), datetime.now(UTC)
    known.keep(Verdict(site="s", backup="", at=now - timedelta(hours=1), ok=True))
    assert standing.verification(site, known)["state"] == "ok"
    bad = (proving.Check("queue/1@local", "bad", "damaged"),)
    known.keep(Verdict(site="s", backup="", at=now, ok=False, checks=bad))
    assert "queue/1@local" in standing.verification(site, known)["sentence"]


def test_prometheus_has_each_gauge_once_and_the_file_is_put_there_in_one_go(
    shell: Shell, small: SmallSite, tmp_path: Path
) -> None:
    out = tmp_path / "pacs.prom"
    out.write_text("old")
    shell("status", "--prometheus", "--output", str(out), code=0)
    text = out.read_text()
    assert list(tmp_path.iterdir()) == [out]
    assert out.stat().st_mode & 0o777 == 0o644
    for line in text.splitlines():
        assert line.startswith("# ") or VALUE.fullmatch(line), line
    names = re.findall(r"^# TYPE (\S+) gauge$", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert {"pacs_recover_backup_age_seconds", "pacs_recover_unfinished_runs"} <= set(names)
    shell("status", "--output", str(out), code=2)
    shell("status", "--prometheus", "--output", str(tmp_path / "none/x"), code=2)
    Shell(small, ("--read-only", *shell.argv(())[-4:]))("status", "--prometheus", "--output", str(out), code=5)


def test_the_words_of_the_plugin_line_cannot_break_it() -> None:
    assert "|" not in monitoring.unknown("a|b\nc")[1]
    assert "\n" not in monitoring.unknown("a|b\nc")[1]


@pytest.mark.needs("systemd-analyze", reason="systemd itself reads the units")
def test_systemd_takes_the_units_and_cron_its_file(shell: Shell, tmp_path: Path) -> None:
    odd = tmp_path / "a 100% $site"
    shutil.copy(shell.argv(())[shell.argv(()).index("--site") + 1], odd)
    own = Shell(shell.small, ("--site", str(odd), "--state", str(tmp_path)))
    units = tmp_path / "units"
    units.mkdir()
    own("site", "timers", "--install", str(units), code=0)
    assert len(list(units.iterdir())) == 16
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, units.iterdir())], capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if str(units) in line]) == (0, [])
    own("site", "timers", "--install", str(units), code=0)
    (units / "pacs-recover-drill.timer").write_text("another")
    own("site", "timers", "--install", str(units), code=2)
    cron = own("site", "timers", "--cron", code=0).out
    (pruning,) = (line for line in cron.splitlines() if " prune " in line)
    assert pruning.startswith("15 5 * * * root ")
    assert "prune --apply --wait 600" in pruning
    assert "100\\% $site'" in cron
    assert cron.count(" root ") == 8


def test_a_queue_that_litestream_replicates_is_not_backed_up_by_the_hour(small: SmallSite, tmp_path: Path) -> None:
    replica = {"kind": "litestream", "name": "replica", "path": str(tmp_path)}
    for followed, jobs in ((True, 7), (False, 8)):
        cron = with_site(small, sources=[{**replica, "followed": followed}])("site", "timers", "--cron", code=0).out
        assert cron.count(" root ") == jobs
        assert ("backup queue" in cron) is not followed


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    seen: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        Hook.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204 if self.path == "/good" else 302)
        self.send_header("Location", "/good")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


def test_who_is_told_and_that_nothing_ends_for_it(small: SmallSite, tmp_path: Path) -> None:
    Hook.seen = []
    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    log = tmp_path / "log"
    command = ["/bin/sh", "-c", f"cat >>{log}; echo >>{log}"]
    shell = with_site(small, notify={"command": command, "webhook": f"{url}/good"})
    shell("verify", "--newest", code=0)
    assert [(one["about"], one["moment"]) for one in Hook.seen] == [("verify", "start"), ("verify", "end")]
    assert [json.loads(line)["moment"] for line in log.read_text().splitlines()] == ["start", "end"]
    shell.restored("config")
    assert [(one["about"], one["moment"]) for one in Hook.seen[2:]] == [("run", "start"), ("run", "end")]
    broken = with_site(small, notify={"command": ["/bin/false"], "webhook": f"{url}/moved"})
    said = broken("verify", small.demo.corrupt, code=6).err
    assert "exit status 1" in said
    assert "HTTP 302" in said
    assert Hook.seen[-1]["moment"] == "failure"
    server.shutdown()
    server.server_close()


def test_what_fails_is_told_as_a_failure() -> None:
    warned: list[str] = []
    site = Site(notify=NotifyConfig(command=("/no/such",)))
    with pytest.raises(ZeroDivisionError), notifying.around(site, "verify", "", warned.append):
        raise ZeroDivisionError
    assert [line.split(": ")[0] for line in warned] == [
        "/no/such was not told of the start",
        "/no/such was not told of the failure",
    ]


def backup(drilled: Drilled, part: str) -> Backup:
    return drilled.small.find(drilled.small.demo.good[part])


def start(drilled: Drilled, part: str) -> proving.Check:
    context = drilled.context
    return proving.started(context.site, backup(drilled, part), context.state, context.authority)


@pytest.mark.needs("bwrap", "setpriv", reason="the sandbox of a process")
def test_the_service_starts_with_a_backup_and_calls_nobody(drilled: Drilled) -> None:
    peer = Counted("127.0.0.1")
    drilled.configure("--dial", peer.address)
    check = start(drilled, "config")
    assert (check.name, check.state) == (STARTED, "ok"), check
    status = looks.status(drilled.context.site, drilled.context.catalog(), drilled.context.state)
    assert status["drill"]["outcome"] == "restored"
    assert peer.calls == 0


@pytest.mark.needs("bwrap", "setpriv", reason="the sandbox of a process")
def test_defect_b15_a_404_does_not_count_as_started(drilled: Drilled) -> None:
    drilled.configure(health=[drilled.small.demo.health_url.removesuffix("/ready")])
    assert start(drilled, "config").state == "bad"


def test_without_isolation_it_is_not_proven(drilled: Drilled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacs_recover.services.sandboxed.missing", lambda: "bwrap is not installed")
    check = start(drilled, "config")
    assert (check.state, check.evidence) == ("unproven", "bwrap is not installed")
    assert drilled.context.state.runs() == []
    logs = msgspec.structs.replace(backup(drilled, "config"), component="logs")
    context = drilled.context
    assert proving.started(context.site, logs, context.state, context.authority).state == "unproven"
