"""What the guide's Litestream scripts get wrong, each as a restore here; the replicas were made by the real program."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacs_recover import following
from tests.cli.shell import Shell, edited
from tests.runs.small_site import SmallSite
from tests.sources.make_replica import VERSIONS, golden

FOLLOWS = "The replica follows the live queue again"


@pytest.fixture(params=VERSIONS)
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A replica in a directory, and the SHA-256 of what Litestream itself restores of each point."""
    return golden(request.param, tmp_path)


def sited(small: SmallSite, root: Path, *services: str, **more: Any) -> Shell:
    """The small site with this replica and, beside the bridge, services of these names."""
    text = yaml.safe_load(small.demo.site_file.read_text())
    bridge = text["services"][-1]
    sources = [*text["sources"], {"kind": "litestream", "name": "replica", "path": str(root)}]
    path = edited(
        small, sources=sources, services=[*({**deepcopy(bridge), "name": name} for name in services), bridge], **more
    )
    return Shell(small, ("--site", str(path), "--state", str(small.root / "state")))


def newest(shell: Shell) -> Mapping[str, Any]:
    """The newest point, as the command lists it."""
    found: dict[str, Any] = shell("points", "--json", code=0).json["points"][0]
    return found


def incident(small: SmallSite) -> bytes:
    """Bad rows of a service that was not closed: all in the ``-wal``, as Litestream keeps it."""
    with closing(sqlite3.connect(small.queue)) as holder:
        holder.execute("PRAGMA journal_mode=WAL")
        holder.execute("PRAGMA wal_autocheckpoint=0")
        with holder:
            holder.execute("UPDATE message_queue SET last_error = 'bad', state = 2")
        files = {name: Path(f"{small.queue}{name}").read_bytes() for name in ("", "-wal")}
    for name, content in files.items():
        Path(f"{small.queue}{name}").write_bytes(content)
    return files["-wal"]


def test_a2_a_replica_that_cannot_be_read_never_becomes_an_empty_queue(small: SmallSite, tmp_path: Path) -> None:
    before = small.fingerprint()
    empty = tmp_path / "empty"
    empty.mkdir()
    nowhere = {"bucket": "no-such-bucket", "endpoint": "http://127.0.0.1:9", "region": "us-east-1"}
    for root in (tmp_path / "not-mounted", empty):
        shell = sited(small, root)
        assert shell("plan", "queue", "--backup", "queue/20261110_020000.000@replica", "--json", code=3).error["hint"]
        assert shell("points", "--json").code == (0 if root == empty else 3)
    text = yaml.safe_load(small.demo.site_file.read_text())
    path = edited(small, sources=[*text["sources"], {"kind": "litestream", "name": "replica", "s3": nowhere}])
    lost = Shell(small, ("--site", str(path), "--state", str(small.root / "state")), {"AWS_CONFIG_FILE": "/dev/null"})
    assert lost("points", "--json", code=3).json["lost"]
    assert small.fingerprint() == before
    assert small.calls() == []


def test_a2_a_point_that_vanished_since_the_plan_leaves_the_site_alone(
    small: SmallSite, replica: tuple[Path, dict[str, str]]
) -> None:
    root, _ = replica
    shell, before = sited(small, root), small.fingerprint()
    plan = shell.plan("queue", backup=newest(shell)["id"])
    for path in root.rglob("*.l*"):
        if path.is_file():
            path.unlink()
    assert shell("restore", "--yes", "--plan", plan, "--json", code=3).error["message"]
    assert small.fingerprint() == before
    assert small.calls() == []


def test_a4_the_wal_that_litestream_keeps_is_never_replayed_over_the_restored_point(
    small: SmallSite, replica: tuple[Path, dict[str, str]]
) -> None:
    root, expected = replica
    wal, shell = incident(small), sited(small, root)
    point = newest(shell)
    key = next(one for one in shell("catalog", "--json").json["backups"] if one["id"] == point["id"])["key"]
    lines = shell("restore", "--yes", "--plan", shell.plan("queue", backup=point["id"]), "--json", code=0).lines
    assert hashlib.sha256(small.queue.read_bytes()).hexdigest() == expected[key]
    assert not Path(f"{small.queue}-wal").exists()
    aside = next(path for path in small.root.rglob("aside/queue/queue.db-wal"))
    assert aside.read_bytes() == wal
    assert any(point["at"] in line["evidence"] for line in lines if line["kind"] == "passed")


def test_a5_a_litestream_that_does_not_replicate_again_fails_the_run_which_is_rolled_back(
    small: SmallSite, replica: tuple[Path, dict[str, str]]
) -> None:
    root, _ = replica
    shell, before = sited(small, root, "litestream", start_timeout="1s"), small.fingerprint()
    lines = shell("restore", "--yes", "--plan", shell.plan("queue", backup=newest(shell)["id"]), "--json", code=1).lines
    failed = next(line for line in lines if line["kind"] == "failed")
    assert failed["title"] == FOLLOWS
    assert "nothing has come to it since the start" in failed["evidence"]
    assert lines[-1]["outcome"] == "rolled_back"
    assert small.fingerprint() == before
    assert small.calls()[:2] == ["stopped", "stopped"]


def test_a5_a_litestream_that_the_site_does_not_name_is_warned_of(
    small: SmallSite, replica: tuple[Path, dict[str, str]]
) -> None:
    found = sited(small, replica[0])("plan", "queue", "--json", code=0).json
    assert any(fact["label"] == "Litestream" and fact["state"] == "warn" for fact in found["findings"])
    assert FOLLOWS not in [step["title"] for step in found["steps"]]
    named = sited(small, replica[0], "litestream")("plan", "queue", "--json", code=0).json
    assert not any(fact["label"] == "Litestream" for fact in named["findings"])
    assert FOLLOWS in [step["title"] for step in named["steps"]]
    config = sited(small, replica[0], "litestream")("plan", "config", "--json", code=0).json
    assert FOLLOWS not in [step["title"] for step in config["steps"]]


def test_a5_where_the_replica_cannot_even_be_read_that_has_to_be_accepted(small: SmallSite, tmp_path: Path) -> None:
    shell = sited(small, tmp_path / "not-mounted", "litestream")
    made = shell("plan", "queue", "--backup", small.demo.good["queue"], "--json", code=0).json
    asked = [question["title"] for question in made["questions"]]
    assert following.UNPROVEN in asked
    assert asked == [step["title"] for step in made["steps"] if step["kind"] == "ask"]
    lines = shell("restore", "--yes", "--plan", made["plan_id"], "--json", code=0).lines
    assert not any(line.get("title") == FOLLOWS for line in lines)
    assert "not-mounted" in next(
        line["evidence"] for line in lines if line.get("title") == following.UNPROVEN and line["evidence"]
    )


def test_e3_points_are_listed_and_restored_without_any_litestream_program(
    small: SmallSite, replica: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    shell = sited(small, replica[0])
    shell.env["PATH"] = str(tmp_path / "nothing-here")
    found = shell("points", "--json", code=0).json["points"]
    assert len(found) == len(replica[1])
    assert shell("preview", found[-1]["id"], "--json", code=0).json["states"]
