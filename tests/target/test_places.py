"""File operations by descriptor: they follow no link and overwrite nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from pacs_recover.errors import RecoverError
from pacs_recover.target import places, trees


def test_a_move_never_replaces_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    with pytest.raises(FileExistsError):
        places.move(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"
    assert (tmp_path / "new").read_text() == "new"


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_filesystem_without_the_flag_does_not_replace_either(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoFlag:
        """A C library as old as the kernel's NFS client makes it look."""

    monkeypatch.setattr(places, "_libc", NoFlag())
    for name in ("new", "old"):
        (tmp_path / name).mkdir() if kind == "directory" else (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        places.move(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "new").exists()
    places.move(tmp_path / "new", tmp_path / "free")
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "free").exists()


def test_a_directory_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecoverError, match="link that was not there"):
        places.move(tmp_path / "file", tmp_path / "home" / "file")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_links_are_resolved_once_and_kept_out_of_the_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("real")
    assert places.resolve(tmp_path / "link" / "queue.db") == tmp_path.resolve() / "real" / "queue.db"
    assert places.resolve(tmp_path / "absent" / "queue.db") == tmp_path.resolve() / "absent" / "queue.db"


def test_a_link_in_a_directory_that_others_write_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "queue.db").symlink_to("/etc/shadow")
    with pytest.raises(RecoverError, match="others can write"):
        places.resolve(shared / "queue.db")


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(RecoverError):
        places.resolve(tmp_path / "a")


def test_only_an_empty_directory_is_removed(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    assert "stays" in places.remove_if_empty(tmp_path / "full")
    assert (tmp_path / "full" / "file").exists()
    (tmp_path / "empty").mkdir()
    assert "removed" in places.remove_if_empty(tmp_path / "empty")
    assert "not there" in places.remove_if_empty(tmp_path / "empty")


def test_a_copy_keeps_modes_links_and_content_and_leaves_out_what_is_no_file(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "inner" / "secret.key").write_bytes(b"k" * 3_000_000)
    (tree / "inner" / "secret.key").chmod(0o600)
    (tree / "link").symlink_to("inner/secret.key")
    (tree / "hard").hardlink_to(tree / "inner" / "secret.key")
    os.mkfifo(tree / "pipe")
    trees.copy(tree, tmp_path / "copy")
    copied = {entry.name: entry for entry in trees.entries(tmp_path / "copy")}
    original = {entry.name: entry for entry in trees.entries(tree)}
    assert set(original) - set(copied) == {"pipe"}
    assert all(copied[name] == original[name] for name in copied)
    assert (tmp_path / "copy" / "link").readlink() == Path("inner/secret.key")


def test_a_live_file_swapped_for_a_link_is_copied_as_a_link(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "innocent").symlink_to("/etc/shadow")
    trees.copy(tree, tmp_path / "copy")
    assert (tmp_path / "copy" / "innocent").is_symlink()


def test_a_digest_sees_content_names_and_modes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o700)
    (tree / "a").write_text("a")
    first = trees.digest(tree)
    (tree / "a").chmod(0o640)
    second = trees.digest(tree)
    (tree / "a").rename(tree / "b")
    third = trees.digest(tree)
    (tree / "b").write_text("b")
    assert len({first, second, third, trees.digest(tree)}) == 4


def test_a_digest_is_told_from_a_hash_that_is_known(tmp_path: Path) -> None:
    (database := tmp_path / "queue.db").write_bytes(b"rows")
    database.chmod(0o600)
    assert trees.digest_of(database, hashlib.sha256(b"rows").hexdigest()) == trees.digest(database)[0]
    assert trees.digest_of(database, hashlib.sha256(b"rowz").hexdigest()) != trees.digest(database)[0]


def test_modes_are_given_by_name(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "server.key").write_text("k")
    (tree / "server.crt").write_text("c")
    trees.own(tree, os.geteuid(), os.getegid(), lambda e: 0o600 if e.name.endswith(".key") else 0o755)
    assert stat.S_IMODE((tree / "server.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tree / "server.crt").stat().st_mode) == 0o755
    trees.make_durable(tree)
