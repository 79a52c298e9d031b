"""Which backups a bucket has: layouts, pages, versions, archives, against a real S3 server."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from pacs_recover.authority import Authority
from pacs_recover.errors import UsageError
from pacs_recover.model import Backup
from pacs_recover.sources import Problem
from pacs_recover.sources.s3 import archive, bucket, pages
from pacs_recover.sources.s3.place import place_of
from tests.sources.s3_asked import NIGHT, content, failure, kept, labels, listed, make, one, source, there
from tests.sources.s3_proxy import Fault, Meddle, Request
from tests.sources.s3_server import Bucket

__all__ = ["kept", "make", "there"]


def test_the_guides_layout_is_listed_by_its_names(there: Bucket) -> None:
    for key in (
        "config/config_20261110_020000.tar.gz",
        "certs/certs_20261109_020000.tar.enc",
        NIGHT,
        "logs/bridge.log.1.gz",
        "queue/queue_20261110_020000.db.gz.sha256",
        "notes.txt",
        "config/",
    ):
        there.put(key)
    found = {backup.id: backup for backup in listed(source(there))}
    assert set(found) == {
        "config/20261110_020000@s3",
        "certs/20261109_020000@s3",
        "queue/20261110_020000@s3",
        "logs/bridge.log.1.gz@s3",
    }
    night = found["queue/20261110_020000@s3"]
    assert night.taken_at == datetime(2026, 11, 10, 2, tzinfo=UTC)
    assert (night.size, night.format, night.storage_class, night.readable) == (7, "db.gz", "STANDARD", True)
    assert night.key.startswith(f"s3://{there.name}/{NIGHT}")


def test_a_manifest_or_checksum_beside_a_backup_is_found_across_pages(there: Bucket, tmp_path: Path) -> None:
    first, second, third = (f"queue/queue_202611{day}_020000.db.gz" for day in (10, 11, 12))
    for key in (first, f"{first}.asc", f"{first}.manifest.json", f"{first}.sha256", second, f"{second}.sha256", third):
        there.put(key, key.encode())
    with there.proxy.meddling(lambda request: Fault(swap=("max-keys=1000", "max-keys=1"))):
        found = {place_of(backup.key).key: backup for backup in listed(source(there))}
    assert list(found) == [first, second, third]
    recorded = [place_of(backup.recorded).key if backup.recorded else "" for backup in found.values()]
    assert recorded == [f"{first}.manifest.json", f"{second}.sha256", ""]
    beside = replace(found[second], key=found[second].recorded, size=None)
    assert content(source(there), beside, tmp_path) == f"{second}.sha256".encode()


def test_what_is_not_current_has_no_record_as_it_may_be_anothers(kept: Bucket) -> None:
    for text in (b"old", b"new"):
        kept.put(NIGHT, text)
    kept.put(f"{NIGHT}.sha256")
    assert [(one.current, bool(one.recorded)) for one in listed(source(kept))] == [(False, False), (True, True)]
    kept.delete(f"{NIGHT}.sha256")
    assert not any(one.recorded for one in listed(source(kept)))


def test_only_what_lies_below_the_prefix_is_listed_flat_or_nested(there: Bucket) -> None:
    there.put("elsewhere/queue/queue_20261110_020000.db.gz")
    there.put("site/a/queue_20261110_020000.db.gz")
    there.put("site/a/2026/certs/certs_20261110_020000.tar.enc")
    ids = {backup.id for backup in listed(source(there, prefix="site/a/"))}
    assert ids == {"queue/20261110_020000@s3", "certs/2026/20261110_020000@s3"}


def test_a_prefix_that_ends_in_a_component_gives_its_home_to_undated_names(there: Bucket) -> None:
    there.put("site/queue/copy.db")
    assert [backup.id for backup in listed(source(there, prefix="site/queue/"))] == ["queue/copy.db@s3"]


def test_an_empty_bucket_has_no_backups_and_no_problems(there: Bucket) -> None:
    assert listed(source(there)) == []


@pytest.mark.slow
def test_pages_of_a_thousand_arrive_while_the_rest_is_read(there: Bucket) -> None:
    there.put_many(
        f"queue/queue_{20261101 + number // 1440}_{number // 60 % 24:02}{number % 60:02}00.db.gz"
        for number in range(2501)
    )
    slow: Meddle = lambda request: Fault(delay=0.7) if "continuation-token" in request.path else None  # noqa: E731
    with there.proxy.meddling(slow):
        began = time.monotonic()
        listing = source(there).listing()
        next(listing)
        first = time.monotonic() - began
        rest = sum(1 for found in listing if isinstance(found, Backup))
        assert first < time.monotonic() - began - 0.5
    assert rest == 2500
    asked = [request for request in there.proxy.seen if "list-type=2" in request.path and "queue/" in request.path]
    assert len(asked) == 3


def test_directories_are_listed_side_by_side(there: Bucket) -> None:
    for name in ("config", "certs", "queue", "logs"):
        there.put(f"{name}/x.log")

    def slow(request: Request) -> Fault | None:
        return Fault(delay=0.5) if "prefix=" in request.path and "delim" not in request.path else None

    with there.proxy.meddling(slow):
        began = time.monotonic()
        list(source(there).listing())
        assert time.monotonic() - began < 1.6  # one after the other they would take 2 s


@pytest.mark.parametrize("name", ["a\tb.log", "\x1b[31mred.log", "ü ß%41+?#&.log", "😀.log", "a/ /b.log"])
def test_keys_are_data(there: Bucket, tmp_path: Path, name: str) -> None:
    there.put(f"logs/{name}", name.encode())
    backup = one(source(there))
    assert backup.id.isprintable()
    assert backup.key.isprintable()
    assert content(source(there), backup, tmp_path) == name.encode()
    there.delete(f"logs/{name}")
    assert failure(lambda: content(source(there), backup, tmp_path)).message.isprintable()


def test_a_deleted_backup_is_found_and_can_be_read(kept: Bucket, tmp_path: Path) -> None:
    kept.put(NIGHT, b"night")
    before = one(source(kept))
    kept.delete(NIGHT)
    backup = one(source(kept))
    assert "deleted" in labels(backup)
    assert backup.id != before.id
    assert backup.id.startswith("queue/20261110_020000")
    assert content(source(kept), backup, tmp_path) == b"night"
    assert content(source(kept), before, tmp_path) == b"night"  # as it was planned: that very version


def test_an_overwritten_version_is_found_under_an_id_that_stays(kept: Bucket, tmp_path: Path) -> None:
    kept.put(NIGHT, b"first")
    kept.put(NIGHT, b"second")
    current, old = sorted(listed(source(kept)), key=lambda backup: "overwritten" in labels(backup))
    assert current.id == "queue/20261110_020000@s3"
    assert content(source(kept), current, tmp_path) == b"second"
    assert content(source(kept), old, tmp_path) == b"first"
    kept.put(NIGHT, b"third")
    assert old.id in {backup.id for backup in listed(source(kept))}
    kept.delete(NIGHT)
    after = {backup.id: backup for backup in listed(source(kept))}
    assert old.id in after
    assert len(after) == 3
    assert len([backup for backup in after.values() if "deleted" in labels(backup)]) == 1


def test_the_current_version_sorts_before_older_ones_of_the_same_time(kept: Bucket) -> None:
    kept.put(NIGHT, b"first")
    kept.put(NIGHT, b"second")
    ids = sorted((backup.id for backup in listed(source(kept))), reverse=True)
    assert ids[0] == "queue/20261110_020000@s3"


def test_markers_and_versions_are_matched_across_pages(kept: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", 1)
    for day in range(3):
        kept.put(f"queue/queue_2026111{day}_020000.db.gz", b"first")
        kept.put(f"queue/queue_2026111{day}_020000.db.gz", b"second")
    kept.delete("queue/queue_20261111_020000.db.gz")
    found = listed(source(kept))
    deleted = [backup for backup in found if "deleted" in labels(backup)]
    overwritten = [backup for backup in found if "overwritten" in labels(backup)]
    assert len(found) == 6
    assert [backup.taken_at.day for backup in deleted] == [11]
    assert sorted(backup.taken_at.day for backup in overwritten) == [10, 11, 12]


def test_without_the_right_to_see_versions_the_current_ones_are_listed_and_it_is_said(kept: Bucket) -> None:
    kept.put(NIGHT)
    denied: Meddle = lambda request: Fault("AccessDenied") if "versions" in request.path else None  # noqa: E731
    with kept.proxy.meddling(denied):
        found = list(source(kept).listing())
    assert [one.id for one in found if isinstance(one, Backup)] == ["queue/20261110_020000@s3"]
    (problem,) = [one for one in found if isinstance(one, Problem)]
    assert "versions" in problem.reason
    assert "s3:ListBucketVersions" in problem.hint


def test_object_lock_versions_and_encryption_are_told(make: Callable[..., Bucket]) -> None:
    locked = make(lock=True)
    locked.client.put_object_lock_configuration(
        Bucket=locked.name,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}},
        },
    )
    locked.client.put_bucket_encryption(
        Bucket=locked.name,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    locked.put(NIGHT, ServerSideEncryption="AES256")
    backup = one(source(locked))
    facts = {fact.label: fact.value for fact in bucket.facts_of(source(locked), backup)}
    assert facts["bucket"] == "keeps versions, Object Lock (COMPLIANCE, 30 days), encrypted (AES256)"
    assert facts["encryption"] == "AES256"
    assert facts["object lock"].startswith("COMPLIANCE until 20")
    assert facts["storage"].startswith("STANDARD")
    assert facts["version"]


def test_an_archived_backup_tells_its_time_to_readable_against_the_rto_and_is_thawed(
    there: Bucket, tmp_path: Path
) -> None:
    there.put(NIGHT, b"night", StorageClass="GLACIER")
    backup = one(source(there))
    assert not backup.readable
    assert backup.storage_class == "GLACIER"
    assert "3 to 5 hours (Standard)" in labels(backup)["archived"]
    assert "Standard and Bulk are slower than the RTO of 15:00" in labels(backup)["archived"]
    error = failure(lambda: content(source(there), backup, tmp_path))
    assert "archived and not thawed; GLACIER: can be read after a thaw, 1 to 5 minutes (Expedited)" in error.message
    assert "slower than the RTO of 15:00" in error.message
    assert error.hint == f"pacs-recover thaw {backup.id}"
    assert archive.state_of(source(there), backup).state == "archived"
    asked = archive.thaw(source(there), backup, Authority(), "Expedited", 3)
    assert (asked.state, asked.detail) == ("thawing", "GLACIER, thawing: 1 to 5 minutes (tier Expedited)")
    state = archive.state_of(source(there), backup)
    assert state.state == "readable"
    assert state.until
    thawed = one(source(there))
    assert thawed.readable
    assert "can be read until 20" in labels(thawed)["thawed"]
    assert content(source(there), thawed, tmp_path) == b"night"
    assert archive.thaw(source(there), thawed, Authority()).state == "readable"


def test_what_is_being_thawed_is_told_and_not_asked_for_again(there: Bucket) -> None:
    there.put(NIGHT, StorageClass="GLACIER")
    backup = one(source(there))

    def thawing(request: Request) -> Fault | None:
        return Fault(answer={"x-amz-restore": 'ongoing-request="true"'}) if request.method == "HEAD" else None

    with there.proxy.meddling(thawing):
        seen = one(source(there))
        assert not seen.readable
        assert "3 to 5 hours" in labels(seen)["thawing"]
        assert archive.thaw(source(there), backup, Authority()).state == "thawing"
    assert not [request for request in there.proxy.seen if request.method == "POST"]


def test_e6_an_archive_that_cannot_be_read_within_the_rto_says_so(there: Bucket) -> None:
    there.put(NIGHT, StorageClass="DEEP_ARCHIVE")
    backup = one(source(there))
    assert "every tier is slower than the RTO of 15:00" in labels(backup)["archived"]
    with pytest.raises(UsageError) as caught:
        archive.thaw(source(there), backup, Authority(), "Expedited")
    assert "Standard, Bulk" in caught.value.hint


def test_what_intelligent_tiering_archived_is_thawed_for_good(there: Bucket, tmp_path: Path) -> None:
    there.put(NIGHT, StorageClass="INTELLIGENT_TIERING")
    backup = one(source(there))
    assert backup.readable  # no listing tells it

    def archived(request: Request) -> Fault | None:
        if request.method == "GET" and NIGHT in request.path:
            return Fault("InvalidObjectState")
        if request.method == "POST":
            return Fault(status=202, body=b"")
        return Fault(answer={"x-amz-archive-status": "DEEP_ARCHIVE_ACCESS"}) if request.method == "HEAD" else None

    with there.proxy.meddling(archived):
        assert "pacs-recover thaw" in failure(lambda: content(source(there), backup, tmp_path)).hint
        assert archive.state_of(source(there), backup).state == "archived"
        with pytest.raises(UsageError):
            archive.thaw(source(there), backup, Authority(), "Expedited")
        asked = archive.thaw(source(there), backup, Authority(), "Standard", 3)
    assert (asked.state, asked.storage_class) == ("thawing", "DEEP_ARCHIVE_ACCESS")
    (request,) = [request for request in there.proxy.seen if request.method == "POST"]
    assert b"<Tier>Standard</Tier>" in request.body
    assert b"Days" not in request.body  # it comes back itself, not as a copy for some days


LISTED = """<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>{}
</ListBucketResult>"""
OBJECT = """<Contents><Key>queue/queue_2026111{}_020000.db.gz</Key><LastModified>2026-11-10T02:00:00.000Z</LastModified>
<ETag>"0123"</ETag><Size>9</Size><StorageClass>GLACIER</StorageClass><RestoreStatus>
<IsRestoreInProgress>{}</IsRestoreInProgress>{}</RestoreStatus></Contents>"""


def test_the_state_of_a_thaw_is_taken_from_a_listing_of_aws(there: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", there.proxy.url)
    until = "<RestoreExpiryDate>2026-11-20T00:00:00.000Z</RestoreExpiryDate>"
    objects = OBJECT.format(0, "true", "") + OBJECT.format(1, "false", until)

    def as_aws(request: Request) -> Fault | None:
        return Fault(body=LISTED.format(objects).encode(), status=200) if "list-type=2" in request.path else None

    with there.proxy.meddling(as_aws):
        thawing, thawed = listed(source(there, endpoint=None, addressing="path"))
    assert (thawing.readable, thawed.readable) == (False, True)
    assert "thawing" in labels(thawing)
    assert labels(thawed)["thawed"] == "GLACIER: can be read until 2026-11-20T00:00:00Z"
    wanted = [request.headers.get("x-amz-optional-object-attributes") for request in there.proxy.seen]
    assert "RestoreStatus" in wanted
    assert not [request for request in there.proxy.seen if request.method == "HEAD"]


def test_storage_classes_that_are_read_at_once_are_readable(there: Bucket, tmp_path: Path) -> None:
    there.put(NIGHT, b"night", StorageClass="GLACIER_IR")
    backup = one(source(there))
    assert backup.readable
    assert content(source(there), backup, tmp_path) == b"night"
