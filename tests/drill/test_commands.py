"""Drills as commands: guided at a terminal, unattended, in JSON, and the table of recovery times."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pacs_recover import report
from pacs_recover.looks import report_of
from tests.cli.shell import Shell
from tests.cli.test_json_documented import check, check_lines
from tests.drill.conftest import Drilled

needs_sandbox = pytest.mark.needs("bwrap", "setpriv", reason="a real sandbox")


@pytest.fixture
def shell(drilled: Drilled) -> Shell:
    """A shell on the site with a drill section."""
    options = ("--site", str(drilled.site_file), "--state", str(drilled.small.root / "state"))
    return Shell(drilled.small, options)


@needs_sandbox
def test_unattended_with_its_record_and_all_that_is_told_of_it(shell: Shell, drilled: Drilled) -> None:
    assert shell("rto", "--json", code=0).json["rows"][3]["actual_seconds"] is None
    words = ("--participant", "A. Engineer", "--observation", "All well", "--action", "Buy tea")
    done = shell("drill", "--yes", "--json", *words, code=0)
    seen = check_lines(done.lines)
    assert {"noted", "planned", "ended", "report"} <= seen
    told = done.lines[-1]
    assert told["drill"]["participants"] == ["A. Engineer"]
    assert told["drill"]["observations"] == ["All well"]
    assert told["drill"]["actions"] == ["Buy tea"]
    table = shell("rto", "--json", code=0).json
    check(table, "Recovery")
    full = table["rows"][3]
    assert (full["type"], full["mode"], full["recovered"], full["met"]) == ("Full System", "drill", 1, True)
    assert full["actual_seconds"] == told["recovery_seconds"]
    guide = shell("rto", "--format", "md", code=0).out.splitlines()
    assert guide[:2] == ["| Recovery Type | RTO Target | Actual (Test) |", "|---|---|---|"]
    assert re.fullmatch(r"\| Full System \| < 30 min \| .+ s, met \(drill, .+\) \|", guide[-1])
    assert "| Configuration | < 5 min | not tested |" in guide
    assert "drill of full" in shell("runs", code=0).out
    assert shell("status", "--json", code=0).json["unfinished"] == []
    assert "was a drill" in shell("rollback", "latest", code=5).err
    assert "was a drill" in shell("resume", "latest", code=5).err
    aside = shell("catalog", "--source", "aside", "--json", code=0).json
    assert (aside["backups"], aside["sources"][0]["ok"]) == ([], True), "a drill leaves nothing that could be restored"
    texts = {form: shell("report", "--format", form, code=0).out for form in ("text", "md", "html")}
    for form, text in texts.items():
        for part in ("Functional validation", "Findings", "Sign-off", "164.308(a)(7)(ii)(D)", "A. Engineer", "Buy tea"):
            assert part in text, (form, part)
        assert "164.312(b)" in text
        assert "164.312(c)" in text
        assert "800-84" in text
        assert all(backup["sha256"][:32] in text for backup in told["backups"]), form
    assert max(map(len, texts["text"].splitlines())) <= 80 or "sandbox/" in texts["text"]
    assert "http" not in texts["html"].replace("http-equiv", "").replace("http://127.0.0.1", "")


@needs_sandbox
def test_guided_at_a_terminal_it_asks_who_what_was_seen_and_what_is_to_be_done(shell: Shell, drilled: Drilled) -> None:
    with shell.terminal("drill", "config", "certs") as terminal:
        terminal.expect("Who takes part?")
        terminal.type("Anna, Bert\n")
        terminal.expect("Start the drill?")
        terminal.type("yes\n")
        terminal.expect("What was observed?")
        terminal.type("The key was hard to find\n\n")
        terminal.expect("What is to be improved")
        terminal.type("Write down where it is (Anna)\n\n")
        terminal.expect("DRILL RESTORED in")
        assert terminal.ends() == 0
    found = report_of(drilled.context.state.find("latest"))
    assert found.outcome == "restored"
    assert found.drill is not None
    assert found.drill.participants == ("Anna", "Bert")
    assert found.drill.observations == ("The key was hard to find",)
    assert found.drill.actions == ("Write down where it is (Anna)",)
    assert report.as_text(found).count("hard to find") == 1


@needs_sandbox
def test_ctrl_c_at_the_questions_after_a_drill_ends_them_and_what_was_typed_is_kept(
    shell: Shell, drilled: Drilled
) -> None:
    with shell.terminal("drill", "config", "--participant", "Anna") as terminal:
        terminal.expect("Start the drill?")
        terminal.type("yes\n")
        terminal.expect("What was observed?")
        terminal.expect("> ")
        terminal.type("The key was hard to find\n")
        terminal.expect("> ")  # it was read: ctrl-c throws away what was not
        terminal.type("\x03")
        terminal.expect("DRILL RESTORED in")
        assert terminal.ends() == 0
    found = report_of(drilled.context.state.find("latest"))
    assert found.drill is not None
    assert (found.drill.observations, found.drill.actions) == (("The key was hard to find",), ())


def test_a_guided_drill_that_is_not_confirmed_starts_nothing(shell: Shell, drilled: Drilled) -> None:
    with shell.terminal("drill", "config") as terminal:
        terminal.expect("Who takes part?")
        terminal.type("\n")
        terminal.expect("Start the drill?")
        terminal.type("no\n")
        assert terminal.ends() == 130
    assert drilled.context.state.runs() == []


def test_without_a_terminal_it_needs_yes_and_read_only_refuses_it(shell: Shell, drilled: Drilled) -> None:
    assert "drill --yes" in shell("drill", code=5).err
    read_only = Shell(drilled.small, ("--read-only", *shell.options))
    assert "--read-only" in read_only("drill", "--yes", code=5).err
    assert {path.name for path in (drilled.small.root / "state").iterdir()} == {"audit"}  # of the refusals
    assert "nonsense" in shell("drill", "--yes", "nonsense", code=2).err
    assert "logs are not restored" in shell("drill", "--yes", "logs", code=2).err


def test_what_is_bad_or_missing_ends_with_its_code_and_a_report(shell: Shell, drilled: Drilled, tmp_path: Path) -> None:
    done = shell("drill", "--yes", "--backup", drilled.small.demo.corrupt, code=6)
    assert "DRILL FAILED" in done.out
    assert drilled.small.demo.corrupt in done.out
    drilled.settings = {"sources": [{"kind": "local", "name": "local", "path": str(tmp_path)}]}
    drilled.configure()
    lines = shell("drill", "queue", "--yes", "--json", code=3).lines
    check_lines(lines)
    assert lines[-1]["drill"]["findings"][0]["state"] == "bad"
    rows = shell("rto", "--json", code=0).json["rows"]
    assert (rows[2]["failed"], rows[2]["last_failed"], rows[2]["recovered"]) == (2, True, 0)
    assert "THE LAST ATTEMPT FAILED" in shell("rto", code=0).out


def test_a_message_file_that_is_none_is_told_before_anything_is_restored(
    shell: Shell, drilled: Drilled, tmp_path: Path
) -> None:
    (tmp_path / "bad.hl7").write_text("DOE^JANE")
    drilled.configure(messages=[str(tmp_path / "bad.hl7")])
    done = shell("drill", "config", "--yes", "--sandbox", "root", code=1)
    assert "bad.hl7 is no HL7 message" in " ".join(done.out.split())
    assert "DOE" not in done.out + done.err
