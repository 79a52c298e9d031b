"""Which site file is meant, who may have written it, and what the host lacks for it."""

from __future__ import annotations

import grp
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pacs_recover import site
from pacs_recover.errors import UsageError
from pacs_recover.model import Fact
from pacs_recover.site import Site
from pacs_recover.site.finding import find
from pacs_recover.text import safe

OTHER = 12345
as_root = pytest.mark.needs("root", reason="another user's file has to be made")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text("name: here\n")
    path.chmod(0o600)
    return path


@contextmanager
def as_no_root() -> Iterator[None]:
    """Where the tests run as root, as somebody who is not."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(OTHER)
    try:
        yield
    finally:
        os.seteuid(before)


def refused(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        site.load(path)
    assert caught.value.exit_code == 2
    return caught.value


def test_the_option_goes_before_the_variable_before_the_usual_file_before_the_defaults(tmp_path: Path) -> None:
    for name in ("option", "variable", "usual"):
        (tmp_path / name).write_text(f"name: {name}\n")
        (tmp_path / name).chmod(0o600)
    environ, usual = {"PACS_RECOVER_SITE": str(tmp_path / "variable")}, tmp_path / "usual"
    assert find(tmp_path / "option", environ, usual).load().name == "option"
    assert find(None, environ, usual).load().name == "variable"
    assert find(None, {"PACS_RECOVER_SITE": ""}, usual).load().name == "usual"
    none = find(None, {}, tmp_path / "nothing")
    assert (none.path, none.load(), none.problems()) == (None, Site(), [])


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    for option, environ in ((missing, {}), (None, {"PACS_RECOVER_SITE": str(missing)})):
        with pytest.raises(UsageError, match="no site file") as caught:
            site.find(option, environ)
        assert "site init" in caught.value.hint


def test_a_usual_file_that_is_a_dead_link_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "usual").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="no site file"):
        find(None, {}, tmp_path / "usual").load()


def test_a_usual_file_that_cannot_be_seen_is_not_taken_for_none(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    try:
        with as_no_root(), pytest.raises(UsageError, match="cannot be looked at"):
            find(None, {}, closed / "site.yaml")
    finally:
        closed.chmod(0o700)


def test_a_relative_name_is_found_from_the_working_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert site.find(Path("site.yaml"), {}).path == file


def test_a_file_with_problems_is_refused_with_all_of_them(file: Path) -> None:
    file.write_text("nmae: x\nsoak: never\n")
    error = refused(file)
    assert "2 problems" in error.message
    assert "line 1: nmae" in error.message
    assert "line 2: soak" in error.message
    assert [problem.line for problem in site.find(file, {}).problems()] == [1, 2]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    error = refused(file)
    assert str(file) in error.message
    assert f"mode {mode:04o}" in error.message
    assert f"chmod go-w {file}" in error.hint


def test_a_file_that_others_can_only_read_is_fine(file: Path) -> None:
    file.chmod(0o644)
    assert site.load(file).name == "here"


@as_root
def test_root_refuses_the_file_of_another_user(file: Path) -> None:
    os.chown(file, OTHER, OTHER)
    error = refused(file)
    assert f"owner uid {OTHER}" in error.message
    assert f"chown root {file}" in error.hint


@as_root
def test_root_refuses_a_file_in_a_directory_that_others_can_write(file: Path) -> None:
    file.parent.chmod(0o777)
    error = refused(file)
    assert str(file.parent) in error.message
    assert f"chmod go-w {file.parent}" in error.hint


@as_root
def test_root_refuses_a_file_below_the_directory_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "home/deep").mkdir(parents=True)
    (tmp_path / "home/deep/site.yaml").write_text("name: x\n")
    os.chown(tmp_path / "home", OTHER, OTHER)
    error = refused(tmp_path / "home/deep/site.yaml")
    assert f"{tmp_path / 'home'}, the directory" in error.message
    assert "/etc/pacs_recover/site.yaml" in error.hint


@as_root
def test_a_sticky_directory_is_fine_for_what_root_owns_in_it_and_only_for_that(file: Path) -> None:
    file.parent.chmod(0o1777)
    assert site.load(file).name == "here"
    os.chown(file, OTHER, OTHER)
    assert f"owner uid {OTHER}" in refused(file).message


@as_root
def test_root_refuses_a_link_that_another_user_made(file: Path) -> None:
    link = file.parent / "link.yaml"
    link.symlink_to(file)
    assert site.load(link).name == "here"
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    assert "link" in refused(link).message


@as_root
def test_root_refuses_what_a_link_leads_to_through_a_directory_of_others(tmp_path: Path, file: Path) -> None:
    (tmp_path / "theirs").mkdir()
    file.rename(tmp_path / "theirs/site.yaml")
    os.chown(tmp_path / "theirs", OTHER, OTHER)
    (tmp_path / "mine").symlink_to("theirs")
    assert "theirs, the directory" in refused(tmp_path / "mine/site.yaml").message
    (tmp_path / "absolute").symlink_to(tmp_path / "theirs/site.yaml")
    assert "theirs, the directory" in refused(tmp_path / "absolute").message


def test_a_file_is_found_through_links_and_parents(file: Path) -> None:
    inner = file.parent / "a"
    inner.mkdir(mode=0o755)
    (inner / "up").symlink_to("../site.yaml")
    (file.parent / "b").symlink_to(inner)
    assert site.load(file.parent / "b" / "up").name == "here"


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "circles" in refused(tmp_path / "a").message


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refused(tmp_path / "pipe").message
    assert "no regular file" in refused(tmp_path).message


def test_a_huge_file_is_refused(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.truncate(10 << 30)
    assert "MiB" in refused(file).message


def test_a_file_that_is_no_text_is_refused_with_its_line(file: Path) -> None:
    file.write_bytes(b"name: x\nowner: \xff\xfe\n")
    assert "line 2" in refused(file).message


def test_a_byte_order_mark_is_fine(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfname: marked\n")
    assert site.load(file).name == "marked"


def test_a_file_that_cannot_be_read_is_an_error(file: Path) -> None:
    file.chmod(0o000)
    with as_no_root():
        assert "cannot be read" in refused(file).message


@as_root
def test_who_is_not_root_reads_a_file_of_root_unless_others_can_write_it() -> None:
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "site.yaml"
        file.write_text("name: of root\n")
        Path(home).chmod(0o711)
        file.chmod(0o644)
        with as_no_root():
            assert site.load(file).name == "of root"
        file.chmod(0o664)
        with as_no_root():
            assert "mode 0664" in refused(file).message


def facts(found: Site) -> dict[str, Fact]:
    return {fact.label: fact for fact in site.environment_facts(found)}


def site_of(tmp_path: Path, make: Callable[[Path], str]) -> Site:
    path = tmp_path / "site.yaml"
    path.write_text(make(tmp_path))
    path.chmod(0o600)
    return site.load(path)


def test_a_host_that_has_everything_is_fine(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(0o600)
    found = site_of(
        tmp_path,
        lambda home: (
            f"owner: root\ngroup: {grp.getgrgid(0).gr_name}\nkey_file: {home}/key\nvalidator: [/bin/sh, '{{config}}']\n"
            f"sources: [{{name: a, kind: local, path: {home}/backups}}]\n"
            "services: [{kind: command, name: c, start: [/bin/sh], stop: [sh]}]\n"
        ),
    )
    assert {fact.state for fact in facts(found).values()} == {"ok"}
    assert set(facts(found)) == {
        "owner", "group", "key file", "validator", "source a", "service c, start", "service c, stop",
    }  # fmt: skip


def test_what_a_new_host_lacks_is_told_with_the_way_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(0o644)
    found = site_of(
        tmp_path,
        lambda home: (
            f"owner: no_such_user\ngroup: no_such_group\nkey_file: {home}/key\nvalidator: [/no/such, '{{config}}']\n"
            f"sources: [{{name: a, kind: local, path: {home}/none}}, {{name: b, kind: local, path: {home}}}]\n"
            "services: [{kind: command, name: c, start: [/no/start], stop: [no-such-program]}]\n"
        ),
    )
    told = facts(found)
    assert told["owner"].value.endswith("useradd --system --user-group no_such_user")
    assert told["group"].value.endswith("groupadd --system no_such_group")
    assert "chmod 600" in told["key file"].value
    assert "no program" in told["validator"].value
    assert "No such file" in told["source a"].value
    assert "takes the key" in [fact for fact in site.environment_facts(found) if fact.label == "source b"][1].value
    assert "no-such-program" in told["service c, stop"].value
    assert {fact.state for fact in told.values()} == {"warn"}


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    found = site_of(tmp_path, lambda home: f"key_file: {home}/nokey\n")
    assert facts(found)["key file"] == Fact(
        "key file", f"{safe(tmp_path)}/nokey: No such file or directory (needed for encrypted backups)", "warn"
    )
