"""Where the key's other copy is: stated with a day, or looked at."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from pacs_recover.site import Site, key_facts

TODAY = date.today()


def site_of(home: Path, copy: str | None, key: bytes = b"password\n") -> Site:
    """A site whose key is there."""
    (home / "key").write_bytes(key)
    return Site(key_file=home / "key", key_copy=copy)


@pytest.mark.parametrize(
    ("copy", "state", "said"),
    [
        (None, "warn", "only known copy"),
        ("", "warn", "only known copy"),
        ("the pharmacy's safe", "warn", "say when"),
        ("the pharmacy's safe, seen 2026-13-45", "warn", "say when"),
        (f"the pharmacy's safe, seen {TODAY - timedelta(days=400)}", "warn", "400 days ago"),
        (f"the safe (put there 2020-01-01, seen {TODAY - timedelta(days=30)})", "ok", "as the site file says"),
        ("/nowhere/key", "warn", "No such file"),
    ],
)
def test_what_is_stated(tmp_path: Path, copy: str | None, state: str, said: str) -> None:
    (fact,) = key_facts(site_of(tmp_path, copy), needed=False)
    assert (fact.label, fact.state) == ("key copy", state)
    assert said in fact.value
    assert "password" not in fact.value


def test_a_copy_on_the_same_filesystem_is_lost_with_it(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"password\n")
    (fact,) = key_facts(site_of(tmp_path, str(tmp_path / "copy")), needed=False)
    assert fact.state == "warn"
    assert "own filesystem" in fact.value


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second filesystem")
def test_a_copy_on_another_filesystem_is_compared(tmp_path: Path) -> None:
    copy = Path("/dev/shm") / f"pacs-recover-test-{tmp_path.name}"
    try:
        copy.write_bytes(b"password\r\nremark\n".replace(b"\r", b""))
        assert [fact.state for fact in key_facts(site_of(tmp_path, str(copy)), needed=False)] == ["ok"]
        copy.write_bytes(b"old password\n")
        (fact,) = key_facts(site_of(tmp_path, str(copy)), needed=False)
        assert "is not the key" in fact.value
        identity = b"AGE-SECRET-KEY-1" + b"Q" * 58
        copy.write_bytes(b"password\n")
        both = site_of(tmp_path, str(copy), b"password\n# made\n" + identity + b"\n")
        assert "is not the key" in key_facts(both, needed=False)[0].value
        copy.write_bytes(b"password\n" + identity)
        assert [fact.state for fact in key_facts(both, needed=False)] == ["ok"]
    finally:
        copy.unlink()


def test_where_no_key_is_and_none_is_needed_nothing_is_said(tmp_path: Path) -> None:
    assert key_facts(Site(key_file=tmp_path / "none"), needed=False) == ()
    assert key_facts(Site(key_file=tmp_path / "none"), needed=True)
