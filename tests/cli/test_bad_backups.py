"""A bad backup is told by its name, with the next action and the contract's exit code; the service never notices."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.cli.shell import Shell, with_site
from tests.runs.small_site import SmallSite


def stored(shell: Shell, backup: str) -> Path:
    """The file of a backup."""
    found = shell("catalog", "--json", code=0).json["backups"]
    return Path(next(row["key"] for row in found if row["id"] == backup))


def refused(shell: Shell, small: SmallSite, code: int, backup: str, component: str) -> str:
    """Plan, restore, preview and diff all give this code, nothing was touched: the message of the error."""
    before = small.fingerprint()
    error = shell("plan", component, "--backup", backup, "--json", code=code).error
    assert backup.split("@")[0] in error["message"], error
    assert error["hint"], error
    assert shell("preview", backup).code in ((code,) if code == 6 else (3, 6))
    with shell.terminal("restore", component, "--backup", backup) as terminal:
        assert terminal.ends() == code
        assert "next: " in terminal.seen
    assert small.calls() == []
    assert small.running()
    assert small.fingerprint() == before
    assert shell("runs", "--json", code=0).json == {"runs": []}
    return str(error["message"])


def test_a_mistyped_path_is_3(shell: Shell, small: SmallSite, tmp_path: Path) -> None:
    assert "No such file" in refused(shell, small, 3, str(tmp_path / "queue_20261110_020000.db.gz"), "queue")


def test_a_truncated_backup_is_6(shell: Shell, small: SmallSite) -> None:
    assert refused(shell, small, 6, small.demo.truncated, "config")


def test_a_bit_flipped_gzip_is_6(shell: Shell, small: SmallSite) -> None:
    assert refused(shell, small, 6, small.demo.corrupt, "queue")


def test_expired_certificates_are_6_and_the_preview_says_which(shell: Shell, small: SmallSite) -> None:
    message = refused(shell, small, 6, small.demo.expired, "certs")
    assert "server.crt" in message
    assert "expired" in message.lower()
    preview = shell("preview", small.demo.expired, code=6)
    assert "✗ BAD server.crt" in preview.out


def test_the_wrong_key_is_6_and_names_the_key_file(small: SmallSite) -> None:
    wrong = small.root / "wrong-key"
    wrong.write_text("not the key\n")
    wrong.chmod(0o600)
    shell = with_site(small, key_file=str(wrong))
    error = shell("plan", "certs", "--backup", small.demo.good["certs"], "--json", code=6).error
    assert "key" in error["message"] + error["hint"]
    assert str(wrong) in error["message"] + error["hint"]
    assert shell("preview", small.demo.good["certs"], "--json", code=6).json["state"] == "bad"
    assert small.calls() == []


def test_a_missing_key_file_names_it_and_what_to_do(small: SmallSite) -> None:
    shell = with_site(small, key_file=str(small.root / "no-key"))
    error = shell("plan", "certs", "--backup", small.demo.good["certs"], "--json").error
    assert error["exit_code"] in (2, 3, 5)
    assert "no-key" in error["message"]
    assert error["hint"]
    assert shell("preview", small.demo.good["config"], code=0).out


@pytest.mark.needs("openssl", reason="makes certificates")
def test_a_key_that_does_not_match_and_a_foreign_certificate_are_6(
    shell: Shell, small: SmallSite, tmp_path: Path
) -> None:
    certs = tmp_path / "certs"
    shutil.copytree(small.config / "certs", certs)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "other.key", "-out",
         tmp_path / "other.crt", "-days", "30", "-subj", "/CN=somebody.else"],
        check=True, capture_output=True,
    )  # fmt: skip
    shutil.copy(tmp_path / "other.key", certs / "server.key")
    mismatched = tmp_path / "certs_20261110_020000.tar"
    with tarfile.open(mismatched, "w") as tar:
        tar.add(certs, "certs")
    assert "server" in refused(shell, small, 6, str(mismatched), "certs")


def test_a_file_that_is_something_else_is_6(shell: Shell, small: SmallSite, tmp_path: Path) -> None:
    path = tmp_path / "queue_20261110_020000.db.gz"
    path.write_bytes(gzip.compress(b"SQLite format 3\0" + b"no database" * 1000))
    refused(shell, small, 6, str(path), "queue")


def test_a_hostile_archive_is_6_and_its_names_are_harmless(shell: Shell, small: SmallSite, tmp_path: Path) -> None:
    path = tmp_path / "config_20261110_020000.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("pacs_bridge/../../\x1b[2Jevil")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"evil"))
    message = refused(shell, small, 6, str(path), "config")
    assert "\x1b" not in message
    assert not list(tmp_path.parent.rglob("*evil"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_backup_that_may_not_be_read_is_3(shell: Shell, small: SmallSite, tmp_path: Path) -> None:
    path = tmp_path / "config_20261110_020000.tar.gz"
    path.write_bytes(b"")
    path.chmod(0)
    assert "Permission denied" in refused(shell, small, 3, str(path), "config")


def test_a_backup_that_is_no_file_is_3(shell: Shell, small: SmallSite, tmp_path: Path) -> None:
    path = tmp_path / "config_20261110_020000.tar.gz"
    path.mkdir()
    refused(shell, small, 3, str(path), "config")


def test_a_backup_that_went_bad_after_the_plan_is_refused(shell: Shell, small: SmallSite) -> None:
    backup = small.demo.good["config"]
    path, plan = stored(shell, backup), shell.plan("config")
    content = path.read_bytes()
    try:
        path.write_bytes(content[: len(content) // 2])
        assert backup in shell("restore", "--yes", "--plan", plan, "--json", code=5).error["message"]
        path.unlink()
        assert shell("restore", "--yes", "--plan", plan, "--json", code=3).error["hint"]
    finally:
        path.write_bytes(content)
    assert small.calls() == []


def test_an_ambiguous_prefix_names_those_that_fit(shell: Shell) -> None:
    error = shell("preview", "queue/", "--json", code=2).error
    assert "backups begin with queue/" in error["message"]
    assert "@local" in error["message"]


def test_an_archive_over_the_limits_is_refused_and_the_key_that_its_hint_names_lets_it_in(small: SmallSite) -> None:
    good = small.demo.good["config"]
    few = with_site(small, limits={"members": 2})("preview", good, code=6)
    said = " ".join(few.out.split())
    assert "more than the 2 members" in said
    assert "limits.members" in said
    with_site(small, limits={"members": 1000, "megabytes": 1})("preview", good, code=0)
