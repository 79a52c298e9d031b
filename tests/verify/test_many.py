"""Fifty sites in shards, whose verdicts are shared; a directory and a bucket as the place of verdicts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacs_recover.authority import Authority
from pacs_recover.errors import Refused, SourceError
from pacs_recover.verdicts import Directory, Store, Verdict, Verdicts, store_at
from tests.cli.shell import COMMAND, environment
from tests.cli.test_json_documented import check
from tests.runs.small_site import SmallSite
from tests.sources.s3_server import Bucket, credentials

SITES = 50
SHARDS = 4


@pytest.fixture
def sites(small: SmallSite, tmp_path: Path) -> Path:
    """Fifty sites of one backup each; of every tenth it is cut, and one has lost it."""
    home = tmp_path / "sites"
    home.mkdir()
    services = yaml.safe_load(small.demo.site_file.read_text())["services"]
    data = {part: Path(small.find(small.demo.good[part]).key) for part in ("config", "queue")}
    for n in range(SITES):
        part = "queue" if n % 2 else "config"
        place = tmp_path / f"backups/{n}/{part}"
        place.mkdir(parents=True)
        content = data[part].read_bytes()
        if n != 7:
            (place / data[part].name).write_bytes(content[:-40] if n % 10 == 3 else content)
        sources = [{"kind": "local", "name": "local", "path": str(place.parent)}]
        text = {"name": f"site-{n:02}", "services": services, "sources": sources, "key_file": str(small.demo.key_file)}
        (home / f"{n:02}.yaml").write_text(yaml.safe_dump(text))
        (home / f"{n:02}.yaml").chmod(0o600)
    return home


def verify(sites: Path, state: Path, *words: str) -> list[str]:
    return [*COMMAND, "--state", str(state), "verify", "--sites", str(sites), *words]


def good(shared: Path) -> int:
    """How many good verdicts are kept there."""
    return sum(json.loads(path.read_text())["ok"] for path in shared.glob("[0-9a-f]*.json"))


def called(argv: list[str], code: int) -> dict[str, Any]:
    """The document that a command prints."""
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(), timeout=200, check=False)
    assert done.returncode == code, (done.stdout[-500:], done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def told(document: dict[str, Any]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """What was found, without when."""
    return {
        (one["site"], one["backup"]): (one["ok"], one["sha256"], [(c["name"], c["state"]) for c in one["checks"]])
        for one in document["results"]
    }


def test_fifty_sites_in_four_shards_one_killed_give_what_one_process_gives(sites: Path, tmp_path: Path) -> None:
    whole = called(verify(sites, tmp_path / "one", "--json"), 6)
    assert len(whole["results"]) == SITES * 4
    assert sum(one["ok"] for one in whole["results"]) == SITES - 5 - 1
    shared = tmp_path / "shared"

    def shard(index: int) -> list[str]:
        words = ("--shard", f"{index}/{SHARDS}", "--verdicts", str(shared), "--json")
        return verify(sites, tmp_path / f"shard{index}", *words)

    killed = subprocess.Popen(shard(0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    end = time.monotonic() + 100
    while not good(shared):  # what was found bad is read again
        assert time.monotonic() < end
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = good(shared)
    assert called(verify(sites, tmp_path / "merge", "--merge", "--verdicts", str(shared), "--json"), 6) != whole
    parts = [called(shard(index), 6) for index in range(SHARDS)]
    assert sum(len(part["results"]) for part in parts) == SITES * 4
    assert sum(one["known"] for one in parts[0]["results"]) == kept
    merged = called(verify(sites, tmp_path / "merge", "--merge", "--verdicts", str(shared), "--json"), 6)
    assert told(merged) == told(whole)


def test_status_of_many_sites(sites: Path, tmp_path: Path) -> None:
    for path in sorted(sites.iterdir())[2:]:
        path.unlink()
    words = ("--state", str(tmp_path / "state"), "status", "--sites", str(sites))
    found = called([*COMMAND, *words, "--json"], 0)
    assert [one["site"] for one in found["sites"]] == ["site-00", "site-01"]
    assert found["state"] == "bad"
    text = subprocess.run([*COMMAND, *words], capture_output=True, text=True, env=environment(), check=True).stdout
    assert "site-01" in text


def test_a_bad_site_file_is_a_failed_row_and_stops_no_other(sites: Path, tmp_path: Path) -> None:
    for path in sorted(sites.iterdir())[2:]:
        path.unlink()
    shutil.copy(sites / "00.yaml", sites / "99.yaml")
    (sites / "50.yaml").write_text("name: broken\nsorce: x\n")
    (sites / "50.yaml").chmod(0o600)
    words = ("--state", str(tmp_path / "state"), "status", "--sites", str(sites))
    found = called([*COMMAND, *words, "--json"], 2)
    assert [one["site"] for one in found["sites"]] == ["site-00", "site-01"]
    assert [Path(one["file"]).name for one in found["failed"]] == ["50.yaml", "99.yaml"]
    assert "sorce" in found["failed"][0]["error"]
    check(found, "Statuses")
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 2
    assert all(text in done.stdout for text in ("site-00", "site-01", "✗  50.yaml", "two site files have the name"))
    line = subprocess.run(
        [*COMMAND, *words, "--nagios"], capture_output=True, text=True, env=environment(), check=False
    )
    assert (line.returncode, line.stdout.count("\n")) == (2, 1)
    assert "50.yaml" in line.stdout
    gauges = subprocess.run([*COMMAND, *words, "--prometheus"], capture_output=True, text=True, env=environment())
    assert gauges.returncode == 2
    assert 'pacs_recover_state{site="50.yaml"} 2' in gauges.stdout
    assert gauges.stdout.count("# TYPE pacs_recover_state") == 1
    verified = told(called(verify(sites, tmp_path / "one", "--json"), 6))
    assert not verified["50.yaml", "@50.yaml"][0]
    assert sum(one[0] for one in verified.values()) == 2, "the backups of the good sites were verified all the same"


def verdict(at: datetime, ok: bool = True) -> Verdict:
    return Verdict(site="s", backup="b", at=at, ok=ok)


def exercise(store: Store) -> None:
    """What any store of verdicts has to do."""
    now, may = datetime.now(UTC), Authority()
    first = Verdicts(store, may)
    assert not first
    first.keep(verdict(now))
    first.keep(verdict(now + timedelta(seconds=1), ok=False))
    again = Verdicts(store, may)
    assert again.newest("s", "b") == verdict(now + timedelta(seconds=1), ok=False)
    assert again.newest("s", "other") is None
    assert len(store.names()) == 2
    taken = store.names()[0]
    with pytest.raises(SourceError):
        store.create(taken, b"another", may)
    with pytest.raises(Refused):
        store.create("x", b"", Authority(read_only=True))
    warned: list[str] = []
    Verdicts(store, may, warned.append).keep(verdict(now))
    assert "not kept" in warned[0]
    assert b"another" not in store.read(taken)


def test_verdicts_in_a_directory(tmp_path: Path) -> None:
    exercise(Directory(tmp_path / "made/by/it"))
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "made/by/it").iterdir()] == [0o600, 0o600]
    (tmp_path / "file").touch()
    with pytest.raises(SourceError):
        Directory(tmp_path / "file").names()
    assert os.listdir(tmp_path / "made/by/it")


def test_verdicts_in_a_bucket() -> None:
    with credentials(), closing(Bucket()) as bucket:
        exercise(store_at(f"s3://{bucket.name}/verdicts", bucket.config().endpoint))


def test_the_manifests_call_what_there_is(tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs"
    job = yaml.safe_load((docs / "kubernetes-verify.yaml").read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert {"name": "PACS_RECOVER_SHARDS", "value": str(job["completions"])} in container["env"]
    stub = tmp_path / "pacs-recover"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "2", "TMPDIR": str(tmp_path)}
    script = subprocess.run(
        ["sh", str(docs / "slurm-verify.sh")], capture_output=True, text=True, env=env, check=True
    ).stdout.split()
    for words in (container["args"], script):
        assert words[words.index("--state") + 2] == "verify"
        done = subprocess.run([*COMMAND, *words, "--help"], capture_output=True, env=environment(), check=False)
        assert done.returncode == 0, (words, done)
        unknown = subprocess.run([*COMMAND, *words, "--bogus"], capture_output=True, env=environment(), check=False)
        assert unknown.returncode == 2
