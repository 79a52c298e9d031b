"""A Git repository on another host: by a real sshd, and by https as git's own CGI and as plain files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_recover.errors import SourceError
from pacs_recover.model import Backup
from pacs_recover.sources.git import GitSource
from tests.sources.git_hosts import Https, Ssh, https_server, ssh_server
from tests.sources.git_repos import Repo
from tests.sources.places import open_place
from tests.sources.test_git import listed, members, problem, told

pytestmark = [
    pytest.mark.needs("git", reason="repositories are made, served and read with it"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # the server's connections that a client cut
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that a server's own users can reach."""
    with open_place() as path:
        yield path


@pytest.fixture
def repo(place: Path) -> Repo:
    """Two commits, the second with a private key."""
    repo = Repo(place / "repo")
    repo.commit({"pb/config.yaml": b"a: 1\n"})
    repo.commit({"pb/config.yaml": b"a: 2\n", "pb/certs/server.key": b"k\n"}, "second", 1)
    return repo


@pytest.fixture
def ssh(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ssh]:
    """A running sshd, and its client on PATH."""
    (place / "ssh").mkdir()
    with ssh_server(place / "ssh") as server:
        monkeypatch.setenv("PATH", f"{server.client()}:{os.environ['PATH']}")
        yield server


@pytest.fixture
def https(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Https]:
    """A running https server that is trusted."""
    with https_server(place) as server:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(server.authority))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server


def lists_and_opens(source: GitSource, scratch: Path) -> None:
    """What every way to the same repository gives."""
    scratch.mkdir()
    newest, oldest = listed(source)
    assert told(newest, "private key committed") == [("certs/server.key", "warn")]
    assert members(source, oldest, scratch) == {
        "pacs_bridge": (0o755, "/"),
        "pacs_bridge/config.yaml": (0o644, b"a: 1\n"),
    }
    assert members(source, newest, scratch)["pacs_bridge/config.yaml"] == (0o644, b"a: 2\n")
    assert list(scratch.iterdir()) == []


sshd = pytest.mark.needs("sshd", "ssh", "ssh-keygen", reason="a real server of ssh")


@sshd
@pytest.mark.parametrize("filters", ["true", "false"])
def test_over_ssh_commits_are_listed_and_opened(repo: Repo, ssh: Ssh, place: Path, filters: str) -> None:
    repo.git("config", "uploadpack.allowFilter", filters)
    source = GitSource("far", ssh.url(repo.path), directory="pb")
    lists_and_opens(source, place / "scratch")
    short = GitSource("far", ssh.url(repo.path), "main", "pb")
    assert [backup.id for backup in listed(short)] == [backup.id for backup in listed(source)]


@sshd
def test_over_ssh_every_refusal_is_told_from_the_others_without_a_question(repo: Repo, ssh: Ssh) -> None:
    source = GitSource("far", ssh.url(repo.path))
    ssh.knows()
    assert "host key is not known" in problem(source).reason
    ssh.knows("stranger")
    changed = problem(source)
    assert "host key is not the known one" in changed.reason
    assert "fingerprint" in changed.hint
    ssh.knows("host")
    ssh.signs_in_with("stranger")
    assert "refuses this user's key" in problem(source).reason
    ssh.signs_in_with("user")
    assert "no Git repository" in problem(GitSource("far", ssh.url(repo.path / "nothing"))).reason
    assert "no branch nope" in problem(GitSource("far", ssh.url(repo.path), "nope")).reason
    assert "directory nope" in problem(GitSource("far", ssh.url(repo.path), directory="nope")).reason
    assert (ssh.home / "known").read_text().count("\n") == 1


@sshd
def test_over_ssh_an_empty_repository_and_a_vanished_commit_are_told(repo: Repo, ssh: Ssh, place: Path) -> None:
    Repo(place / "empty")
    assert "no commits" in problem(GitSource("far", ssh.url(place / "empty"))).reason
    source = GitSource("far", ssh.url(repo.path))
    newest = listed(source)[0]
    repo.git("reset", "-q", "--hard", "HEAD^")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("prune", "--expire=now")
    with pytest.raises(SourceError, match=newest.key), source.open(newest, place):
        pass


@sshd
def test_the_short_form_of_ssh_is_understood(repo: Repo, ssh: Ssh) -> None:
    ssh.config.write_text(ssh.config.read_text() + f"Host backup-server\nHostName 127.0.0.1\nPort {ssh.port}\n")
    assert len(listed(GitSource("far", f"backup-server:{repo.path}"))) == 2


tls = pytest.mark.needs("openssl", reason="the server's certificate")


@tls
@pytest.mark.parametrize("dumb", [False, True], ids=["git's own", "plain files"])
def test_over_https_commits_are_listed_and_opened(repo: Repo, https: Https, place: Path, dumb: bool) -> None:
    https.dumb = dumb
    repo.git("update-server-info")
    lists_and_opens(GitSource("far", https.url("repo/.git"), directory="pb"), place / "scratch")


@tls
def test_over_https_every_refusal_is_told_from_the_others(
    repo: Repo, https: Https, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = GitSource("far", https.url("repo/.git"))
    for status, words in ((401, "wants a name and password"), (403, "denies access"), (404, "no Git repository")):
        https.answer = status
        found = problem(source)
        assert words in found.reason
        assert found.hint
    https.answer = 0
    monkeypatch.delenv("GIT_SSL_CAINFO")
    assert "TLS" in problem(source).reason


@tls
def test_a_token_in_a_url_is_never_repeated(repo: Repo, https: Https) -> None:
    https.answer = 500
    found = problem(GitSource("far", https.url("repo/.git").replace("://", "://s3cret-token@")))
    assert "s3cret" not in str(found)
    assert "127.0.0.1" in found.reason


def test_a_listing_that_is_given_up_leaves_nothing_behind(
    repo: Repo, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    listing = GitSource("near", str(repo.path)).listing()
    assert isinstance(next(listing), Backup)
    del listing
    assert list((place / "tmp").iterdir()) == []
