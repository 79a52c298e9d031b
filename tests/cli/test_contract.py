"""Names, JSON keys and exit codes that scripts, cron and monitoring rely on, as the contract spells them."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from pacs_recover.events import AnyEvent
from tests.cli.shell import COMMAND, Shell, environment, with_site
from tests.runs.small_site import SmallSite


def keys(text: str) -> set[str]:
    """The contract's own spelling, as a set."""
    return set(text.replace('"', "").split(","))


BACKUP = keys('"id","component","source","key","taken_at","size","encrypted","storage_class","readable","verified"')
CERTIFICATE = keys(
    '"file","subject","sans","issuer","serial","not_before","not_after","days_left","key_matches","state"'
)
PLAN = keys(
    '"plan_id","components","target","rto_seconds","predicted_seconds","predicted_downtime_seconds","backups","steps",'
    '"changes","replay_risk"'
)
REPORT = keys(
    '"run","mode","outcome","started_at","ended_at","total_seconds","rto_seconds","rto_met","downtime_seconds",'
    '"soak_seconds","human_wait_seconds","steps","checks","backups","operator","host"'
)
KINDS = {event.__name__.lower() for event in get_args(AnyEvent)}


def test_catalog_has_the_keys_of_the_contract_and_is_newest_first(shell: Shell) -> None:
    found = shell("catalog", "--json", code=0).json
    assert {"backups", "sources"} <= found.keys()
    assert all(keys_of >= BACKUP for keys_of in map(dict.keys, found["backups"]))
    assert all(source.keys() >= keys('"name","kind","ok","error"') for source in found["sources"])
    taken = [backup["taken_at"] for backup in found["backups"]]
    assert taken == sorted(taken, reverse=True)
    assert {backup["component"] for backup in found["backups"]} == {"config", "certs", "queue", "logs"}


def test_catalog_takes_a_component_and_a_source(shell: Shell) -> None:
    found = shell("catalog", "certs", "--source", "local", "--json", code=0).json["backups"]
    assert {(backup["component"], backup["source"]) for backup in found} == {("certs", "local")}
    assert all(backup["encrypted"] for backup in found)


def test_a_source_that_cannot_be_read_is_told_and_the_others_are_listed(small: SmallSite, tmp_path: Path) -> None:
    local = {"kind": "local", "name": "local", "path": str(small.root / "backups")}
    gone = {"kind": "local", "name": "gone", "path": str(tmp_path / "not-mounted")}
    done = with_site(small, sources=[local, gone])("catalog", "--json", code=0)
    assert done.json["backups"]
    assert [(source["name"], source["ok"]) for source in done.json["sources"]][:2] == [("local", True), ("gone", False)]
    assert "not-mounted" in done.err
    alone = with_site(small, sources=[gone])("catalog", "--source", "gone")
    assert (alone.code, alone.out) == (3, "")
    assert "gone" in alone.err


def test_preview_of_a_queue_has_the_keys_of_the_contract(shell: Shell, small: SmallSite) -> None:
    found = shell("preview", small.demo.good["queue"], "--json", code=0).json
    assert {"backup", "facts", "state", "tables", "states", "oldest", "newest"} <= found.keys()
    assert found["backup"].keys() >= BACKUP
    assert all(fact.keys() == {"label", "value", "state"} for fact in found["facts"])
    assert all(table.keys() >= {"name", "rows"} for table in found["tables"])
    assert "pending" in found["states"]


def test_preview_of_certificates_has_the_keys_of_the_contract(shell: Shell, small: SmallSite) -> None:
    found = shell("preview", small.demo.good["certs"], "--json", code=0).json
    assert found["state"] in ("ok", "warn")
    assert found["certificates"]
    assert all(certificate.keys() >= CERTIFICATE for certificate in found["certificates"])


def test_plan_has_the_keys_of_the_contract(shell: Shell) -> None:
    found = shell("plan", "full", "--json", code=0).json
    assert found.keys() >= PLAN
    assert found["components"] == ["config", "certs", "queue"]
    assert all(step.keys() >= keys('"title","kind","budget_seconds","covers"') for step in found["steps"])
    assert {step["kind"] for step in found["steps"]} <= {"do", "check", "ask"}
    assert found["replay_risk"].keys() >= keys('"resent","dead_lettered","lost_since"')
    assert found["rto_seconds"] == 1800
    assert shell("plan", "config", "--json", code=0).json["replay_risk"] is None


def test_a_followed_run_is_json_lines_and_its_report_has_the_keys_of_the_contract(shell: Shell) -> None:
    lines = shell("restore", "--yes", "--plan", shell.plan("full"), "--json", code=0).lines
    *events, last = lines
    assert {line["kind"] for line in events} <= KINDS
    assert {"began", "passed", "effect", "ended"} <= {line["kind"] for line in events}
    assert all(line.keys() >= {"kind", "at", "step", "title", "evidence"} for line in events)
    assert last["kind"] == "report"
    assert last.keys() >= REPORT
    report = shell("report", "--json", code=0).json
    assert report.keys() >= REPORT
    assert report["outcome"] == "restored"
    assert all(
        step.keys() >= keys('"title","kind","state","seconds","budget_seconds","evidence"') for step in report["steps"]
    )


def test_runs_has_the_keys_of_the_contract_newest_first(shell: Shell) -> None:
    assert shell("runs", "--json", code=0).json == {"runs": []}
    first, second = shell.restored("config"), shell.restored("certs")
    found = shell("runs", "--json", code=0).json["runs"]
    assert [row["run"] for row in found] == [second, first]
    wanted = keys('"run","mode","components","outcome","started_at","total_seconds","operator"')
    assert all(row.keys() >= wanted for row in found)
    assert all(row["operator"] for row in found)


def test_status_tells_freshness_services_and_unfinished_runs(shell: Shell) -> None:
    found = shell("status", "--json", code=0).json
    assert [row["component"] for row in found["components"]] == ["config", "certs", "queue", "logs"]
    assert found["services"][0]["activity"] == "active"
    assert found["unfinished"] == []


def test_diff_masks_and_extract_touches_nothing_live(shell: Shell, small: SmallSite, tmp_path: Path) -> None:
    before, backup = small.fingerprint(), small.demo.good["config"]
    assert shell("diff", backup, "--json", code=0).json.keys() >= {"backup", "changes", "diff", "replay_risk"}
    done = shell("extract", backup, str(tmp_path / "out"), code=0)
    assert done.out == f"{tmp_path}/out\n"
    assert list((tmp_path / "out").rglob("config.yaml"))
    assert shell("extract", backup, str(tmp_path / "out"), code=5).err.count("exists") == 1
    assert small.fingerprint() == before
    assert small.calls() == []


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("catalog", "nonsense"),
        ("catalog", "--source", "nonsense"),
        ("preview",),
        ("plan",),
        ("plan", "nonsense"),
        ("plan", "logs"),
        ("plan", "queue", "--at", "yesterday-ish"),
        ("restore", "--nonsense"),
        ("close", "latest"),
        ("attach", "20200101"),
        ("report", "latest", "--format", "pdf"),
    ],
)
def test_wrong_usage_is_2_with_a_hint_and_an_error_in_json(shell: Shell, words: tuple[str, ...]) -> None:
    error = shell(*words, "--json", code=2).error
    assert error["message"]
    assert error["hint"]


def test_an_error_is_text_on_stderr_without_json(shell: Shell) -> None:
    done = shell("catalog", "nonsense", code=2)
    assert done.out == ""
    assert done.err.startswith("pacs-recover: ")
    assert "\n  next: " in done.err


def test_a_backup_that_is_not_there_is_3_and_the_hint_names_the_nearest(shell: Shell, small: SmallSite) -> None:
    mistyped = small.demo.good["queue"].replace("queue/2", "queue/3")
    error = shell("preview", mistyped, "--json", code=3).error
    assert mistyped in error["message"]
    assert "pacs-recover catalog" in error["hint"]
    assert "did you mean" in error["hint"]


def test_both_ways_to_call_it_say_the_same_and_name_every_command() -> None:
    def said(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment()).stdout

    text = said(*COMMAND, "--help")
    assert said(sys.executable, "-m", "pacs_recover", "--help") == text
    for name in (
        "demo", "site", "catalog", "preview", "diff", "extract", "plan", "restore", "runs", "attach", "resume",
        "rollback", "close", "report", "status", "thaw",
    ):  # fmt: skip
        assert f"\n  {name} " in text


def test_every_command_s_help_fits_80_columns(shell: Shell) -> None:
    texts = [shell(*words, "--help", code=0).out for words in ((), ("restore",), ("rollback",), ("site", "init"))]
    assert max(len(line) for text in texts for line in text.splitlines()) <= 80
    assert "..." not in texts[0].partition("Commands:")[2]


@pytest.mark.parametrize(
    "words",
    [
        ("restore", "queue"),
        ("restore", "queue", "--yes", "--plan", "0"),
        ("rollback", "latest"),
        ("resume", "latest"),
        ("close", "latest", "--why", "test"),
        ("extract", "queue", "/nowhere/out"),
        ("site", "init", "/nowhere/site.yaml"),
        ("demo",),
    ],
)
def test_read_only_refuses_everything_that_changes_anything(small: SmallSite, words: tuple[str, ...]) -> None:
    own = Shell(small).argv(())[len(COMMAND) :]
    done = Shell(small, ("--read-only", *own))(*words, code=5)
    assert "--read-only" in done.err
    assert {path.name for path in (small.root / "state").iterdir()} == {"audit"}  # of the refusal itself


def test_read_only_looks_and_plans_without_keeping_a_plan(small: SmallSite) -> None:
    own = Shell(small).argv(())[len(COMMAND) :]
    shell = Shell(small, ("--read-only", *own))
    shell("catalog", code=0)
    shell("preview", small.demo.good["config"], code=0)
    shell("status", code=0)
    assert "arms nothing" in shell("plan", "queue", code=0).err
    assert {path.name for path in (small.root / "state").iterdir()} == {"audit"}  # of the refusal itself


def test_progress_and_questions_go_to_stderr_and_data_to_stdout(shell: Shell) -> None:
    done = shell("restore", "--yes", "--plan", shell.plan("config"), code=0)
    assert done.out.startswith("RESTORED in ")
    assert "passed" in done.err
    assert "sealed" not in done.err
    assert "began" not in done.err


@pytest.mark.parametrize("words", [("catalog", "--json"), ("audit", "verify"), ("status",)])
def test_a_reader_that_goes_away_is_no_fault_and_no_success(shell: Shell, words: tuple[str, ...]) -> None:
    command = subprocess.list2cmdline(shell.argv(words))
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_a_followed_run_whose_reader_goes_away_goes_on_and_is_7(shell: Shell, small: SmallSite) -> None:
    with shell.start("restore", "--yes", "--plan", shell.plan("queue"), "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 7
    assert shell("attach", code=0).out.startswith("RESTORED")


def test_text_fits_80_columns(shell: Shell, small: SmallSite) -> None:
    for words in (("catalog",), ("status",), ("runs",), ("preview", small.demo.good["certs"]), ("plan", "full")):
        lines = shell(*words, code=0).out.splitlines()
        assert [line for line in lines if len(line) > 80] == []


def test_times_are_shown_in_utc_and_on_the_host_s_clock(small: SmallSite) -> None:
    shell = Shell(small, env={"TZ": "Asia/Tokyo"})
    assert " UTC (" in shell("preview", small.demo.good["config"], code=0).out
    assert "JST)" in shell("preview", small.demo.good["config"], code=0).out
    row = next(
        line for line in shell("catalog", "config", code=0).out.splitlines() if small.demo.good["config"] in line
    )
    assert " 02:00  11:00  " in row


def test_alone_without_a_terminal_it_names_the_commands_instead_of_the_console(shell: Shell) -> None:
    done = shell(code=5)
    assert "terminal" in done.err
    assert "restore" in done.err


def test_what_is_written_is_private_whatever_the_umask(shell: Shell, small: SmallSite, tmp_path: Path) -> None:
    plan = shell("plan", "full", "--json", code=0, umask=0).json["plan_id"]
    run = shell("restore", "--yes", "--plan", plan, "--json", code=0, umask=0).lines[0]["run"]
    shell("rollback", run, code=5, umask=0)
    shell("extract", small.demo.good["certs"], str(tmp_path / "out"), code=0, umask=0)
    shell("report", run, "--format", "html", code=0, umask=0)
    shell("site", "init", str(tmp_path / "site.yaml"), code=0, umask=0)
    ours = [*(small.root / "state").rglob("*"), *small.live.rglob(".pacs_recover/*"), tmp_path / "site.yaml"]
    assert len(ours) > 10
    for path in (*ours, tmp_path / "out"):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    umask = shell("lock", "exec", "--", "sh", "-c", "umask", code=0, umask=0o027).out
    assert umask.strip() == "0027"
