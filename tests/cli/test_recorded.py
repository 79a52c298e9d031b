"""A recorded hash beside a backup, through the commands: who has one, what it says, and what its contradiction does."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from pacs_recover import looks
from pacs_recover.formats import manifest
from pacs_recover.formats.manifest import Manifest, Validity
from pacs_recover.model import Backup
from pacs_recover.screens import catalog_view, plan_view
from tests.cli.shell import Shell, with_site
from tests.runs.small_site import SmallSite

TAKEN = datetime(2026, 11, 10, 2, tzinfo=UTC)


@pytest.fixture
def stored(small: SmallSite, tmp_path: Path) -> dict[str, Path]:
    """A copy of each good backup, by component, in a directory that is the site's only source."""
    every = {backup.id: Path(backup.key) for backup in small.context().catalog().backups}
    return {name: Path(shutil.copy(every[id], tmp_path)) for name, id in small.demo.good.items()}


@pytest.fixture
def there(small: SmallSite, tmp_path: Path) -> Shell:
    """A shell for that site."""
    return with_site(small, sources=[{"kind": "local", "name": "local", "path": str(tmp_path)}])


def described(path: Path, component: str, **more: Any) -> Manifest:
    """The manifest of a file."""
    data = path.read_bytes()
    return Manifest(
        name=path.name,
        component=component,
        format=path.name.partition(".")[2],
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        taken_at=TAKEN,
        made_by="root",
        made_on="pacs1",
        program="pacs-recover 0.1.0",
        **more,
    )


def put(path: Path, made: Manifest) -> None:
    """Write it beside the file."""
    path.with_name(f"{path.name}.manifest.json").write_bytes(manifest.encode(made))


def complete(small: SmallSite, path: Path, component: str) -> Manifest:
    """A manifest with the rows or dates that are really in it."""
    backup = next(one for one in small.context().catalog().backups if one.id == small.demo.good[component])
    details = looks.preview(small.site, backup, small.state).details
    rows = {table["name"]: table["rows"] for table in details.get("tables", ())}
    dates = [
        Validity(**{key: value if key == "file" else datetime.fromisoformat(value) for key, value in one.items()})
        for one in (
            {key: found[key] for key in ("file", "not_before", "not_after")}
            for found in details.get("certificates", ())
        )
    ]
    return described(path, component, rows=rows or None, certificates=dates or None)


def test_catalog_preview_and_plan_say_what_recorded_a_hash_and_where_there_is_none(
    there: Shell, small: SmallSite, stored: dict[str, Path]
) -> None:
    put(stored["queue"], complete(small, stored["queue"], "queue"))
    put(stored["certs"], complete(small, stored["certs"], "certs"))
    found = there("catalog", "--json", code=0).json["backups"]
    assert {row["component"]: row["recorded"] for row in found} == {"queue": True, "certs": True, "config": False}
    lines = there("catalog", code=0).out
    assert lines.replace("\n", " ").count("hash") == 2
    ids = {row["component"]: row["id"] for row in found}
    assert "SHA-256 as recorded by root on pacs1 with pacs-recover 0.1.0" in there("preview", ids["queue"], code=0).out
    assert "held against: no recorded hash" in there("preview", ids["config"], code=0).out
    plan = there("plan", "full", "--json", code=0).json
    said = {backup["component"]: backup["manifest"] for backup in plan["backups"]}
    assert said["config"] == "no recorded hash"
    assert said["queue"] == said["certs"] == "SHA-256 as recorded by root on pacs1 with pacs-recover 0.1.0"
    assert "no recorded hash" in " ".join(there("plan", "config", code=0).out.split())


@pytest.mark.parametrize("component", ["config", "certs", "queue"])
def test_other_bytes_than_recorded_are_6_for_every_command_and_nothing_is_touched(
    there: Shell, small: SmallSite, stored: dict[str, Path], component: str, tmp_path: Path
) -> None:
    path = stored[component]
    made = described(path, component)
    put(path, made)
    before, data = small.fingerprint(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    backup = there("catalog", component, "--json").json["backups"][0]["id"]
    error = there("plan", component, "--json", code=6).error
    assert made.sha256 in error["message"]
    assert hashlib.sha256(data).hexdigest() in error["message"]
    assert "catalog" in error["hint"]
    assert made.sha256 in there("preview", backup, "--json", code=6).json["facts"][-1]["value"]
    assert made.sha256 in there("diff", backup, "--json", code=6).error["message"]
    there("extract", backup, str(tmp_path / "out"), code=6)
    assert not (tmp_path / "out").exists()
    assert small.calls() == []
    assert small.fingerprint() == before


def test_rows_and_dates_that_are_not_in_it_are_6(there: Shell, small: SmallSite, stored: dict[str, Path]) -> None:
    queue = complete(small, stored["queue"], "queue")
    put(stored["queue"], structs.replace(queue, rows={**(queue.rows or {}), "message_queue": 1}))
    assert "recorded: 1" in there("plan", "queue", "--json", code=6).error["message"]
    certs = complete(small, stored["certs"], "certs")
    put(stored["certs"], structs.replace(certs, certificates=(certs.certificates or [])[1:]))
    assert "which was not recorded" in there("plan", "certs", "--json", code=6).error["message"]
    put(stored["config"], described(stored["config"], "queue"))
    assert "not of config" in there("plan", "config", "--json", code=6).error["message"]


@pytest.mark.parametrize("text", [b"", b"\x1b[2J", b"[" * 60_000, b" " * 100_000])
def test_a_manifest_that_is_none_is_a_warning_and_no_obstacle(
    there: Shell, small: SmallSite, stored: dict[str, Path], text: bytes
) -> None:
    beside = stored["config"].with_name(f"{stored['config'].name}.manifest.json")
    beside.write_bytes(text)
    plan = there("plan", "config", "--json", code=0).json
    assert plan["backups"][0]["manifest"] == "no recorded hash"
    shown = there("plan", "config", code=0).out
    assert "cannot be used" in " ".join(shown.split())
    assert "\x1b" not in shown


def test_a_manifest_that_is_no_file_is_a_warning(there: Shell, small: SmallSite, stored: dict[str, Path]) -> None:
    stored["config"].with_name(f"{stored['config'].name}.manifest.json").mkdir()
    backup = there("catalog", "config", "--json").json["backups"][0]["id"]
    facts = there("preview", backup, "--json", code=0).json["facts"]
    assert [fact["state"] for fact in facts if "is a directory" in fact["value"]] == ["warn"]


def test_a_wrong_key_is_told_apart_from_damage_where_the_hash_is_known(
    small: SmallSite, stored: dict[str, Path], tmp_path: Path
) -> None:
    wrong = small.root / "wrong-key"
    wrong.write_text("not the key\n")
    wrong.chmod(0o600)
    there = with_site(small, key_file=str(wrong), sources=[{"kind": "local", "name": "local", "path": str(tmp_path)}])
    put(stored["certs"], described(stored["certs"], "certs"))
    assert "nothing damaged it since" in there("plan", "certs", "--json", code=6).error["hint"]
    stored["certs"].write_bytes(stored["certs"].read_bytes()[:-16])
    assert "was recorded" in there("plan", "certs", "--json", code=6).error["message"]


def test_a_restore_with_a_record_reads_it_again_and_reports_it(
    there: Shell, small: SmallSite, stored: dict[str, Path]
) -> None:
    put(stored["queue"], complete(small, stored["queue"], "queue"))
    plan = there("plan", "queue", "--json", code=0).json["plan_id"]
    last = there("restore", "--yes", "--plan", plan, "--json", code=0).lines[-1]
    assert last["backups"][0]["manifest"].startswith("SHA-256 as recorded by root")


def test_the_console_says_which_have_one(there: Shell, small: SmallSite, stored: dict[str, Path]) -> None:
    plain = Backup(id="q@local", component="queue", source="local", key="/q", taken_at=TAKEN, format="db.gz")
    known = structs.replace(plain, recorded="/q.sha256", format="tar.enc")
    assert catalog_view.notes(plain) == ""
    assert catalog_view.notes(known) == "enc hash"
    assert "its hash recorded" in catalog_view.described(known)
    assert catalog_view.matching([plain, known], "hash") == [known]
    made = small.plan(str(stored["config"]), words=["config"])
    text = "\n".join(line.text for line in plan_view.lines(made, False))
    assert "config: no recorded hash" in text
