"""Which site and which state directory a command uses, and what it refuses to trust or to do without."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.shell import COMMAND, Done, Shell, environment
from tests.runs.small_site import SmallSite


def test_site_init_writes_a_file_that_check_takes(small: SmallSite, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    shell = Shell(small, ("--site", str(path)))
    Shell(small, ("--state", str(tmp_path)))("site", "init", str(path), code=0)
    assert path.read_text() == Shell(small, ("--state", str(tmp_path)))("site", "init", code=0).out
    assert shell("site", "check", "--json", code=0).json["problems"] == []
    assert "site check" in Shell(small)("site", "init", str(tmp_path / "second.yaml"), code=0).err
    again = Shell(small)("site", "init", str(path))
    assert again.code != 0
    assert "exists" in again.err


def test_site_check_lists_all_problems_with_their_lines(small: SmallSite, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("nmae: x\nsoak: soon\nlive:\n  queue: relative/queue.db\n")
    path.chmod(0o600)
    shell = Shell(small, ("--site", str(path)))
    problems = shell("site", "check", "--json", code=2).json["problems"]
    assert [problem["line"] for problem in problems] == [1, 2, 4]
    assert "name" in problems[0]["message"] + problems[0]["hint"]
    text = shell("site", "check", code=2).out
    assert "line 1: " in text
    assert "3 problem" in text
    error = shell("catalog", "--json", code=2).error
    assert "line 4" in error["message"]
    assert "site check" in error["hint"]


def test_site_show_is_a_site_file_itself(shell: Shell, small: SmallSite, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(shell("site", "show", code=0).out)
    path.chmod(0o600)
    assert Shell(small, ("--site", str(path)))("site", "show", code=0).out == path.read_text()


def test_the_variable_names_the_site_and_the_option_goes_before_it(small: SmallSite, tmp_path: Path) -> None:
    by_variable = Shell(small, ("--state", str(tmp_path)), {"PACS_RECOVER_SITE": str(small.demo.site_file)})
    assert "demo-hospital" in by_variable("site", "show", code=0).out
    both = Shell(small, ("--site", str(small.demo.site_file)), {"PACS_RECOVER_SITE": str(tmp_path / "none.yaml")})
    assert "demo-hospital" in both("site", "show", code=0).out
    wrong = Shell(small, ("--state", str(tmp_path)), {"PACS_RECOVER_SITE": str(tmp_path / "none.yaml")})
    error = wrong("catalog", "--json", code=2).error
    assert "none.yaml" in error["message"]
    assert "PACS_RECOVER_SITE" in error["message"]
    assert "site init" in error["hint"]


@pytest.mark.skipif(Path("/etc/pacs_recover/site.yaml").exists(), reason="this host has a site file")
def test_without_a_site_file_the_guide_s_own_values_hold(small: SmallSite, tmp_path: Path) -> None:
    text = Shell(small, ("--state", str(tmp_path)))("site", "show", code=0).out
    for value in ("/etc/pacs_bridge", "/var/lib/pacs_bridge/queue.db", "/backup/pacs_bridge", "/root/.backup_key"):
        assert value in text


@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_a_site_file_that_others_can_write_is_refused(
    shell: Shell, small: SmallSite, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(small.demo.site_file.read_text())
    path.chmod(mode)
    error = Shell(small, ("--site", str(path)))("catalog", "--json", code=2).error
    assert str(path) in error["message"]
    assert "written by others" in error["message"]
    assert "chmod go-w" in error["hint"]


@pytest.mark.needs("root", reason="gives a file away")
def test_root_refuses_a_site_file_of_somebody_else(small: SmallSite, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(small.demo.site_file.read_text())
    path.chmod(0o600)
    os.chown(path, 12345, 12345)
    error = Shell(small, ("--site", str(path)))("plan", "queue", "--json", code=2).error
    assert "written by others" in error["message"]


def looks_but_does_not_restore(small: SmallSite, state: Path) -> None:
    """Looking works with this state directory; a live restore is 5 and names the option."""
    site = ("--site", str(small.demo.site_file))
    before = small.fingerprint()
    shell = Shell(small, (*site, "--state", str(state)))
    _looks(shell, small)
    error = shell("restore", "queue", "--yes", "--plan", "0", "--json", code=5).error
    assert str(state) in error["message"]
    assert "--state DIR" in error["hint"]
    with shell.terminal("restore", "queue") as terminal:
        assert terminal.ends() == 5
    assert (small.fingerprint(), small.calls()) == (before, [])


def _looks(shell: Shell, small: SmallSite) -> None:
    shell("catalog", code=0)
    shell("preview", small.demo.good["queue"], code=0)
    shell("diff", small.demo.good["config"], code=0)
    shell("status", code=0)
    shell("runs", code=0)
    done = shell("plan", "full", code=0)
    assert "arms nothing" in done.err
    assert "--state DIR" in done.err


def test_a_state_directory_that_cannot_be_made_refuses_restores_but_not_looking(
    small: SmallSite, tmp_path: Path
) -> None:
    (tmp_path / "in-the-way").write_text("a file")
    looks_but_does_not_restore(small, tmp_path / "in-the-way")
    below = Shell(small, ("--site", str(small.demo.site_file), "--state", str(tmp_path / "in-the-way/state")))
    below("restore", "queue", "--yes", "--plan", "0", code=5)


def test_a_state_directory_that_others_can_write_refuses_restores(small: SmallSite, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    shell = Shell(small, ("--site", str(small.demo.site_file), "--state", str(tmp_path / "state")))
    error = shell("restore", "--yes", "--plan", "0", "--json", code=5).error
    assert "written by others" in error["message"]


@pytest.mark.needs("root", "unshare", reason="mounts a full disk in a namespace of its own")
def test_a_full_disk_under_the_state_directory_refuses_restores_but_not_looking(
    small: SmallSite, tmp_path: Path
) -> None:
    """A full /var is a common incident; --state names another place, and then it goes."""
    before = small.fingerprint()

    def on_a_full_disk(*words: str) -> Done:
        full = shlex.quote(str(tmp_path / "full"))
        command = shlex.join([*COMMAND, "--site", str(small.demo.site_file), "--state", str(tmp_path / "full"), *words])
        mount = f"mkdir -p {full}; mount -t tmpfs -o size=64k,mode=700 tmpfs {full}"
        script = f"{mount}; cat /dev/zero >{full}/filled 2>&-; {command}"
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, env=environment(), check=False
        )
        assert "Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    for words in (("catalog",), ("preview", small.demo.good["queue"]), ("diff", small.demo.good["config"]), ("runs",)):
        assert on_a_full_disk(*words).code == 0, words
    plan = on_a_full_disk("plan", "full")
    assert plan.code == 0, plan
    assert "No space left" in plan.err
    assert "--state DIR" in plan.err
    refused = on_a_full_disk("restore", "--yes", "--plan", "0", "--json")
    assert refused.code == 5
    assert "No space left" in refused.error["message"]
    assert (small.fingerprint(), small.calls()) == (before, [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_state_directory_refuses_restores_but_not_looking(small: SmallSite, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o500)
    looks_but_does_not_restore(small, tmp_path / "state")


def test_another_state_directory_works_as_the_hint_says(small: SmallSite, tmp_path: Path) -> None:
    shell = Shell(small, ("--site", str(small.demo.site_file), "--state", str(tmp_path / "elsewhere")))
    run = shell.restored("config")
    assert (tmp_path / "elsewhere/runs" / run / "journal.jsonl").exists()
    assert f"--state {tmp_path}/elsewhere" in shell("plan", "config", code=0).err


def test_the_state_directory_of_a_user_is_the_usual_one(small: SmallSite, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root's is /var/lib/pacs_recover, which a test leaves alone")
    shell = Shell(small, ("--site", str(small.demo.site_file)), {"XDG_STATE_HOME": str(tmp_path)})
    shell("plan", "config", code=0)
    assert list((tmp_path / "pacs_recover/plans").iterdir())
