"""The configuration in Git: committed and pushed without keys and secrets, read back from there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.shell import Shell, with_site
from tests.cli.test_guide import digests
from tests.making.conftest import local, sh, stored
from tests.runs.small_site import SmallSite

pytestmark = pytest.mark.needs("git", reason="the history is git's own")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty bare one, as a server has them."""
    path = tmp_path / "config.git"
    sh('git init -q --bare --initial-branch=main "$R"', R=path)
    return path


@pytest.fixture
def git(small: SmallSite, store: Path, repository: Path) -> Shell:
    """A site whose backups go to a directory and to Git."""
    source = {"kind": "git", "name": "git", "repository": str(repository), "branch": "main"}
    return with_site(small, sources=[local(store), source], backup={"to": ["local", "git"]})


def commits(repository: Path) -> list[str]:
    """Their subjects, newest first."""
    return sh('git --git-dir="$R" log --format=%s main 2>/dev/null || true', R=repository).splitlines()


def test_d3_no_private_key_is_committed_and_what_is_restores(
    git: Shell, small: SmallSite, repository: Path, tmp_path: Path
) -> None:
    (small.config / "hook.sh").write_text("#!/bin/sh\n")
    (small.config / "hook.sh").chmod(0o755)
    made = git("backup", "full", "--json", code=0).json["backups"]
    assert [(one["component"], one["destination"]) for one in made][:2] == [("config", "local"), ("config", "git")]
    listed = git("catalog", "--json", code=0).json["backups"]
    assert {found["verdict"] for found in listed if found["source"] != "aside"} == {"good"}
    held = sh('git --git-dir="$R" ls-tree -r main', R=repository)
    assert "server.crt" in held
    assert ".key" not in held
    assert [line.split()[0] for line in held.splitlines() if line.endswith("hook.sh")] == ["100755"]
    assert {line.split()[0] for line in held.splitlines()} == {"100644", "100755"}
    everything = sh('git --git-dir="$R" cat-file --batch-all-objects --batch | strings', R=repository)
    assert "PRIVATE KEY" not in everything
    clone = tmp_path / "clone"
    sh('git clone -q "$R" "$C"', R=repository, C=clone)
    live = {name: digest for name, digest in digests(small.config).items() if not name.endswith(".key")}
    assert {n: d for n, d in digests(clone).items() if not n.startswith(".git/")} == live
    before, modes = digests(small.config), (small.config / "certs/server.key").stat().st_mode & 0o777
    (small.config / "config.yaml").write_text("damaged: [\n")
    (chosen,) = [one["backup"] for one in made if one["destination"] == "git"]
    git("restore", "--yes", "--plan", git.plan("config", backup=chosen), "--json", code=0)
    assert digests(small.config) == before
    assert (small.config / "certs/server.key").stat().st_mode & 0o777 == modes == 0o600


def test_only_a_change_makes_a_commit(git: Shell, small: SmallSite, repository: Path) -> None:
    git("backup", "config", "--to", "git", code=0)
    assert "unchanged since that commit" in git("backup", "config", "--to", "git", code=0).out
    assert len(commits(repository)) == 1
    (small.config / "mapping/stations.yaml").unlink()
    git("backup", "config", "--to", "git", code=0)
    assert len(commits(repository)) == 2
    assert "stations" not in sh('git --git-dir="$R" ls-tree -r main', R=repository)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("extra.yaml", "db:\n  password: hunter2-in-the-clear\n", "holds a secret, which Git would keep (line 2)"),
        ("extra.yaml", "url: https://user:hunter2@example/\n", "holds a secret"),
        ("notes.txt", "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n", "holds a private key"),
    ],
)
def test_d3_secrets_stay_out_of_git_and_the_line_is_named(
    git: Shell, small: SmallSite, repository: Path, store: Path, name: str, text: str, said: str
) -> None:
    (small.config / name).write_text(text)
    done = git("backup", "config")
    assert done.code in (1, 3), done
    assert said in done.err or "private key" in done.err
    assert "hunter2" not in done.out + done.err
    assert commits(repository) == []
    assert [path.partition("/")[0] for path in stored(store)] == (["config"] if "key" not in said else [])


def test_a_variable_is_no_secret(git: Shell, small: SmallSite, repository: Path) -> None:
    (small.config / "extra.yaml").write_text('db:\n  password: "${DB_PASSWORD}"\n  client_auth: required\n')
    git("backup", "config", "--to", "git", code=0)
    assert len(commits(repository)) == 1


def test_a_failed_push_is_told_and_repaired_by_the_next(
    git: Shell, small: SmallSite, repository: Path, store: Path
) -> None:
    hook = repository / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no pushing today >&2\nexit 1\n")
    hook.chmod(0o755)
    done = git("backup", "config", code=3)
    assert "NOT BACKED UP: config to git" in done.err
    assert "pre-receive hook declined" in done.err
    assert len(stored(store)) == 1, "the directory has it all the same"
    hook.unlink()
    (small.config / "mapping/stations.yaml").write_text("stations: {}\n")
    git("backup", "config", "--to", "git", code=0)
    assert sh('git --git-dir="$R" show main:mapping/stations.yaml', R=repository) == "stations: {}\n"
    repository.rename(repository.with_name("gone.git"))
    assert "there is no repository" in git("backup", "config", "--to", "git", code=3).err


def test_what_others_pushed_stays_and_a_directory_of_it_is_ours(
    small: SmallSite, repository: Path, store: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    sh(
        'git clone -q "$R" "$W" 2>/dev/null; cd "$W"; echo x >README; git add .; git commit -qm first',
        R=repository,
        W=work,
        **who,
    )
    sh('cd "$W"; git push -q origin HEAD:main', W=work)
    source = {"kind": "git", "name": "git", "repository": str(repository), "branch": "main", "directory": "etc/site a"}
    own = with_site(small, sources=[local(store), source])
    own("backup", "config", "--to", "git", code=0)
    assert commits(repository) == ["Configuration of demo-hospital", "first"]
    names = sh('git --git-dir="$R" ls-tree -r --name-only main', R=repository).splitlines()
    assert "README" in names
    assert "etc/site a/config.yaml" in names
    checked_out = with_site(small, sources=[{**source, "repository": str(work), "directory": ""}])
    sh('cd "$W"; git checkout -q -B main', W=work)
    assert "bare repository" in checked_out("backup", "config", "--to", "git", code=3).err
    assert subprocess.run(["git", "-C", str(work), "status", "--short"], capture_output=True, check=True).stdout == b""
    assert os.listdir(work) == [".git", "README"] or set(os.listdir(work)) == {".git", "README"}
