"""Notes, the hand-over and the history of real runs, from outside."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from tests.cli.shell import Shell, kill_worker, until, with_site
from tests.cli.test_json_documented import check, check_lines
from tests.runs.small_site import SmallSite


def test_what_is_noted_while_a_run_goes_on_and_afterwards_is_in_its_record(small: SmallSite) -> None:
    shell = with_site(small, soak="12s")
    process = shell.start("restore", "--yes", "--plan", shell.plan("config"), "--json")
    until(lambda: "attach" in shell("handover").out)
    run = shell("handover", "--json").json["run"]
    said = shell("note", run, "radiology", "is informed", code=0).err
    assert f"noted in the record of run {run}" in said, "the worker took it up while it went on"
    told = shell("handover", run, code=0).out
    assert process.poll() is None
    for line in (f"Run: {run}, live restore of config, begun by", "State: RUNNING", "Done:", "Now:", "Notes: 1 note"):
        assert line in told
    assert "informed" not in told, "what people write is for the report alone"
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    (line,) = [line for text in out.splitlines() if (line := json.loads(text))["kind"] == "noted"]
    said_at, taken_up = (datetime.fromisoformat(line[key]) for key in ("said_at", "at"))
    assert line["evidence"] == "radiology is informed", "whoever follows the run is told"
    assert taken_up - said_at < timedelta(seconds=3)

    shell("note", run, "  all clear\n", code=0)
    check(shell("report", run, "--json").json, "Report")
    notes = shell("report", run, "--json").json["notes"]
    assert [note["evidence"] for note in notes] == ["radiology is informed", "all clear"]
    assert [note["title"] for note in notes] == [notes[0]["title"]] * 2
    assert notes[0]["at"] < notes[1]["at"]
    assert "radiology is informed" in shell("report", run, "--format", "md").out
    check_lines(shell("restore", "--yes", "--plan", shell.plan("queue"), "--json", code=0).lines)
    lines = shell("attach", run, "--json", code=0).lines
    check_lines(lines)
    assert lines[-1]["outcome"] == "restored", "a note after the end opens nothing again"
    assert run not in [row["run"] for row in shell("status", "--json").json["unfinished"]]
    assert [row["outcome"] for row in shell("audit", "show", "--json").json["records"] if row["what"] == "note"] == [
        notes[0]["title"].replace("Note by", "by")
    ] * 2

    found = shell("history", "--json", code=0).json
    check(found, "History")
    assert [(time["run"] == run, time["met"]) for time in found["times"]] == [(True, True), (False, True)]
    chart = shell("history", code=0).out
    assert chart.index("Configuration, RTO") < chart.index("LIVE  #") < chart.index("Queue, RTO")
    check(shell("handover", "--json").json, "Handover")


def test_a_note_without_words_and_a_long_one_are_refused(shell: Shell) -> None:
    run = shell.restored("config")
    assert "needs words" in shell("note", run, "  ", code=2).err
    assert "at most 500 characters" in shell("note", run, "x" * 501, code=2).err
    assert shell("report", run, "--json").json["notes"] == []


def test_a_run_that_was_cut_can_be_noted_on_and_still_go_on(small: SmallSite) -> None:
    shell = with_site(small, soak="30s")
    process = shell.start("restore", "--yes", "--plan", shell.plan("config"), "--json")
    until(lambda: "PACS Bridge stays up" in shell("handover").out.partition("Now:")[2])
    run = shell("handover", "--json").json["run"]
    kill_worker(small)
    process.communicate(timeout=60)
    told = shell("handover", run, code=0).out
    assert "State: UNFINISHED" in told
    assert f"resume {run}, or " in told
    shell("note", run, "the host was reset", code=0)
    shell = with_site(small, soak="0.2s")
    shell("resume", run, "--json", code=0)
    report = shell("report", run, "--json").json
    assert report["outcome"] == "restored"
    assert [note["evidence"] for note in report["notes"]] == ["the host was reset"]
