"""Locks and hand-over: who has the site, commands that a restore waits for and they for it, whose the questions are."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.cli.shell import Gate, Shell, kill_worker, risky, until, with_site
from tests.cli.test_audit import shell, syslogd, told
from tests.cli.test_json_documented import check_lines
from tests.runs.small_site import SmallSite, outcome

__all__ = ["shell", "syslogd"]


def test_while_a_command_has_the_site_a_restore_is_refused_and_names_it(
    shell: Shell, small: SmallSite, tmp_path: Path
) -> None:
    plan = shell.plan("config")
    slow = f"touch {tmp_path}/runs; sleep 60 >/dev/null 2>&1 & wait"
    backup = shell.start("lock", "exec", "--", "sh", "-c", slow)
    until((tmp_path / "runs").exists)
    (held,) = shell("lock", "show", "--json", code=0).json["locks"]
    assert (held["what"], held["operator"], held["pid"]) == ("sh", "anna", backup.pid)
    refused = shell("restore", "--yes", "--plan", plan, "--json", code=5).error["message"]
    assert "held still for sh of anna on " in refused
    assert f"(pid {backup.pid})" in refused
    assert "held by sh of anna" in shell("status", code=0).out
    assert "held still" in shell("lock", "exec", "--", "true", code=5).err
    backup.send_signal(signal.SIGKILL)
    backup.communicate(timeout=60)
    assert shell("lock", "show", "--json", code=0).json["locks"], "what it started goes on"
    (small.root / "state").mkdir(exist_ok=True)
    until(lambda: _killed_sleeper(small.live) and not shell("lock", "show", "--json").json["locks"])
    shell("restore", "--yes", "--plan", plan, code=0)


def _killed_sleeper(live: Path) -> bool:
    """End what the command left: the only one that has a lock of this site open; other tests hold locks of theirs."""
    import os

    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [os.readlink(fd) for fd in (process / "fd").iterdir()]
        except OSError:
            continue
        if (
            any(link.startswith(f"{live}/") and link.endswith(".lock") for link in links)
            and int(process.name) != os.getpid()
        ):
            os.kill(int(process.name), signal.SIGKILL)
    return True


def test_the_status_is_the_command_s_own(shell: Shell) -> None:
    shell("lock", "exec", "--", "sh", "-c", "exit 42", code=42)
    assert shell("lock", "exec", "echo", "--json", "-n", code=0).out == "--json -n\n"
    assert "no program here" in shell("lock", "exec", "--", "no-such-program", code=127).err
    shell("lock", "exec", code=2)
    assert shell("lock", "show", code=0).out == "nobody holds the site\n"
    whats = [(record["what"], record["object"]) for record in told(shell)]
    assert whats == [("lock", "command sh"), ("lock", "command echo")]


def test_a_backup_waits_for_a_restore_skips_it_or_is_refused(small: SmallSite, tmp_path: Path) -> None:
    gate = Gate(small)
    shell = gate.shell
    restore = shell.start("restore", "--yes", "--plan", shell.plan("config"), "--json")
    gate.reached()
    made = tmp_path / "made"
    run = shell("runs", "--json").json["runs"][0]
    refused = shell("lock", "exec", "--", "touch", str(made), code=5).err
    assert f"run {run['run']}" in refused
    assert "skipped: " in shell("lock", "exec", "--skip", "--", "touch", str(made), code=0).err
    began = time.monotonic()
    shell("lock", "exec", "--wait", "0.6", "--", "touch", str(made), code=5)
    assert time.monotonic() - began > 0.6
    (held,) = shell("status", "--json").json["locks"]
    assert (held["what"], held["host"]) == (f"run {run['run']}", run["host"])
    assert not made.exists()
    waiting = shell.start("lock", "exec", "--wait", "60", "--", "touch", str(made))
    gate.open()
    assert restore.wait(60) == 0
    assert waiting.wait(60) == 0
    assert made.exists()
    for process in (restore, waiting):
        process.communicate()


def test_a_half_restored_site_is_not_backed_up(shell: Shell, small: SmallSite) -> None:
    from tests.cli.shell import journalled

    small.on_start("sleep 60\n")
    process = shell.start("restore", "--yes", "--plan", shell.plan("config"), "--json")
    until(lambda: journalled(small, '"title":"Start the services"'))
    kill_worker(small)
    process.communicate(timeout=60)
    assert "has not ended" in shell("lock", "exec", "--", "true", code=5).err
    assert "has not ended" in shell("lock", "exec", "--skip", "--", "false", code=0).err


def test_another_operator_watches_and_answers_only_after_taking_over(
    shell: Shell, small: SmallSite, tmp_path: Path
) -> None:
    risky(small)
    shell = Shell(small, with_site(small, question_timeout="60s").options, shell.env)
    berta = Shell(small, shell.options, env={**shell.env, "SUDO_USER": "berta", "SUDO_UID": "1001"})
    name = small.site.name
    with shell.terminal("restore", "queue") as anna:
        anna.expect(f"({name})")
        anna.type(f"{name}\n")
        anna.expect("Type yes or no")
        run = shell("runs", "--json").json["runs"][0]["run"]
        path = small.root / "state/runs" / run
        assert "at a terminal" in berta("attach", run, "--take-over", code=5).err
        with berta.terminal("attach", run) as watching:
            watching.expect("anna answers this run")
            watching.expect("--take-over")
            answer_as(small, run, "berta")
            time.sleep(0.5)
            assert shell("runs", "--json").json["runs"][0]["outcome"] == "running", (path / "worker.log").read_text()
        with berta.terminal("attach", run, "--take-over") as taking:
            taking.expect("are anna's")
            taking.expect(f"({name})")
            taking.type("no such name\n")
            assert taking.ends() == 5
        with berta.terminal("attach", run, "--take-over") as taking:
            taking.expect(f"({name})")
            taking.type(f"{name}\n")
            taking.expect("Type yes or no")
            anna.expect("berta answers this run")
            taking.type("yes\n")
            assert taking.ends() == 0
        assert anna.ends() == 0
    assert outcome(path).outcome == "restored"
    journal = (path / "journal.jsonl").read_text()
    assert '"kind":"handed"' in journal
    assert '"by":"berta"' in journal
    assert "handed" in check_lines(shell("attach", run, "--json", code=0).lines)
    seen = [(record["what"], record["outcome"].partition(":")[0]) for record in told(shell)]
    assert [said for said in seen if said[0] in ("take-over", "answer")] == [
        ("take-over", "by berta, from anna"),
        ("answer", "yes, said by berta"),
        ("answer", "yes, by berta"),
    ]


def answer_as(small: SmallSite, run: str, by: str) -> None:
    """Past every front end: the file that a worker of before would have taken."""
    from pacs_recover import questions
    from pacs_recover.events import Asked
    from pacs_recover.journal import read

    path = small.root / "state/runs" / run
    asked = next(event for event in read(path / "journal.jsonl")[0] if isinstance(event, Asked))
    questions.give(path, asked.question, True, by)
