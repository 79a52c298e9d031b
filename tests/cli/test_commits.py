"""The configuration's Git history through the real command: shown, compared, restored, also by ssh and an agent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.offsite import on, untouched
from tests.cli.shell import Shell
from tests.runs.small_site import SmallSite
from tests.sources.git_hosts import ssh_server
from tests.sources.git_repos import Repo
from tests.sources.places import open_place

pytestmark = pytest.mark.needs("git", reason="repositories are made and read with it")


def files_of(small: SmallSite) -> dict[str, bytes]:
    """The live configuration without its keys."""
    found = {str(path.relative_to(small.config)): path for path in small.config.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.endswith(".key")}


def history(small: SmallSite, path: Path) -> tuple[Repo, bytes]:
    """Two commits: the second has another log level, an executable and, by mistake, a private key."""
    repo, files = Repo(path), files_of(small)
    repo.commit({f"etc/{name}": content for name, content in files.items()}, "First")
    text = files["config.yaml"] + b"# the one to go back to\n"
    (path / "etc/hooks").mkdir()
    (path / "etc/hooks/reload.sh").write_text("#!/bin/sh\n")
    (path / "etc/hooks/reload.sh").chmod(0o755)
    repo.commit({"etc/config.yaml": text, "etc/spare/old.key": b"k\n"}, "Say which one to go back to", 1)
    return repo, text


def section(repository: str | Path) -> dict[str, str]:
    """How the site file names it."""
    return {"kind": "git", "name": "history", "repository": str(repository), "directory": "etc"}


def test_a_commit_is_shown_compared_extracted_and_restored(small: SmallSite, tmp_path: Path) -> None:
    repo, text = history(small, tmp_path / "repo")
    shell = on(small, section(repo.path))
    newest, first = shell("catalog", "--json", code=0).json["backups"]
    findings = {fact["label"]: (fact["value"], fact["state"]) for fact in newest["findings"]}
    assert findings["author"] == ("Op Erator", "ok")
    assert findings["subject"] == ("Say which one to go back to", "ok")
    assert findings["private key committed"] == ("spare/old.key", "warn")
    assert [fact["state"] for fact in first["findings"]] == ["ok", "ok"]
    assert "Op Erator, Say which one to go back to" in " ".join(shell("catalog", code=0).out.split())
    seen = shell("preview", newest["id"], "--json", code=0).json
    assert {"author", "private key committed", "read to its end"} <= {fact["label"] for fact in seen["facts"]}
    assert "+# the one to go back to" in shell("diff", newest["id"], "--json", code=0).json["diff"]
    shell("extract", newest["id"], str(tmp_path / "out"), code=0)
    (script,) = (tmp_path / "out").rglob("reload.sh")
    assert script.stat().st_mode & 0o111
    plan = shell("plan", "config", "--json", code=0).json
    assert [one["id"] for one in plan["backups"]] == [newest["id"]]
    assert "private key committed" in {fact["label"] for fact in plan["findings"]}
    lines = shell("restore", "--yes", "--plan", plan["plan_id"], "--json", code=0).lines
    assert lines[-1]["outcome"] == "restored"
    assert (small.config / "config.yaml").read_bytes() == text
    assert (small.config / "config.yaml").stat().st_mode & 0o007 == 0
    assert (small.config / "hooks/reload.sh").stat().st_mode & 0o100
    assert list((small.config / "certs").glob("*.key"))  # no commit has them: the live ones stay


def test_a_commit_that_is_gone_is_refused_before_the_stop(small: SmallSite, tmp_path: Path) -> None:
    repo, _ = history(small, tmp_path / "repo")
    shell = on(small, section(repo.path))
    plan = shell.plan("config")
    repo.git("reset", "-q", "--hard", "HEAD~1")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    with untouched(small):
        error = shell("restore", "--yes", "--plan", plan, "--json", code=3).error
    assert "there is no commit" in error["message"]
    assert error["hint"]


@contextmanager
def agent(key: Path, socket: Path) -> Iterator[None]:
    """An ssh-agent that alone holds a key."""
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert process.poll() is None
        subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, check=True)
        key.unlink()
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.needs("sshd", "ssh-agent", reason="a run fetches by the operator's agent")
def test_a_run_fetches_by_the_operators_agent_before_the_stop(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_place() as place:
        (place / "ssh").mkdir()
        repo, text = history(small, place / "repo")
        with ssh_server(place / "ssh") as server, agent(place / "ssh/user", place / "agent"):
            server.config.write_text(f"UserKnownHostsFile {place}/ssh/known\nGlobalKnownHostsFile /dev/null\n")
            monkeypatch.setenv("PATH", f"{server.client()}:{os.environ['PATH']}")
            shell = on(small, section(server.url(repo.path)))
            shell.env["SSH_AUTH_SOCK"] = str(place / "agent")
            plan = shell("plan", "config", "--json", code=0).json["plan_id"]
            without = Shell(small, shell.options, {"SSH_AUTH_SOCK": ""})
            with untouched(small):
                assert "key" in without("restore", "--yes", "--plan", plan, "--json", code=3).error["message"]
            lines = shell("restore", "--yes", "--plan", plan, "--json", code=0).lines
    assert lines[-1]["outcome"] == "restored"
    assert (small.config / "config.yaml").read_bytes() == text
    assert not list((small.root / "state").rglob("pacs-recover-git-*"))
