"""Plan, arm, restore: an unattended restore needs a plan that is fresh, unused and still true."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from pacs_recover import worker
from pacs_recover.events import Asked
from pacs_recover.journal import Journal
from pacs_recover.plan import Plan
from pacs_recover.questions import ask
from tests.cli.shell import Shell, edited, risky, with_site
from tests.runs.small_site import SmallSite


def test_a_plan_restores_and_the_report_tells_of_it(shell: Shell, small: SmallSite) -> None:
    plan = shell("plan", "queue", "--json", code=0).json
    done = shell("restore", "queue", "--backup", plan["backups"][0]["id"], "--yes", "--plan", plan["plan_id"], code=0)
    assert done.out.startswith("RESTORED")
    report = shell("report", "--json", code=0).json
    assert (report["outcome"], report["exit_code"], report["plan_id"]) == ("restored", 0, plan["plan_id"])
    assert report["rto_met"] is True
    assert report["backups"][0]["sha256"] == plan["backups"][0]["sha256"]
    assert small.calls() == ["stopped", "started"]


def test_a_plan_arms_one_restore(shell: Shell) -> None:
    plan = shell.plan("config")
    shell("restore", "--yes", "--plan", plan, code=0)
    error = shell("restore", "--yes", "--plan", plan, "--json", code=5).error
    assert plan in error["message"]
    assert "pacs-recover plan" in error["hint"]


def test_a_plan_of_more_than_an_hour_ago_arms_nothing(shell: Shell, small: SmallSite) -> None:
    plan = shell.plan("config")
    path = small.root / "state/plans" / f"{plan}.json"
    saved = msgspec.json.decode(path.read_bytes(), type=Plan)
    old = datetime.now(UTC) - timedelta(minutes=61)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(saved, made_at=old)))
    assert "an hour" in shell("restore", "--yes", "--plan", plan, "--json", code=5).error["message"]
    assert small.calls() == []


@pytest.mark.parametrize("plan", ["../../site", "deadbeef"])
def test_a_plan_that_does_not_exist_arms_nothing(shell: Shell, small: SmallSite, plan: str) -> None:
    error = shell("restore", "--yes", "--plan", plan, "--json", code=5).error
    assert "there is no plan" in error["message"]
    assert small.calls() == []


def test_yes_alone_or_a_pipe_alone_arms_nothing(shell: Shell, small: SmallSite) -> None:
    before = small.fingerprint()
    assert "--plan" in shell("restore", "queue", "--yes", "--json", code=5).error["message"]
    assert "terminal" in shell("restore", "queue", "--json", code=5).error["message"]
    assert "terminal" in shell("restore", "--plan", shell.plan("queue"), "--json", code=5).error["message"]
    assert (small.fingerprint(), small.calls()) == (before, [])


def test_a_changed_live_file_is_named(shell: Shell, small: SmallSite) -> None:
    plan = shell.plan("config")
    with (small.config / "config.yaml").open("a") as file:
        file.write("# changed\n")
    error = shell("restore", "--yes", "--plan", plan, "--json", code=5).error
    assert error["message"] == "since the plan was made, the live config changed"
    assert small.calls() == []


def test_a_changed_backup_is_named(shell: Shell, small: SmallSite) -> None:
    plan = shell("plan", "queue", "--json", code=0).json
    backup, kept = Path(plan["backups"][0]["key"]), small.root / "kept"
    shutil.copy2(backup, kept)
    try:
        backup.write_bytes(backup.read_bytes() + b"\0")
        error = shell("restore", "--yes", "--plan", plan["plan_id"], "--json", code=5).error
    finally:
        shutil.move(kept, backup)
    assert plan["backups"][0]["id"] in error["message"]
    assert small.calls() == []


def test_a_changed_site_is_named(shell: Shell, small: SmallSite) -> None:
    plan = shell.plan("queue")
    error = with_site(small, soak="1s")("restore", "--yes", "--plan", plan, "--json", code=5).error
    assert "the site file" in error["message"]
    assert small.calls() == []


def test_the_queue_s_rows_may_change_but_what_the_plan_printed_is_all_that_yes_accepts(
    shell: Shell, small: SmallSite
) -> None:
    """The question of the plan is answered; that other rows are lost now is the worker's own, second look's matter."""
    plan = shell("plan", "queue", "--json", code=0).json
    with sqlite3.connect(small.queue) as connection:
        connection.execute("UPDATE message_queue SET attempt_count = attempt_count + 1")
    connection.close()
    assert shell("restore", "--yes", "--plan", plan["plan_id"], code=0).out.startswith("RESTORED")


def test_a_question_that_the_plan_did_not_print_counts_as_declined(small: SmallSite) -> None:
    risky(small)
    plan = small.plan(small.demo.good["queue"])
    request = msgspec.structs.replace(plan.request, run="test", assume_yes=True)
    printed = request.questions[0]
    small.state.prepare()
    with closing(Journal(small.state.path / "test.jsonl", create=True)) as journal:
        for details, yes in ((printed.details, True), (printed.details + " and more", False)):
            asked = journal.write(Asked, title=printed.title, evidence=details, **ask(60.0))
            assert worker.reply(asked, small.state.path, request, journal) is yes


def test_yes_answers_the_question_that_the_plan_printed(shell: Shell, small: SmallSite) -> None:
    risky(small)
    plan = shell("plan", "queue", "--json", code=0).json
    assert plan["replay_risk"]["lost_since"] >= 1
    text = shell("plan", "queue", code=0).out
    assert "Question: The replay risk is accepted?" in text
    lines = shell("restore", "--yes", "--plan", plan["plan_id"], "--json", code=0).lines
    answered = next(line for line in lines if line["kind"] == "answered")
    assert (answered["yes"], answered["by"]) == (True, f"plan {plan['plan_id']}")


@pytest.mark.parametrize(
    "words", [("certs",), ("full",), ("config", "--at", "now"), ("config", "--since", "2h ago"), ("--backup", "queue/")]
)
def test_words_beside_the_plan_that_do_not_fit_it_are_wrong_usage(
    shell: Shell, small: SmallSite, words: tuple[str, ...]
) -> None:
    shell("restore", *words, "--yes", "--plan", shell.plan("config"), "--json", code=2)
    assert small.calls() == []


def test_two_backups_of_one_component_do_not_fit(shell: Shell) -> None:
    found = [backup["id"] for backup in shell("catalog", "queue", "--json", code=0).json["backups"]]
    shell("plan", "queue", "--backup", found[0], "--backup", found[1], code=2)
    shell("plan", "config", "--backup", found[0], code=2)


def test_at_takes_the_newest_backup_at_or_before_that_time(shell: Shell) -> None:
    found = shell("catalog", "config", "--json", code=0).json["backups"]
    plan = shell("plan", "config", "--at", found[2]["taken_at"], "--json")
    assert plan.json["backups"][0]["id"] == found[2]["id"]
    assert shell("plan", "config", "--at", "2000-01-01T00:00:00Z", "--json", code=3).error["hint"]


def test_an_rto_that_is_missed_is_told_and_since_counts_from_the_outage(shell: Shell) -> None:
    plan = shell("plan", "config", "--since", "2h ago", "--json", code=0).json["plan_id"]
    done = shell("restore", "--yes", "--plan", plan, code=0)
    assert "MISSED from there" in done.out
    report = shell("report", "--json", code=0).json
    assert (report["rto_met"], report["outage_rto_met"]) == (True, False)


def test_what_is_bad_about_the_host_refuses_the_restore_and_names_the_command(small: SmallSite) -> None:
    shell = with_site(small, owner="no-such-user")
    plan = shell("plan", "config", "--json", code=0).json
    bad = [finding for finding in plan["findings"] if finding["state"] == "bad"]
    assert any("no-such-user" in finding["value"] for finding in bad)
    assert "BAD" in shell("plan", "config", code=0).out
    error = shell("restore", "--yes", "--plan", plan["plan_id"], "--json", code=5).error
    assert "no-such-user" in error["message"]
    assert small.calls() == []


def test_report_is_written_in_every_form(shell: Shell) -> None:
    run = shell.restored("config")
    assert shell("report", code=0).out == shell("report", run, "--format", "text", code=0).out
    assert shell("report", run, "--format", "md", code=0).out.startswith("# RESTORED")
    assert shell("report", run, "--format", "html", code=0).out.startswith("<!")
    assert shell("report", run, "--format", "json", code=0).json == shell("report", "--json", code=0).json


def test_a_restore_that_fails_is_1_and_the_site_is_as_it_was(shell: Shell, small: SmallSite) -> None:
    before = small.fingerprint()
    once = small.root / "failed-once"
    small.on_start(f"[ -e {once} ] || rm {small.control}/running\ntouch {once}\n")
    done = shell("restore", "--yes", "--plan", shell.plan("config"), code=1)
    once.unlink()
    assert done.out.startswith("ROLLED BACK")
    assert "FAILED" in done.err
    assert "undone" in done.err
    assert small.fingerprint() == before
    assert small.running()


def test_a_rollback_that_cannot_finish_is_4_and_says_exactly_what_is_left(shell: Shell, small: SmallSite) -> None:
    (small.control / "refuse-start").touch()
    done = shell("restore", "--yes", "--plan", shell.plan("config"), code=4)
    assert done.out.startswith("ROLLBACK INCOMPLETE")
    assert "To do now, in this order" in done.out
    assert "to do: " in done.err
    report = shell("report", "--json", code=0).json
    assert report["left"]
    assert shell("runs", "--json", code=0).json["runs"][0]["outcome"] == "rollback_incomplete"
    (small.control / "refuse-start").unlink()
    assert shell("rollback", "latest", code=0).out.startswith("ROLLED BACK")
    assert small.running()


def test_a_second_site_file_of_the_same_live_paths_is_one_site(shell: Shell, small: SmallSite) -> None:
    (small.control / "refuse-start").touch()
    shell("restore", "--yes", "--plan", shell.plan("config"), code=4)
    other = Shell(small, ("--site", str(edited(small, name="same")), "--state", str(small.root / "other-state")))
    try:
        error = other("restore", "--yes", "--plan", other.plan("config"), "--json", code=5).error
        assert f"--state {small.root}/state" in error["hint"]
    finally:
        shutil.rmtree(small.root / "other-state", ignore_errors=True)
