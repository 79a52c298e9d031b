"""Point-in-time recovery of a live site with the real Litestream, by the real command line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from pacs_recover.model import Backup
from pacs_recover.sources.litestream_store import FileStore
from pacs_recover.text import precise
from tests.cli.shell import until
from tests.runs.replicated_site import ReplicatedSite, make
from tests.sources import s3_server
from tests.sources.make_replica import binary

FOLLOWS = "The replica follows the live queue again"
KINDS = [("0.3", "file"), ("0.5", "file"), ("0.5", "s3")]


@pytest.fixture(params=KINDS, ids="-".join)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicatedSite]:
    version, where = request.param
    program, home = binary(version, tmp_path_factory.getbasetemp().parent), tmp_path_factory.mktemp("replicated")
    home.chmod(0o755)
    if where == "file":
        yield from running(make(home, program, version))
        return
    with s3_server.credentials(), closing(s3_server.Bucket()) as bucket:
        yield from running(make(home, program, version, bucket.config(prefix="queue")))


def running(made: ReplicatedSite) -> Iterator[ReplicatedSite]:
    made.services("start")
    try:
        yield made
    finally:
        made.services("stop")


def plan(site: ReplicatedSite, *words: str) -> str:
    return str(site.shell("plan", *words, "--json", code=0).json["plan_id"])


@pytest.mark.slow
def test_bad_rows_are_undone_and_what_is_written_afterwards_reaches_the_replica(site: ReplicatedSite) -> None:
    site.add("good-1", "good-2")
    assert site.replicated("good-%", 2) == 2  # a first snapshot may be dated later than the transaction that it is of
    added = datetime.now(UTC)
    until(lambda: any(one.taken_at > added for one in site.source().listing() if isinstance(one, Backup)))
    before = datetime.now(UTC)
    time.sleep(1)
    site.add(*(f"bad-{n}" for n in range(30)))
    assert site.replicated("bad-%", 30) == 30

    listed = site.shell("points", "--json", code=0).json
    assert [one["at"] for one in listed["points"]] == sorted((one["at"] for one in listed["points"]), reverse=True)
    wanted = next(one for one in listed["points"] if datetime.fromisoformat(one["at"]) <= before)
    states = site.shell("preview", wanted["id"], "--json", code=0).json["states"]
    assert states["retry_scheduled"] >= 2

    made = site.shell("plan", "queue", "--at", precise(before), "--json", code=0).json
    assert made["backups"][0]["id"] == wanted["id"]
    assert made["asked_at"] == precise(before)
    assert wanted["at"] in made["backups"][0]["reached"]
    assert made["replay_risk"]["lost_since"] >= 30

    lines = site.shell("restore", "--yes", "--plan", made["plan_id"], "--json", code=0).lines
    passed = {line["title"]: line["evidence"] for line in lines if line["kind"] == "passed"}
    assert wanted["at"] in passed["Unpack the queue backup and check its hash"]
    assert "holds the live queue again" in passed[FOLLOWS]
    report = site.shell("report", "--json", code=0).json
    assert report["outcome"] == "restored"
    assert wanted["at"] in report["backups"][0]["reached"]
    assert (site.live("bad-%"), site.live("good-%")) == (0, 2)

    site.add("after-1")
    assert site.replicated("after-%", 1) == 1
    assert (site.replicated("bad-%", 0), site.replicated("good-%", 2)) == (0, 2)
    if isinstance(site.store, FileStore):  # a bucket tells nothing more of this, and takes a minute
        a_failing_restore(site, before)


def a_failing_restore(site: ReplicatedSite, before: datetime) -> None:
    """It fails in its soak and is rolled back; Litestream follows what came back."""
    earlier = site.shell("points", "--at", precise(before), "--json", code=0).json["points"][0]["id"]
    words = ("config", "queue", "--backup", site.demo.fails_in_soak, "--backup", earlier)
    lines = site.shell("restore", "--yes", "--plan", plan(site, *words), "--json", code=1).lines
    assert lines[-1]["outcome"] == "rolled_back"
    assert site.live("after-%") == 1
    site.add("after-2")
    assert site.replicated("after-%", 2) == 2
