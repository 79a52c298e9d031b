"""Litestream's configuration from the site, run by the real programs; what an existing one says in vain; the lag."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacs_recover.keeping import litestream, litestream_check
from pacs_recover.keeping.litestream import VERSIONS, Version
from pacs_recover.site import Ages, BucketConfig, LitestreamConfig, Live, RetentionConfig, Site
from tests.keeping.stock import local, sited
from tests.runs.small_site import SmallSite
from tests.sources.make_replica import Writer, binary

GUIDE = """\
dbs:
  - path: /var/lib/pacs_bridge/queue.db
    replicas:
      - type: s3
        bucket: pacs-bridge-backup
        path: queue
        region: us-east-1
        sync-interval: 1s
        snapshot-interval: 1h
        retention: 168h  # 7 days
"""
REPLICA = LitestreamConfig(
    name="replica", s3=BucketConfig(bucket="pacs-bridge-backup", prefix="queue", region="us-east-1")
)


def facts(text: str, version: Version, tmp_path: Path, site: Site | None = None) -> dict[str, tuple[str, str]]:
    """What a check of this text says."""
    path = tmp_path / "checked.yml"
    path.write_text(text)
    found = litestream_check.check(site or Site(sources=(REPLICA,)), path, version)
    return {fact.label: (fact.state, fact.value) for fact in found}


def test_e2_the_guides_settings_are_silently_ignored_by_0_5_and_it_is_said(tmp_path: Path) -> None:
    old, new = (facts(GUIDE, version, tmp_path) for version in VERSIONS)
    assert {state for state, _ in old.values()} == {"ok"}
    assert old["retention"][1] == "points are kept for 7 days (as it says); declared: 7 days"
    for key in ("snapshot-interval", "retention"):
        state, said = new[f"dbs[0].replicas[0].{key}"]
        assert state == "bad"
        assert said == "silently ignored by 0.5; write it under snapshot: at the top"
    assert new["retention"] == ("bad", "points are kept for 24 h (the default); declared: 7 days")


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_written_says_nothing_in_vain(version: Version, tmp_path: Path) -> None:
    site = Site(sources=(REPLICA,), retention=RetentionConfig(queue=Ages(hot=3 * 86400.0, total=90 * 86400.0)))
    text = litestream.configuration(site, version)
    found = facts(text, version, tmp_path, site)
    assert {state for state, _ in found.values()} == {"ok"}
    assert found["retention"][1] == "points are kept for 3 days (as it says); declared: 3 days"
    assert found["replica"] == ("ok", "read as the source replica")
    assert "key" not in str(yaml.safe_load(text))


def program(version: str, factory: pytest.TempPathFactory) -> Path:
    return binary(version, factory.getbasetemp().parent)


@contextmanager
def replicating(binary: Path, settings: Path) -> Iterator[None]:
    """Litestream runs with this configuration."""
    env = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    with (settings.with_suffix(".log")).open("wb") as log:
        process = subprocess.Popen(
            [str(binary), "replicate", "-config", str(settings)], stdout=log, stderr=log, env=env
        )
        try:
            yield
            assert process.poll() is None, settings.with_suffix(".log").read_text()
        finally:
            process.terminate()
            process.wait(20)


def snapshots(root: Path) -> set[tuple[str, int]]:
    """The snapshots of a replica; 0.3 writes one over another while its log has not been begun anew."""
    found = [*root.glob("generations/*/snapshots/*.lz4"), *root.glob("ltx/9/*.ltx")]
    return {(path.name, path.stat().st_mtime_ns) for path in found}


def written(home: Path, version: Version, edit: Any = lambda tree: tree) -> tuple[Writer, Path, Path]:
    """A queue, its replica's place, and our configuration of both with a second for an hour."""
    home.mkdir()
    writer = Writer(home / "queue.db")
    replica = LitestreamConfig(name="replica", path=home / "replica")
    site = Site(live=Live(queue=home / "queue.db"), sources=(replica,))
    tree = yaml.safe_load(litestream.configuration(site, version).replace("1h0m0s", "1s"))
    (home / "litestream.yml").write_text(yaml.safe_dump(edit(tree)))
    return writer, home / "replica", home / "litestream.yml"


def as_the_guide(tree: dict[str, Any]) -> dict[str, Any]:
    """The same settings where the guide has them."""
    (database,) = tree["dbs"]
    pace = {"snapshot-interval": tree["snapshot"]["interval"], "retention": tree["snapshot"]["retention"]}
    return {"dbs": [{"path": database["path"], "replicas": [{**database["replica"], **pace}]}]}


def test_e2_the_real_litestream_heeds_what_is_written_and_not_what_the_guide_has(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ours, guides, old = (
        written(tmp_path / name, version, edit)
        for name, version, edit in (
            ("ours", "0.5", lambda tree: tree),
            ("guides", "0.5", as_the_guide),
            ("old", "0.3", lambda tree: tree),
        )
    )
    new_one, old_one = (program(version, tmp_path_factory) for version in ("0.5", "0.3"))
    with replicating(new_one, ours[2]), replicating(new_one, guides[2]), replicating(old_one, old[2]):
        until, seen = time.monotonic() + 30, [set[tuple[str, int]]() for _ in range(3)]
        while time.monotonic() < until and not (len(seen[0]) > 2 and len(seen[2]) > 2):
            for known, (writer, root, _) in zip(seen, (ours, guides, old), strict=True):
                writer.transaction()
                known |= snapshots(root)
            time.sleep(0.2)
    for writer, _, _ in (ours, guides, old):
        writer.database.close()
    assert [len(known) > 2 for known in seen] == [True, False, True]
    assert len(seen[1]) == 1, "its own default is one a day"
    listed = subprocess.run(
        [str(old_one), "databases", "-config", str(old[2])], capture_output=True, text=True, check=True
    )
    assert str(tmp_path / "old/queue.db") in listed.stdout


def test_the_lag_is_the_live_queues_last_change_against_the_newest_point(
    small: SmallSite, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    live = tmp_path / "queue.db"
    root = tmp_path / "replica"
    text = yaml.safe_load(small.demo.site_file.read_text())
    shell = sited(small, local(tmp_path / "backups"), {"kind": "litestream", "name": "replica", "path": str(root)})
    path = Path(shell.options[1])
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "live": {**text["live"], "queue": str(live)}}))
    assert shell("litestream", "lag", "--json", code=1).json["replicas"][0]["state"] == "bad"
    with closing(Writer(live).database) as database:
        settings = tmp_path / "litestream.yml"
        shell("litestream", "config", "--write", str(settings), code=0)
        with replicating(program("0.5", tmp_path_factory), settings):
            database.execute("UPDATE message_queue SET state = 1")
            until = time.monotonic() + 30
            while not list(root.rglob("*.ltx")) and time.monotonic() < until:
                time.sleep(0.1)
            time.sleep(1.5)
        (row,) = shell("litestream", "lag", "--json", code=0).json["replicas"]
        assert row["state"] == "ok"
        assert row["lag_seconds"] < 5
        later = time.time() + 7200
        os.utime(f"{live}-wal" if Path(f"{live}-wal").stat().st_size else live, (later, later))
        (row,) = shell("litestream", "lag", "--json", code=1).json["replicas"]
        assert row["state"] == "bad"
        assert 7000 < row["lag_seconds"] < 7400
        assert "behind" in shell("litestream", "lag", code=1).out


def test_files_are_written_once_and_never_over_another(small: SmallSite, tmp_path: Path) -> None:
    shell = sited(small, {"kind": "litestream", "name": "replica", "path": str(tmp_path / "replica")})
    settings, unit = tmp_path / "litestream.yml", tmp_path / "litestream.service"
    shell("litestream", "config", "--write", str(settings), code=0)
    shell("litestream", "config", "--write", str(settings), code=0)
    assert "something else" in shell("litestream", "config", "--version", "0.3", "--write", str(settings), code=2).err
    shell("litestream", "unit", "--config", str(settings), "--write", str(unit), code=0)
    assert f"replicate -config {settings}" in unit.read_text()
    assert shell("litestream", "config", code=0).out == settings.read_text()
    assert "directory that exists" in shell("litestream", "config", "--write", str(tmp_path / "no/x.yml"), code=2).err
    assert shell("litestream", "config", "--check", str(settings), code=0).out
    assert "no Litestream replica" in sited(small)("litestream", "config", code=2).err
    two = [{"kind": "litestream", "name": f"r{n}", "path": str(tmp_path / f"r{n}")} for n in range(2)]
    assert "--replica: r0, r1" in sited(small, *two)("litestream", "config", code=2).err
    assert (
        len(
            yaml.safe_load(sited(small, *two)("litestream", "config", "--version", "0.3", code=0).out)["dbs"][0][
                "replicas"
            ]
        )
        == 2
    )


@pytest.mark.needs("systemd-analyze", reason="it reads the unit")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    (tmp_path / "litestream.service").write_text(
        litestream.unit(Site(owner="root", group="root"), "/bin/true", Path("/x"))
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "litestream.service")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "litestream.service" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("text", "version", "label", "said"),
    [
        ("dbs: []", "0.5", "dbs", "is not replicated"),
        (GUIDE.replace("queue.db", "other.db"), "0.3", "dbs", "is not replicated"),
        (GUIDE.replace("path: queue", "path: elsewhere"), "0.3", "replica", "no source of the site reads"),
        (GUIDE.replace("168h", "one week"), "0.3", "retention", "no duration"),
        (GUIDE.replace("168h", "24h"), "0.3", "retention", "points are kept for 24 h"),
        (GUIDE + "retention: 168h\n", "0.5", "retention", "0.5 does not start with it"),
        (GUIDE + "snapshots: {retention: 168h}\n", "0.5", "snapshots", "silently ignored"),
        (GUIDE + "access-key-id: A\nsecret-access-key: hunter2\n", "0.3", "mode", "chmod 600"),
        (GUIDE.replace("region:", "age: {}\n        region:"), "0.5", "dbs[0].replicas[0].age", "no encryption"),
        ("dbs: [{path: /var/lib/pacs_bridge/queue.db}]", "0.5", "dbs", "has no replica"),
    ],
)  # fmt: skip
def test_what_a_check_finds(text: str, version: Version, label: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "checked.yml"
    path.write_text(text)
    found = litestream_check.check(Site(sources=(REPLICA,)), path, version)
    assert any(fact.label == label and said in fact.value for fact in found), found
    assert "hunter2" not in str(found)


def test_what_is_no_configuration_is_refused_without_its_content(small: SmallSite, tmp_path: Path) -> None:
    shell = sited(small, {"kind": "litestream", "name": "replica", "path": str(tmp_path / "replica")})
    bad = {
        "a: [hunter2": "no YAML",
        "a: &x [1]\nb: *x": "no YAML",
        "- 1": "no configuration",
        "\xff": "",
        "x" * 2_000_000: "1 MiB",
    }
    for text, said in bad.items():
        (tmp_path / "bad.yml").write_text(text, encoding="latin-1")
        done = shell("litestream", "config", "--check", str(tmp_path / "bad.yml"), code=2)
        assert said in done.err
        assert "hunter2" not in done.err + done.out
    os.mkfifo(tmp_path / "fifo")
    shell("litestream", "config", "--check", str(tmp_path / "fifo"), code=2)
    shell("litestream", "config", "--check", str(tmp_path / "none"), code=2)
