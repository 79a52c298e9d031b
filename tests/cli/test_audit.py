"""The audit from outside: what every command leaves in it, who it names, and that verify says what is proven."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pacs_recover.audit import syslog
from tests.audit.test_audit import Log
from tests.cli.shell import Shell, kill_worker, risky
from tests.runs.small_site import SmallSite

CLAIMED = {"SUDO_USER": "anna", "SUDO_UID": "1000", "SSH_CONNECTION": "10.0.0.9 4711 10.0.0.1 22"}


@pytest.fixture
def syslogd(tmp_path: Path) -> Iterator[Log]:
    """A system log of the test's own."""
    heard = Log(tmp_path / "log")
    with closing(heard):
        yield heard


@pytest.fixture
def shell(small: SmallSite, syslogd: Log) -> Shell:
    """As anna, by sudo over SSH."""
    return Shell(small, env={**CLAIMED, syslog.VARIABLE: str(syslogd.path)})


def told(shell: Shell) -> list[dict[str, Any]]:
    """Everything recorded."""
    records: list[dict[str, Any]] = shell("audit", "show", "--json", code=0).json["records"]
    return records


def test_everything_that_looks_or_changes_is_recorded_with_who_and_how_it_went(
    shell: Shell, small: SmallSite, tmp_path: Path, syslogd: Log
) -> None:
    risky(small)
    queue, certs = small.demo.good["queue"], small.demo.good["certs"]
    shell("preview", queue, code=0)
    shell("preview", small.demo.corrupt, code=6)
    shell("diff", queue, code=0)
    shell("extract", certs, str(tmp_path / "out"), code=0)
    shell("restore", "queue", "--yes", code=5)
    plan = shell("plan", "queue", "--json", code=0).json["plan_id"]
    words = [*shell.argv(())[1:], "--ticket", "INC-42"]
    run = Shell(small, words, shell.env)("restore", "--yes", "--plan", plan, "--json", code=0).lines[0]["run"]
    again = shell("rollback", run, "--json", code=5).json["plan"]["plan_id"]
    shell("rollback", run, "--yes", "--plan", again, code=0)
    records = told(shell)
    seen = [(record["what"], record["object"], record["outcome"]) for record in records]
    asked = next(said for said in seen if said[0] == "question")
    assert seen == [
        ("preview", queue, "began"),
        ("preview", queue, "ok"),
        ("preview", small.demo.corrupt, "began"),
        ("preview", small.demo.corrupt, "bad"),
        ("diff", queue, "began"),
        ("diff", queue, "done"),
        ("extract", certs, "began"),
        ("extract", certs, "done"),
        ("refusal", "restore", "--yes needs --plan ID"),
        ("plan", queue, "began"),
        ("plan", queue, f"plan {plan}"),
        ("run", f"{run} {queue}", "began"),
        asked,
        ("answer", run, f"yes, by plan {plan}: {asked[2]}"),
        ("run", f"{run} {queue}", "restored, exit 0"),
        ("plan", f"rollback of {run}", "began"),
        ("plan", f"rollback of {run}", f"plan {again}"),
        ("refusal", "rollback", f"rolling back a finished run is armed like a restore; this is plan {again}"),
        ("plan", f"rollback of {run}", "began"),
        ("plan", f"rollback of {run}", f"plan {again}"),
        ("rollback", f"{run} {queue}", "began"),
        ("rollback", f"{run} {queue}", "rolled_back, exit 1"),
    ]
    for record in records:
        assert record["who"]["user"] == getpass.getuser()
        assert record["who"]["claimed"]["sudo"] == "anna (1000)"
        assert record["who"]["claimed"]["ssh"] == "10.0.0.9 4711"
        assert record["site"] or record["what"] == "refusal"
    assert {record["what"] for record in records if record["ticket"] == "INC-42"} == {"run", "question", "answer"}

    text = shell("audit", "show", "--since", "1h ago", code=0).out.replace("\n", " ")
    assert "ssh 10.0.0.9 4711" in text
    assert shell("audit", "show", "--since", "2100-01-01", code=0).out == ""
    exported = tmp_path / "auth.log"
    exported.write_text("Nov 26 03:00:00 pacs1 other: noise\n" + "".join(f"{line}\n" for line in syslogd.lines()))
    whole = shell("audit", "verify", "--anchors", str(exported), "--json", code=0).json
    assert (whole["state"], whole["records"], whole["proven_to"]) == ("verified", 22, 21)
    segment = small.root / "state/audit/000000000000.jsonl"
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-1]))
    assert "UNPROVEN" in shell("audit", "verify", code=0).out
    cut = shell("audit", "verify", "--anchors", str(exported), code=6)
    assert "DAMAGED" in cut.out
    assert "there was a record 21" in cut.out


def test_a_run_that_was_cut_and_one_that_is_closed_are_recorded(shell: Shell, small: SmallSite) -> None:
    small.on_start("sleep 60\n")
    plan = shell.plan("config")
    process = shell.start("restore", "--yes", "--plan", plan, "--json")
    from tests.cli.shell import journalled, until

    until(lambda: journalled(small, '"title":"Start the services"'))
    kill_worker(small)
    process.communicate(timeout=60)
    shell("close", "latest", "--why", "put right by hand", code=0)
    ends = [(record["what"], record["outcome"]) for record in told(shell)]
    assert ends[-3:] == [("run", "began"), ("close", "began"), ("close", "done")]


def test_a_look_that_cannot_be_recorded_is_told_and_goes_to_the_system_s_log(
    shell: Shell, small: SmallSite, tmp_path: Path, syslogd: Log
) -> None:
    (tmp_path / "file").touch()
    options = ("--site", str(small.demo.site_file), "--state", str(tmp_path / "file/state"))
    done = Shell(small, options, shell.env)("preview", small.demo.good["queue"], "--json", code=0)
    assert done.json["state"] == "ok"
    assert done.err.count("NOT RECORDED") == 1
    sent = [line.partition("unrecorded ")[2] for line in syslogd.lines()]
    assert [json.loads(line)["outcome"] for line in sent] == ["began", "ok"]
