"""A person at a terminal: arms by the site's name, answers, leaves with ctrl-c; the run is the worker's."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests.cli.shell import Gate, Shell, Terminal, environment, is_alive, kill_worker, risky, with_site, worker_pid
from tests.runs.small_site import SmallSite

NAME = "demo-hospital"
PROMPT = f"({NAME}) to go on: "


def test_the_site_s_name_arms_and_yes_answers_the_question(shell: Shell, small: SmallSite) -> None:
    risky(small)
    with shell.terminal("restore", "queue") as terminal:
        terminal.expect(PROMPT)
        assert "PLAN " in terminal.seen
        assert small.calls() == []
        terminal.type(NAME + "\n")
        terminal.expect("Type yes or no: ")
        assert small.calls() == []
        terminal.type("yes\n")
        assert terminal.ends() == 0
    assert "RESTORED in " in terminal.seen
    assert "Traceback" not in terminal.seen
    assert small.calls() == ["stopped", "started"]
    assert shell("report", "--json", code=0).json["human_wait_seconds"] > 0


@pytest.mark.parametrize("answer", ["no\n", "\x04"])
def test_anything_but_yes_declines_and_nothing_was_changed(shell: Shell, small: SmallSite, answer: str) -> None:
    risky(small)
    before = small.fingerprint()
    with shell.terminal("restore", "queue") as terminal:
        terminal.expect(PROMPT)
        terminal.type(NAME + "\n")
        terminal.expect("Type yes or no: ")
        terminal.type(answer)
        assert terminal.ends() == 5
    assert "declined" in terminal.seen
    assert (small.fingerprint(), small.calls()) == (before, [])
    assert shell("report", "--json", code=0).json["outcome"] == "failed_untouched"


def test_what_was_typed_before_the_question_does_not_answer_it(shell: Shell, small: SmallSite) -> None:
    risky(small)
    with shell.terminal("restore", "queue") as terminal:
        terminal.expect(PROMPT)
        terminal.type(f"{NAME}\nyes\nyes\n")
        terminal.expect("Type yes or no: ")
        terminal.type("no\n")
        assert terminal.ends() == 5
    assert small.calls() == []


@pytest.mark.parametrize("typed", ["demo-hospita\n", "\x04"])
def test_another_name_arms_nothing(shell: Shell, small: SmallSite, typed: str) -> None:
    before = small.fingerprint()
    with shell.terminal("restore", "config") as terminal:
        terminal.expect(PROMPT)
        terminal.type(typed)
        assert terminal.ends() == 5
    assert "not armed" in terminal.seen
    assert (small.fingerprint(), small.calls()) == (before, [])
    assert shell("runs", "--json", code=0).json == {"runs": []}


LATE = """
import signal, sys, threading, time
from pacs_recover.cli.asking import ask

def press():
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # noted, and no read of the main thread ends by it

seen = []
if sys.argv[1] == "noted":
    signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
threading.Thread(target=press, daemon=True).start()
ask("? ", "left alone", lambda: bool(seen))
"""


@pytest.mark.parametrize("handled", ["raised", "noted"])
def test_ctrl_c_just_before_the_read_is_not_missed(handled: str) -> None:
    terminal = Terminal([sys.executable, "-c", LATE, handled], environment())
    try:
        terminal.expect("Interrupted: left alone")
        assert terminal.ends() == 1
    finally:
        terminal.close()


def test_ctrl_c_before_arming_is_130_and_nothing_was_changed(shell: Shell, small: SmallSite) -> None:
    before = small.fingerprint()
    with shell.terminal("restore", "config") as terminal:
        terminal.expect(PROMPT)
        terminal.type("\x03")
        assert terminal.ends() == 130
    assert "nothing was changed" in terminal.seen
    assert "Traceback" not in terminal.seen
    assert (small.fingerprint(), small.calls()) == (before, [])


def test_a_plan_with_a_name_typed_is_armed_as_well(shell: Shell, small: SmallSite) -> None:
    with shell.terminal("restore", "--plan", shell.plan("config")) as terminal:
        terminal.expect(PROMPT)
        terminal.type(NAME + "\n")
        assert terminal.ends() == 0
    assert small.calls() == ["stopped", "started"]


def test_ctrl_c_while_it_runs_detaches_and_attach_ends_with_the_run_s_code(small: SmallSite) -> None:
    gate = Gate(small)
    shell = gate.shell
    with shell.terminal("restore", "config") as terminal:
        terminal.expect(PROMPT)
        terminal.type(NAME + "\n")
        gate.reached()
        terminal.expect(" (no earlier run)")  # beside what is done now stands when it all ends
        terminal.type("\x03")
        assert terminal.ends() == 7
    assert "goes on without this terminal" in terminal.seen
    assert " attach 20" in terminal.seen
    assert " rollback 20" in terminal.seen
    assert shell("runs", "--json", code=0).json["runs"][0]["outcome"] == "running"
    error = shell("restore", "--yes", "--plan", shell.plan("config"), "--json", code=5).error
    assert "is going on" in error["message"]
    assert "attach" in error["hint"]
    assert shell("rollback", "latest", "--json", code=5).error["hint"]
    assert shell("close", "latest", "--why", "test", code=5).err
    gate.open()
    done = shell("attach", "--json", code=0)
    assert done.lines[-1]["outcome"] == "restored"
    assert done.lines[0]["kind"] == "planned"
    assert small.calls() == ["stopped", "started"]


def test_who_follows_is_warned_before_the_rto_is_missed_and_when_it_is(small: SmallSite) -> None:
    gate = Gate(small)
    assert gate.shell.small is small
    shell = with_site(small, start_timeout="60s", objectives={"config": {"rto": "8s", "rpo": "1d"}})
    process = shell.start("restore", "--yes", "--plan", shell.plan("config"))
    gate.reached()
    time.sleep(10.5)
    gate.open()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    warned, missed = told.index("! RTO      may be MISSED, ends by"), told.index("✗ RTO      RTO MISSED by")
    assert warned < missed
    assert told.count("RTO      ") == 2


def test_ctrl_c_at_the_question_detaches_and_another_operator_answers_it(shell: Shell, small: SmallSite) -> None:
    risky(small)
    shell = with_site(small, question_timeout="60s")
    with shell.terminal("restore", "queue") as first:
        first.expect(PROMPT)
        first.type(NAME + "\n")
        first.expect("Type yes or no: ")
        first.type("\x03")
        assert first.ends() == 7
    with shell.terminal("attach") as second:
        second.expect("Type yes or no: ")
        second.type("yes\n")
        assert second.ends() == 0
    assert "RESTORED" in second.seen


def test_a_question_that_nobody_answers_expires_and_nothing_was_changed(small: SmallSite) -> None:
    risky(small)
    shell = with_site(small, question_timeout="1s")
    with shell.terminal("restore", "queue") as terminal:
        terminal.expect(PROMPT)
        terminal.type(NAME + "\n")
        assert terminal.ends() == 5
    assert "not answered in time" in terminal.seen
    assert small.calls() == []


def test_json_on_a_terminal_keeps_its_prompts_off_the_data(shell: Shell, small: SmallSite) -> None:
    with shell.terminal("restore", "config", "--json") as terminal:
        terminal.expect(PROMPT)
        terminal.type(NAME + "\n")
        assert terminal.ends() == 0
    assert '{"kind": "report"' in terminal.seen


def test_kill_9_of_the_front_end_changes_nothing_for_the_run(small: SmallSite) -> None:
    gate = Gate(small)
    with gate.shell.start("restore", "--yes", "--plan", gate.shell.plan("full")) as front:
        gate.reached()
        front.kill()
    gate.open()
    assert gate.shell("attach", "--json", code=0).lines[-1]["outcome"] == "restored"
    assert small.running()


def test_the_terminal_going_away_changes_nothing_for_the_run(small: SmallSite) -> None:
    gate = Gate(small)
    with gate.shell.terminal("restore", "config") as terminal:
        terminal.expect(PROMPT)
        terminal.type(NAME + "\n")
        gate.reached()
        pid = worker_pid(small)
        os.kill(terminal.process.pid, signal.SIGHUP)
    assert is_alive(pid)
    gate.open()
    assert gate.shell("attach", code=0).out.startswith("RESTORED")


@pytest.fixture
def cut(small: SmallSite) -> Shell:
    """A run whose front end and worker were both killed while the service started."""
    gate = Gate(small)
    with gate.shell.start("restore", "--yes", "--plan", gate.shell.plan("full")) as front:
        gate.reached()
        front.kill()
        kill_worker(small)
    gate.open()
    return gate.shell


def test_a_cut_run_is_unfinished_blocks_others_and_is_rolled_back_twice(cut: Shell, small: SmallSite) -> None:
    row = cut("runs", "--json", code=0).json["runs"][0]
    assert row["outcome"] == "unfinished"
    assert cut("status", "--json", code=0).json["unfinished"][0]["run"] == row["run"]
    assert "unfinished" in cut("status", code=0).out
    error = cut("restore", "--yes", "--plan", cut.plan("config"), "--json", code=5).error
    assert row["run"] in error["message"]
    assert "rollback" in error["hint"]
    attached = cut("attach", code=4)
    assert attached.out.startswith("UNFINISHED")
    assert "rollback" in attached.err
    for _ in range(2):
        assert cut("rollback", row["run"], code=0).out.startswith("ROLLED BACK")
    assert cut("runs", "--json", code=0).json["runs"][0]["outcome"] == "rolled_back"
    assert small.running()
    cut.restored("config")


def test_a_cut_run_is_resumed(cut: Shell, small: SmallSite) -> None:
    done = cut("resume", "latest", "--json", code=0)
    assert done.lines[-1]["outcome"] == "restored"
    assert small.running()
    again = cut("resume", "latest", "--json", code=5).error
    assert "ended" in again["message"]


def test_a_cut_run_is_closed_by_hand_with_the_reason_on_record(cut: Shell) -> None:
    cut("close", "latest", "--why", "checked by hand, all is in place", code=0)
    report = cut("report", "--json", code=0).json
    assert report["outcome"] == "closed"
    assert "checked by hand" in report["reason"]
    assert cut("close", "latest", "--why", "again", code=5).err
    cut.restored("config")


def test_rolling_back_a_finished_run_tells_what_arrived_and_is_armed_by_its_plan(
    shell: Shell, small: SmallSite
) -> None:
    before = small.fingerprint()
    run = shell.restored("queue")
    risky(small)
    told = shell("rollback", run, code=5)
    assert told.out.startswith(f"ROLLBACK of run {run}")
    assert "1 message" in told.out
    assert "--yes --plan " in told.err
    refusal = shell("rollback", run, "--json", code=5)
    assert refusal.error["hint"].endswith(f"--yes --plan {refusal.json['plan']['plan_id']}")
    shell("rollback", run, "--yes", code=5)
    shell("rollback", run, "--yes", "--plan", "deadbeef", code=5)
    assert small.calls() == ["stopped", "started"]
    done = shell("rollback", run, "--yes", "--plan", refusal.json["plan"]["plan_id"], code=0)
    assert done.out.startswith("ROLLED BACK")
    assert small.fingerprint() == before
    kept = [row for row in shell("catalog", "queue", "--json", code=0).json["backups"] if row["source"] == "aside"]
    states = [shell("preview", row["id"], "--json", code=0).json["tables"] for row in kept]
    assert kept, states
    assert shell("attach", run).code == 1


def test_rolling_back_a_finished_run_at_a_terminal_is_armed_by_the_site_s_name(shell: Shell, small: SmallSite) -> None:
    before = small.fingerprint()
    run = shell.restored("config")
    with shell.terminal("rollback", run) as terminal:
        terminal.expect(PROMPT)
        terminal.type("no\n")
        assert terminal.ends() == 5
    with shell.terminal("rollback", run) as terminal:
        terminal.expect(PROMPT)
        terminal.type(NAME + "\n")
        assert terminal.ends() == 0
    assert small.fingerprint() == before


def test_only_the_newest_run_is_rolled_back(shell: Shell, small: SmallSite) -> None:
    older, newer = shell.restored("config"), shell.restored("queue")
    before = small.fingerprint()
    error = shell("rollback", older, "--json", code=5).error
    assert newer in error["message"]
    assert "aside" in error["hint"]
    assert newer in shell("resume", older, "--json", code=5).error["message"]
    assert small.fingerprint() == before


def test_what_was_set_aside_is_restored_like_any_backup(shell: Shell, small: SmallSite) -> None:
    (small.config / "config.yaml").write_text((small.config / "config.yaml").read_text() + "# mine\n")
    before = small.fingerprint()
    shell.restored("config")
    assert small.fingerprint() != before
    aside = next(
        row["id"] for row in shell("catalog", "config", "--json", code=0).json["backups"] if row["source"] == "aside"
    )
    shell("restore", "--yes", "--plan", shell.plan(backup=aside), code=0)
    assert (small.config / "config.yaml").read_text().endswith("# mine\n")
