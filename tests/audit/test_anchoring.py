"""Anchors in a real bucket, and that a bucket that does not answer costs neither a plan nor a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pacs_recover import anchoring
from pacs_recover.audit import checking, log, syslog
from pacs_recover.site import AuditConfig, BucketConfig, Site
from pacs_recover.state import State
from tests.sources.s3_proxy import Fault
from tests.sources.s3_server import Bucket, credentials, free_port


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials of the test's server, and no system log."""
    monkeypatch.setenv(syslog.VARIABLE, "/nonexistent")
    with credentials():
        yield


def site_of(bucket: Bucket, **more: str) -> Site:
    """A site that anchors there."""
    told = {"bucket": bucket.name, "prefix": "audit/", "endpoint": bucket.proxy.url, "region": "us-east-1"}
    return Site(audit=AuditConfig(anchor=BucketConfig(**{**told, **more})))  # type: ignore[arg-type]


def state_of(home: Path, records: int = 3) -> State:
    """One with so many records."""
    state = State(home / "state")
    for number in range(records):
        state.audit.note("preview", str(number), "ok")
    return state


@pytest.mark.parametrize("lock", [True, False], ids=["object lock", "plain"])
def test_a_bucket_proves_the_record_up_to_its_newest_anchor(tmp_path: Path, lock: bool) -> None:
    state = state_of(tmp_path)
    with closing(Bucket(lock=lock)) as bucket:
        if lock:
            rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
            bucket.client.put_object_lock_configuration(
                Bucket=bucket.name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
            )
        site = site_of(bucket)
        anchoring.anchor(site, state)
        found = anchoring.verify(site, state)
        assert (found.state, found.proven_to) == ("verified", 2)
        assert ("Object Lock (COMPLIANCE, 30 days)" in found.anchors[-1].detail) is lock
        (stored,) = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
        if lock:
            head = bucket.client.head_object(Bucket=bucket.name, Key=stored["Key"])
            assert head["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=29)
            bucket.client.delete_object(Bucket=bucket.name, Key=stored["Key"])  # a delete marker hides it
        (segment,) = log.segments(state.audit.home)
        segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-1]))
        cut = anchoring.verify(site, state)
        assert [finding.kind for finding in cut.findings] == ["truncated"]


def test_two_audits_of_a_host_do_not_vouch_for_each_other(tmp_path: Path) -> None:
    one, other = state_of(tmp_path / "one"), state_of(tmp_path / "other", 1)
    with closing(Bucket()) as bucket:
        site = site_of(bucket)
        anchoring.anchor(site, one)
        assert anchoring.verify(site, other).state == "unproven"
        assert anchoring.verify(site, one).state == "verified"


def test_where_it_cannot_be_anchored_that_is_told_recorded_and_soon_over(tmp_path: Path) -> None:
    told: list[str] = []
    state = state_of(tmp_path)
    state.audit.warn = told.append
    config = BucketConfig(bucket="nobody", endpoint=f"http://127.0.0.1:{free_port()}", region="us-east-1")
    site = Site(audit=AuditConfig(anchor=config))
    began = time.monotonic()
    anchoring.anchor(site, state)
    assert time.monotonic() - began < anchoring.PATIENCE + 2
    assert len(told) == 1
    assert "not anchored" in told[0]
    last = list(checking.records(state.audit.home))[-1]
    assert (last.what, last.object) == ("anchor", "record 2")
    assert last.outcome.startswith("failed: ")
    found = anchoring.verify(site, state)
    assert found.state == "unproven"
    assert "nobody" in found.anchors[-1].detail


def test_a_server_that_never_answers_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchoring, "PATIENCE", 0.3)
    state = state_of(tmp_path)
    with closing(Bucket()) as bucket:
        bucket.proxy.meddle = lambda _: Fault(delay=2)
        began = time.monotonic()
        anchoring.anchor(site_of(bucket), state)
        assert time.monotonic() - began < 3
    assert "does not answer" in list(checking.records(state.audit.home))[-1].outcome
