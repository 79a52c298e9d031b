"""A Git repository as a source: what is a backup, what is told of it, and that its bytes are the commit's own."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pacs_recover.components import Look, read_backup
from pacs_recover.components.config import CONFIG
from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.formats.manifest import Opened
from pacs_recover.formats.streams import finished
from pacs_recover.model import Backup
from pacs_recover.site import Site
from pacs_recover.sources import Problem, git_client
from pacs_recover.sources.git import GitSource
from tests.sources.git_repos import TAKEN, Repo
from tests.sources.places import open_place, unprivileged

pytestmark = pytest.mark.needs("git", reason="repositories are made and read with it")


def listed(source: GitSource) -> list[Backup]:
    """What it lists; a problem fails the test."""
    found = list(source.listing())
    assert not [one for one in found if isinstance(one, Problem)]
    return [one for one in found if isinstance(one, Backup)]


def problem(source: GitSource) -> Problem:
    """The one thing that it says instead of backups."""
    (found,) = source.listing()
    assert isinstance(found, Problem)
    return found


def members(source: GitSource, backup: Backup, scratch: Path) -> dict[str, tuple[int, bytes | str]]:
    """Names, modes and contents of a commit's tar."""
    with source.open(backup, scratch) as file:
        raw = file.read()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {
            one.name: (one.mode, one.linkname if one.issym() else (tar.extractfile(one) or io.BytesIO()).read())
            if not one.isdir()
            else (one.mode, "/")
            for one in tar
        }


def told(backup: Backup, label: str) -> list[tuple[str, str]]:
    """What the findings say under a label."""
    return [(fact.value, fact.state) for fact in backup.findings if fact.label == label]


def unpacked(source: GitSource, backup: Backup, into: Path) -> Path:
    """A commit through the component's own unpacking; the tree."""
    into.mkdir()
    look = Look(Site(), None, {})
    with source.open(backup, into.parent) as raw:
        finished(read_backup(CONFIG, backup, Opened(raw), into, look))
    return into / "config"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty repository."""
    return Repo(tmp_path / "repo")


def test_every_commit_that_touches_the_directory_is_a_backup_newest_first(repo: Repo) -> None:
    first = repo.commit({"etc/pb/config.yaml": b"a: 1\n"}, "Initial configuration")
    repo.commit({"README": b"no part of it\n"}, day=1)
    repo.commit({}, "nothing changed", day=2)
    last = repo.commit({"etc/pb/config.yaml": b"a: 2\n"}, "A second listener", day=3)
    found = listed(GitSource("history", str(repo.path), directory="/etc/pb/"))
    assert [backup.key for backup in found] == [f"{last}:etc/pb", f"{first}:etc/pb"]
    assert [backup.id for backup in found] == ["config/20261113_020000@history", "config/20261110_020000@history"]
    assert found[1].taken_at == TAKEN
    assert (found[1].component, found[1].format, found[1].size) == ("config", "tar", None)
    assert told(found[0], "author") == [("Op Erator", "ok")]
    assert told(found[0], "subject") == [("A second listener", "ok")]
    assert len(listed(GitSource("whole", str(repo.path)))) == 3  # the empty commit touches nothing


def test_lines_of_history_that_were_merged_are_all_there(repo: Repo) -> None:
    repo.commit({"config.yaml": b"1\n", "other": b"1\n"})
    repo.git("checkout", "-q", "-b", "side")
    side = repo.commit({"config.yaml": b"2\n"}, day=1)
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "-s", "ours", "-m", "ours", "side", at=TAKEN + timedelta(days=2))
    assert side in [backup.key for backup in listed(GitSource("git", str(repo.path)))]


def test_commits_of_one_second_have_ids_of_their_own_that_stay_when_others_come(repo: Repo) -> None:
    hashes = [repo.commit({"config.yaml": b"%d" % n}) for n in range(3)]
    source = GitSource("git", str(repo.path))
    before = {backup.key: backup.id for backup in listed(source)}
    assert before[hashes[0]] == "config/20261110_020000@git"
    assert before[hashes[2]] == f"config/20261110_020000~{hashes[2][:7]}@git"
    repo.commit({"config.yaml": b"more"})
    after = {backup.key: backup.id for backup in listed(source)}
    assert len(set(after.values())) == 4
    assert before.items() <= after.items()


def test_a_commit_that_removed_the_directory_is_none(repo: Repo) -> None:
    repo.commit({"pb/config.yaml": b"1", "other": b""})
    repo.git("rm", "-q", "-r", "pb")
    repo.commit({}, day=1)
    assert len(listed(GitSource("git", str(repo.path), directory="pb"))) == 1


def test_d3_a_private_key_that_was_committed_is_a_finding_also_in_a_certificates_file(repo: Repo) -> None:
    repo.commit({"config.yaml": b"1\n"})
    pem = b"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"
    repo.commit({"certs/server.key": b"k", "certs/both.pem": b"-----BEGIN CERTIFICATE-----\n" + pem}, day=1)
    repo.commit({"certs/ca.pem": b"-----BEGIN CERTIFICATE-----\n", "config.yaml": b"2\n"}, day=2)
    newest, middle, oldest = listed(GitSource("git", str(repo.path)))
    for backup in (newest, middle):
        assert told(backup, "private key committed") == [("certs/both.pem, certs/server.key", "warn")]
    assert not told(oldest, "private key committed")


def test_signatures_odd_times_and_hostile_words_are_told(repo: Repo) -> None:
    repo.commit({"config.yaml": b"1\n"})
    tree = repo.git("rev-parse", "HEAD^{tree}")
    future = int((datetime.now(UTC) + timedelta(days=400)).timestamp())
    for when in (str(future), "99999999999999999"):
        raw = (
            f"tree {tree}\nauthor \x1b[31mRed <r@e> 0 +0000\ncommitter C <c@d> {when} +0000\n"
            "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n"
            "\x1b]0;title\x07 \u202e subject\n"
        )
        commit = repo.git("hash-object", "-w", "-t", "commit", "--literally", "--stdin", data=raw.encode())
        repo.git("update-ref", "refs/heads/main", commit)
        (backup,) = listed(GitSource("git", str(repo.path)))
        assert [state for _, state in told(backup, "time")] == ["warn"]
        assert told(backup, "signature")
        assert told(backup, "author") == [("\\x1b[31mRed", "ok")]
        assert told(backup, "subject")[0][0].isprintable()
        assert backup.taken_at.tzinfo is UTC


def test_a_commit_is_restored_byte_for_byte_with_modes_and_links(repo: Repo, tmp_path: Path) -> None:
    files = {
        "config.yaml": b"server:\n  name: $Id$\r\n",
        "hook.sh": b"#!/bin/sh\n",
        "sub/empty": b"",
        "sub/big": os.urandom(3_000_001),
        "latin\udce9 \x1b[31m\nline": b"odd name",
    }
    for name, content in files.items():
        (repo.path / name).parent.mkdir(exist_ok=True)
        (repo.path / name).write_bytes(content)
    (repo.path / "hook.sh").chmod(0o755)
    (repo.path / "sub/link").symlink_to("../config.yaml")
    repo.commit({})
    source = GitSource("git", str(repo.path))
    (backup,) = listed(source)
    tree = unpacked(source, backup, tmp_path / "out")
    assert {str(path.relative_to(tree)) for path in tree.rglob("*")} == {*files, "sub", "sub/link"}
    assert all((tree / name).read_bytes() == content for name, content in files.items())
    assert (tree / "hook.sh").stat().st_mode & 0o777 == 0o755
    assert (tree / "config.yaml").stat().st_mode & 0o777 == 0o644
    assert os.readlink(tree / "sub/link") == "../config.yaml"


def test_attributes_filters_and_hooks_of_the_repository_have_no_say(repo: Repo, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\necho $0 $* >> {mark}\ncat\n")
    evil.chmod(0o755)
    attributes = b"* filter=evil diff=evil text eol=crlf ident\nconfig.yaml export-subst\nsecret export-ignore\n"
    files = {"config.yaml": b"id: $Format:%H$ $Id$\n", "secret": b"kept\n", ".gitattributes": attributes}
    repo.commit(files)
    for name in ("filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv"):
        repo.git("config", name, str(evil))
    for name in ("diff.external", "core.fsmonitor", "core.pager", "core.sshCommand", "gpg.program", "core.editor"):
        repo.git("config", name, str(evil))
    for name in ("log.showSignature", "pager.show-ref", "pager.rev-list", "pager.cat-file"):
        repo.git("config", name, "true")
    repo.git("config", "core.hooksPath", str(tmp_path))
    repo.git("config", "credential.helper", f"!{evil}")
    (repo.path / ".git/info").mkdir(exist_ok=True)
    (repo.path / ".git/info/attributes").write_bytes(attributes)
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc", "post-index-change", "fsmonitor-watchman"):
        (tmp_path / hook).symlink_to(evil)
    source = GitSource("git", str(repo.path))
    (backup,) = listed(source)
    seen = members(source, backup, tmp_path)
    assert {name: content for name, (_, content) in seen.items() if content != "/"} == {
        f"pacs_bridge/{name}": content for name, content in files.items()
    }
    assert not mark.exists()


def test_a_missing_object_of_a_partial_clone_is_an_error_and_nothing_is_run_to_fetch_it(
    repo: Repo, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    repo.commit({"config.yaml": b"gone\n"})
    blob = repo.git("rev-parse", "HEAD:config.yaml")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    repo.git("config", "core.repositoryformatversion", "1")
    repo.git("config", "extensions.partialClone", "origin")
    repo.git("config", "remote.origin.url", f"ext::touch {mark}")
    repo.git("config", "remote.origin.promisor", "true")
    repo.git("config", "protocol.ext.allow", "always")
    source = GitSource("git", str(repo.path))
    (backup,) = listed(source)
    with pytest.raises(SourceError, match=f"blob {blob} is missing"), source.open(backup, tmp_path) as file:
        file.read()
    head = repo.git("rev-parse", "HEAD")
    (repo.path / ".git/objects" / head[:2] / head[2:]).unlink()
    assert problem(source).reason
    assert not mark.exists()


def test_replacements_and_grafts_do_not_change_what_a_commit_is(repo: Repo, tmp_path: Path) -> None:
    true = repo.commit({"config.yaml": b"true\n"})
    blob = repo.git("rev-parse", "HEAD:config.yaml")
    other = repo.git("hash-object", "-w", "--stdin", data=b"false\n")
    repo.git("replace", blob, other)
    source = GitSource("git", str(repo.path))
    (backup,) = listed(source)
    assert backup.key == true
    assert members(source, backup, tmp_path)["pacs_bridge/config.yaml"] == (0o644, b"true\n")


def test_an_object_that_is_not_what_its_hash_says_is_an_error_that_names_it(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"config.yaml": b"true\n"})
    blob = repo.git("rev-parse", "HEAD:config.yaml")
    other = repo.git("hash-object", "-w", "--stdin", data=b"evil\n")
    objects = repo.path / ".git/objects"
    (objects / blob[:2] / blob[2:]).unlink()
    (objects / other[:2] / other[2:]).rename(objects / blob[:2] / blob[2:])
    source = GitSource("git", str(repo.path))
    (backup,) = listed(source)
    with pytest.raises(SourceError, match=blob), source.open(backup, tmp_path) as file:
        file.read()


def test_a_submodule_is_a_finding_whatever_its_url_says(repo: Repo, tmp_path: Path) -> None:
    url = b'[submodule "x"]\n\tpath = vendor\n\turl = ext::sh -c touch% /tmp/pwned\n\tupdate = !touch /tmp/pwned\n'
    repo.plant(("100644", b".gitmodules", url), ("100644", b"config.yaml", b"1\n"), ("160000", b"vendor", b"ab" * 20))
    source = GitSource("git", str(repo.path))
    (backup,) = listed(source)
    assert told(backup, "submodule, not in this backup") == [("vendor", "warn")]
    assert members(source, backup, tmp_path)["pacs_bridge/vendor"] == (0o755, "/")


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"a/../../b", b"."])
def test_names_that_git_never_writes_are_refused(repo: Repo, tmp_path: Path, name: bytes) -> None:
    repo.commit({"config.yaml": b"1\n"})
    commit = repo.plant(("100644", name, b"evil\n"), ("100644", b"config.yaml", b"1\n"))
    source = GitSource("git", str(repo.path))
    backup = Backup(id="x", component="config", source="git", key=commit, taken_at=TAKEN, format="tar")
    with pytest.raises(SourceError, match="a name that no git writes"), source.open(backup, tmp_path) as file:
        file.read()


@pytest.mark.parametrize("target", [b"/etc/shadow", b"../../outside", b"../outside"])
def test_a_link_out_of_the_tree_is_refused_when_it_is_unpacked(repo: Repo, tmp_path: Path, target: bytes) -> None:
    repo.plant(("120000", b"link", target), ("100644", b"config.yaml", b"1\n"))
    source = GitSource("git", str(repo.path))
    (backup,) = listed(source)
    with pytest.raises(BadBackup, match="link"):
        unpacked(source, backup, tmp_path / "out")


@pytest.mark.slow
def test_a_tree_that_holds_itself_many_times_over_is_listed_and_refused(repo: Repo, tmp_path: Path) -> None:
    blob = repo.git("hash-object", "-w", "--stdin", data=b"boom")
    oid, mode = blob, b"100644"
    for _ in range(12):
        lines = b"".join(mode + b" %x\0" % n + bytes.fromhex(oid) for n in range(16))
        oid, mode = repo.git("hash-object", "-w", "-t", "tree", "--stdin", data=lines), b"40000"
    commit = repo.git("commit-tree", "-m", "bomb", oid)
    repo.git("update-ref", "refs/heads/main", commit)
    source = GitSource("git", str(repo.path))
    (backup,) = listed(source)
    with pytest.raises(BadBackup, match="more than"):
        unpacked(source, backup, tmp_path / "out")


@pytest.mark.slow
def test_ten_thousand_commits_are_listed_lazily(repo: Repo) -> None:
    repo.many(10_000, "pb/config.yaml")
    source = GitSource("git", str(repo.path), directory="pb")
    listing = source.listing()
    began = time.monotonic()
    first = next(listing)
    soon = time.monotonic() - began
    assert isinstance(first, Backup)
    rest = list(listing)
    assert len(rest) == 9_999
    assert all(isinstance(one, Backup) for one in rest)
    assert soon < max(1.0, (time.monotonic() - began) / 3)


@pytest.mark.parametrize("words", [(), ("--bare",), ("--object-format=sha256",)])
def test_bare_repositories_work_trees_and_both_hashes_are_read(tmp_path: Path, words: tuple[str, ...]) -> None:
    if words == ("--bare",):
        Repo(tmp_path / "work").commit({"config.yaml": b"1\n"})
        Repo(tmp_path / "work").git("clone", "-q", "--bare", ".", str(tmp_path / "repo"))
    else:
        Repo(tmp_path / "repo", *words).commit({"config.yaml": b"1\n"})
    source = GitSource("git", f"file://{tmp_path}/repo")
    (backup,) = listed(source)
    assert members(source, backup, tmp_path)["pacs_bridge/config.yaml"] == (0o644, b"1\n")


def test_linked_work_trees_shallow_clones_and_alternates_are_read(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"config.yaml": b"1\n"})
    repo.commit({"config.yaml": b"2\n"}, day=1)
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(tmp_path / "shallow"))
    repo.git("clone", "-q", "--shared", ".", str(tmp_path / "shared"))
    assert {name: len(listed(GitSource("git", str(tmp_path / name)))) for name in ("linked", "shallow", "shared")} == {
        "linked": 2,
        "shallow": 1,
        "shared": 2,
    }


def test_a_branch_can_be_named_also_one_that_was_only_fetched(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"config.yaml": b"1\n"})
    repo.git("branch", "site/a")
    repo.commit({"config.yaml": b"2\n"}, day=1)
    assert len(listed(GitSource("git", str(repo.path), "site/a"))) == 1
    repo.git("clone", "-q", ".", str(tmp_path / "clone"))
    assert len(listed(GitSource("git", str(tmp_path / "clone"), "origin/site/a"))) == 1


def test_a_missing_branch_directory_or_repository_is_told_with_what_to_do(repo: Repo, tmp_path: Path) -> None:
    empty = problem(GitSource("git", str(repo.path)))
    assert "no commits" in empty.reason
    repo.commit({"config.yaml": b"1\n"})
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").write_text("")
    cases = [
        (GitSource("git", str(repo.path), "nope"), "no branch nope"),
        (GitSource("git", str(repo.path), "--help"), "no branch"),
        (GitSource("git", str(repo.path), "main^{/x}"), "no branch"),
        (GitSource("git", str(repo.path), directory="nope"), "directory nope"),
        (GitSource("git", str(repo.path), directory="../x"), "no directory"),
        (GitSource("git", str(tmp_path / "missing")), "missing"),
        (GitSource("git", str(tmp_path / "plain")), "no Git repository"),
        (GitSource("git", str(tmp_path / "file")), "file"),
        (GitSource("git", str(repo.path / "sub")), "sub"),
    ]
    for source, words in cases:
        found = problem(source)
        assert words in found.reason
        assert found.hint
        assert found.place == "git"
    assert "main" in problem(cases[0][0]).hint


@pytest.mark.parametrize(
    "repository",
    [
        "ext::sh -c 'touch /tmp/pwned'",
        "http://host/repo.git",
        "git://host/repo.git",
        "ftp://host/x",
        "-oProxyCommand=x:y",
        "ssh://-oProxyCommand=touch/x",
        "file://elsewhere/repo",
        "https://",
        "ssh://[broken/x",
        "a\nb",
        "",
    ],
)
def test_other_kinds_of_urls_are_refused_before_git_is_run(repository: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    found = problem(GitSource("git", repository))
    assert "git cannot be run" not in found.reason
    assert found.hint
    assert found.reason.isprintable()


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    found = problem(GitSource("git", "https://user:hunter2@host.invalid/repo.git"))
    assert "hunter2" not in str(found)
    assert "netrc" in found.hint


def test_without_git_it_is_told_to_install_it(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "git" in problem(GitSource("git", str(repo.path))).hint


def test_a_git_that_hangs_is_given_up_and_ended(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit({"config.yaml": b"1\n"})
    real = subprocess.run(["which", "git"], capture_output=True, check=True, text=True).stdout.strip()
    script = f'#!/bin/sh\ncase "$*" in *rev-list*) echo $$ > {tmp_path}/pid; exec sleep 60;; esac\nexec {real} "$@"\n'
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(script)
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(git_client.Running.__init__, "__defaults__", (0.5,))
    assert "said nothing" in problem(GitSource("git", str(repo.path))).reason
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_variables_of_the_caller_do_not_steer_git(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit({"config.yaml": b"1\n"})
    for name in ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE", "GIT_NAMESPACE", "GIT_CONFIG_GLOBAL"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.pager")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "false")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert len(listed(GitSource("git", str(repo.path)))) == 1


@pytest.mark.needs("root", reason="another user's repository is read as root")
def test_root_reads_a_repository_of_another_user() -> None:
    with open_place() as place:
        repo = Repo(place / "repo")
        repo.commit({"config.yaml": b"1\n"})
        with unprivileged(place):
            pass  # the tree belongs to that user from here on
        assert repo.path.stat().st_uid != os.geteuid()
        source = GitSource("git", str(repo.path))
        (backup,) = listed(source)
        assert members(source, backup, place)["pacs_bridge/config.yaml"] == (0o644, b"1\n")


def test_a_host_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_client, "CONNECT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        found = problem(GitSource("git", f"https://127.0.0.1:{silent.getsockname()[1]}/repo.git"))
    assert time.monotonic() - began < 8
    assert "127.0.0.1" in found.reason
    assert found.hint


def test_a_host_that_refuses_or_does_not_exist_is_told_from_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for scheme in ("ssh", "https"):
        found = problem(GitSource("git", f"{scheme}://127.0.0.1:{port}/repo.git"))
        assert "refused" in found.reason
    assert "resolved" in problem(GitSource("git", "https://no-such-host.invalid/repo.git")).reason
