"""Backups in a bucket, against a real S3 server."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pacs_recover.errors import SourceError, UsageError
from pacs_recover.model import Backup
from pacs_recover.site.model import Objective
from pacs_recover.sources import Problem
from pacs_recover.sources.litestream_store import Vanished
from pacs_recover.sources.s3 import S3Source, archive, bucket, client, download, pages
from pacs_recover.sources.s3.place import Place, place_of
from pacs_recover.sources.s3.store import S3Store
from tests.sources.s3_server import (
    Bucket,
    Fault,
    Meddle,
    Request,
    authority,
    credentials,
    free_port,
    not_listing,
    server,
)

NIGHT = "queue/queue_20261110_020000.db.gz"


@pytest.fixture
def make() -> Iterator[Callable[..., Bucket]]:
    """Buckets that end with the test."""
    made: list[Bucket] = []

    def bucket(**how: bool) -> Bucket:
        made.append(Bucket(**how))
        return made[-1]

    with credentials():
        yield bucket
        for one in made:
            one.close()


@pytest.fixture
def there(make: Callable[..., Bucket]) -> Bucket:
    """A bucket that keeps no versions."""
    return make()


@pytest.fixture
def kept(make: Callable[..., Bucket]) -> Bucket:
    """A bucket that keeps versions."""
    return make(versions=True)


def source(of: Bucket, **more: Any) -> S3Source:
    return S3Source(of.config(**more), UTC, {"queue": Objective(rto=900.0)})


def listed(of: S3Source, component: str | None = None) -> list[Backup]:
    found = list(of.listing(component))
    assert not [one for one in found if isinstance(one, Problem)], found
    return [one for one in found if isinstance(one, Backup)]


def problems(of: S3Source) -> list[Problem]:
    return [one for one in of.listing() if isinstance(one, Problem)]


def one(of: S3Source) -> Backup:
    (found,) = listed(of)
    return found


def content(of: S3Source, backup: Backup, tmp_path: Path) -> bytes:
    with of.open(backup, tmp_path) as file:
        return file.read()


def labels(backup: Backup) -> dict[str, str]:
    return {fact.label: fact.value for fact in backup.findings}


def failure(call: Callable[[], object]) -> SourceError:
    with pytest.raises(SourceError) as caught:
        call()
    assert caught.value.message
    assert caught.value.hint
    assert "Traceback" not in caught.value.message
    return caught.value


def some(size: int) -> bytes:
    """Bytes that differ everywhere."""
    return hashlib.shake_128(b"x").digest(size)


# what is listed


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


# versions


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
    assert labels(backup)["bucket"] == "keeps versions, Object Lock (COMPLIANCE, 30 days), encrypted (AES256)"
    facts = {fact.label: fact.value for fact in bucket.facts_of(source(locked), backup)}
    assert facts["encryption"] == "AES256"
    assert facts["object lock"].startswith("COMPLIANCE until 20")
    assert facts["storage"].startswith("STANDARD")
    assert facts["version"]


# archives


def test_an_archived_backup_tells_its_time_to_readable_against_the_rto_and_is_thawed(
    there: Bucket, tmp_path: Path
) -> None:
    there.put(NIGHT, b"night", StorageClass="GLACIER")
    backup = one(source(there))
    assert not backup.readable
    assert backup.storage_class == "GLACIER"
    assert "3 to 5 hours (Standard)" in labels(backup)["archive"]
    assert "Standard and Bulk are slower than the RTO of 15:00" in labels(backup)["archive"]
    error = failure(lambda: content(source(there), backup, tmp_path))
    assert "archived" in error.message
    assert "thaw" in error.hint
    assert archive.state_of(source(there), backup).state == "archived"
    asked = archive.thaw(source(there), backup, "Expedited", 3)
    assert (asked.state, asked.detail) == ("thawing", "GLACIER, thawing: 1 to 5 minutes (tier Expedited)")
    state = archive.state_of(source(there), backup)
    assert state.state == "readable"
    assert state.until
    thawed = one(source(there))
    assert thawed.readable
    assert "thawed" in labels(thawed)["archive"]
    assert content(source(there), thawed, tmp_path) == b"night"
    assert archive.thaw(source(there), thawed).state == "readable"


def test_what_is_being_thawed_is_told_and_not_asked_for_again(there: Bucket) -> None:
    there.put(NIGHT, StorageClass="GLACIER")
    backup = one(source(there))

    def thawing(request: Request) -> Fault | None:
        return Fault(answer={"x-amz-restore": 'ongoing-request="true"'}) if request.method == "HEAD" else None

    with there.proxy.meddling(thawing):
        seen = one(source(there))
        assert not seen.readable
        assert "thawing" in labels(seen)["archive"]
        assert archive.thaw(source(there), backup).state == "thawing"
    assert not [request for request in there.proxy.seen if request.method == "POST"]


def test_e6_an_archive_that_cannot_be_read_within_the_rto_says_so(there: Bucket) -> None:
    there.put(NIGHT, StorageClass="DEEP_ARCHIVE")
    backup = one(source(there))
    assert "every tier is slower than the RTO of 15:00" in labels(backup)["archive"]
    with pytest.raises(UsageError) as caught:
        archive.thaw(source(there), backup, "Expedited")
    assert "Standard, Bulk" in caught.value.hint


def test_storage_classes_that_are_read_at_once_are_readable(there: Bucket, tmp_path: Path) -> None:
    there.put(NIGHT, b"night", StorageClass="GLACIER_IR")
    backup = one(source(there))
    assert backup.readable
    assert content(source(there), backup, tmp_path) == b"night"


# downloads


def test_ranges_come_in_order_and_whole(there: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PART", 100_000)
    whole = some(1_234_567)
    there.put(NIGHT, whole)
    assert content(source(there), one(source(there)), tmp_path) == whole
    ranges = [request.headers["range"] for request in there.proxy.seen if "range" in request.headers]
    assert len(set(ranges)) == 13


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 100_001, 200_000])
def test_every_size_comes_whole(there: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(download, "PART", 100_000)
    there.put(NIGHT, some(size))
    assert content(source(there), one(source(there)), tmp_path) == some(size)


def test_no_more_is_fetched_than_the_reader_is_ahead_of(
    there: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PART", 100_000)
    there.put(NIGHT, some(3_000_000))
    backup = one(source(there))
    with source(there).open(backup, tmp_path) as file:
        file.read(10)
        time.sleep(0.5)
        fetched = [request for request in there.proxy.seen if "range" in request.headers]
        assert len(fetched) <= download.SIDE_BY_SIDE + 2


def test_a_broken_connection_is_gone_on_with_where_it_broke(
    there: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "CHUNK", 10_000)
    monkeypatch.setattr(download, "PART", 1_000_000)
    whole = some(3_500_000)
    there.put(NIGHT, whole)
    backup = one(source(there))
    broken: list[str] = []

    def cutting(request: Request) -> Fault | None:
        if request.method != "GET" or len(broken) >= 6:
            return None
        broken.append(request.headers["range"])
        return Fault(cut=300_000)

    with there.proxy.meddling(cutting):
        assert content(source(there), backup, tmp_path) == whole
    assert len(broken) == 6
    starts = [
        int(request.headers["range"][6:].split("-")[0]) for request in there.proxy.seen if "range" in request.headers
    ]
    assert any(start % 1_000_000 for start in starts)  # not from the range's beginning again


def test_a_connection_that_always_breaks_is_an_error_that_names_bucket_and_key(
    there: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.01))
    there.put(NIGHT, some(100_000))
    backup = one(source(there))
    with there.proxy.meddling(lambda request: Fault(cut=0) if request.method == "GET" else None):
        error = failure(lambda: content(source(there), backup, tmp_path))
    assert f"s3://{there.name}/{NIGHT}" in error.message
    assert "less than it said" in error.message or "broken" in error.message


def test_an_object_that_was_replaced_is_noticed_before_and_while_it_is_read(
    there: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PART", 100_000)
    there.put(NIGHT, some(3_000_000))
    backup = one(source(there))
    with source(there).open(backup, tmp_path) as file:
        file.read(10)
        there.put(NIGHT, some(3_000_000)[::-1])
        assert "replaced" in failure(file.read).message
    assert "replaced" in failure(lambda: content(source(there), backup, tmp_path)).message


def test_it_is_noticed_also_where_a_server_does_not_look_at_if_match(there: Bucket, tmp_path: Path) -> None:
    there.put(NIGHT, b"first")
    backup = one(source(there))
    there.put(NIGHT, b"other")
    with there.proxy.meddling(lambda request: Fault(without=("if-match",))):
        assert "replaced" in failure(lambda: content(source(there), backup, tmp_path)).message


def test_a_flipped_bit_does_not_match_the_md5(there: Bucket, tmp_path: Path) -> None:
    there.put(NIGHT, some(100_000))
    backup = one(source(there))
    with there.proxy.meddling(lambda request: Fault(flip=50_000) if request.method == "GET" else None):
        error = failure(lambda: content(source(there), backup, tmp_path))
    assert "MD5" in error.message
    assert NIGHT in error.message


def test_an_object_in_parts_is_held_against_its_checksum(there: Bucket, tmp_path: Path) -> None:
    begun = there.client.create_multipart_upload(Bucket=there.name, Key=NIGHT, ChecksumAlgorithm="CRC32")
    named = {"Bucket": there.name, "Key": NIGHT, "UploadId": begun["UploadId"]}
    parts = [some(5 << 20), b"end"]
    done = [
        {"PartNumber": n, "ETag": there.client.upload_part(**named, PartNumber=n, Body=part)["ETag"]}
        for n, part in enumerate(parts, 1)
    ]
    there.client.complete_multipart_upload(**named, MultipartUpload={"Parts": done})
    backup = one(source(there))
    assert "-2" in backup.key
    assert content(source(there), backup, tmp_path) == b"".join(parts)


def test_a_truncated_object_is_no_shorter_backup(
    there: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSES", (0.01,))
    there.put(NIGHT, some(100_000))
    backup = one(source(there))
    short: Meddle = lambda request: Fault(body=some(50_000), status=200) if request.method == "GET" else None  # noqa: E731
    with there.proxy.meddling(short):
        failure(lambda: content(source(there), backup, tmp_path))


# errors


def test_an_endpoint_that_refuses_is_named(there: Bucket) -> None:
    port = free_port()
    error = failure(lambda: list(source(there, endpoint=f"http://127.0.0.1:{port}").listing()))
    assert there.name in error.message
    assert f"127.0.0.1:{port} refuses the connection" in error.message


def test_an_endpoint_that_never_answers_ends_by_a_time_out(there: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "READ", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        error = failure(lambda: list(source(there, endpoint=endpoint).listing()))
    assert "time-out" in error.message
    assert time.monotonic() - began < 8


def test_a_name_that_does_not_resolve_is_said(there: Bucket) -> None:
    error = failure(lambda: list(source(there, endpoint="http://s3.invalid").listing()))
    assert "cannot be resolved" in error.message


def test_a_bucket_that_does_not_exist_is_said(there: Bucket) -> None:
    error = failure(lambda: list(source(there, bucket="there-is-none").listing()))
    assert error.message == "cannot read s3://there-is-none/: there is no such bucket"


ANSWERS: list[tuple[Fault, str, str]] = [
    (Fault("InvalidAccessKeyId"), "does not know the access key", "credentials"),
    (Fault("SignatureDoesNotMatch"), "secret key is wrong", "credentials"),
    (Fault("ExpiredToken", status=400), "have expired", "new ones"),
    (Fault("RequestTimeTooSkewed", headers={"Date": "Mon, 23 Nov 2020 00:00:00 GMT"}), "ahead of", "clock"),
    (
        Fault("AuthorizationHeaderMalformed", 400, {"x-amz-bucket-region": "eu-west-1"}),
        "eu-west-1",
        "region: eu-west-1",
    ),
    (Fault("PermanentRedirect", 301), "elsewhere", "endpoint"),
    (Fault("SlowDown", status=503), "busy", "again"),
    (Fault("Whatever", status=418), "Whatever", "ask"),
    (Fault(status=400, body=b"<html>no S3 here</html>"), "", "endpoint"),
]


@pytest.mark.parametrize(("fault", "reason", "hint"), ANSWERS, ids=lambda value: getattr(value, "code", ""))
def test_every_refusal_has_its_cause_and_its_hint(there: Bucket, fault: Fault, reason: str, hint: str) -> None:
    with there.proxy.meddling(lambda request: fault):
        error = failure(lambda: list(source(there).listing()))
    assert reason in error.message
    assert hint in error.hint
    assert there.name in error.message
    assert "secret" not in error.message.replace("secret key", "")


def test_denied_to_list_but_not_to_get(there: Bucket, tmp_path: Path) -> None:
    there.put(NIGHT, b"night")
    backup = one(source(there))
    with there.proxy.meddling(not_listing("")):
        (problem,) = problems(source(there))
        assert content(source(there), backup, tmp_path) == b"night"
    assert problem.place == f"s3://{there.name}/"
    assert "may not be listed" in problem.reason
    assert "s3:ListBucket" in problem.hint


def test_denied_to_get_but_not_to_list(there: Bucket, tmp_path: Path) -> None:
    there.put(NIGHT)
    with there.proxy.meddling(lambda request: Fault("AccessDenied") if NIGHT in request.path else None):
        error = failure(lambda: content(source(there), one(source(there)), tmp_path))
    assert "may not be read" in error.message
    assert "s3:GetObject" in error.hint
    assert NIGHT in error.message


def test_rights_that_are_given_by_prefix_are_enough(there: Bucket) -> None:
    there.put(NIGHT)
    with there.proxy.meddling(
        lambda request: Fault("AccessDenied") if "delimiter" in request.path or "config/" in request.path else None
    ):
        found = list(source(there).listing())
    assert [one.id for one in found if isinstance(one, Backup)] == ["queue/20261110_020000@s3"]
    assert [one.place for one in found if isinstance(one, Problem)] == [f"s3://{there.name}/config/"]


def test_one_directory_that_fails_hides_no_other(there: Bucket) -> None:
    there.put(NIGHT)
    there.put("config/config_20261110_020000.tar.gz")
    with there.proxy.meddling(not_listing("config/")):
        found = list(source(there).listing())
    assert [one.id for one in found if isinstance(one, Backup)] == ["queue/20261110_020000@s3"]
    assert len([one for one in found if isinstance(one, Problem)]) == 1


def test_no_credentials_and_an_unknown_profile_are_said(there: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such AWS profile" in failure(lambda: list(source(there, profile="nobody").listing())).message
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no credentials" in failure(lambda: list(source(there).listing())).message


def test_settings_that_can_make_no_connection_are_said(there: Bucket, tmp_path: Path) -> None:
    assert "CA bundle" in failure(lambda: list(source(there, ca_bundle=tmp_path / "none").listing())).message
    assert "is no URL" in failure(lambda: list(source(there, endpoint="s3.example").listing())).message
    assert "bucket's name" in failure(lambda: list(source(there, bucket="a b").listing())).message


def test_a_proxy_that_is_not_there_is_named(there: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{free_port()}")
    error = failure(lambda: list(source(there, endpoint="http://192.0.2.1").listing()))
    assert "proxy" in error.message
    assert "secret" not in error.message + error.hint


def test_a_role_is_assumed(there: Bucket, tmp_path: Path) -> None:
    there.put(NIGHT, b"night")
    of = source(there, role="arn:aws:iam::123456789012:role/restore")
    assert content(of, one(of), tmp_path) == b"night"
    used = {request.headers.get("x-amz-security-token") for request in there.proxy.seen if NIGHT in request.path}
    assert used != {None}
    with there.proxy.meddling(lambda request: Fault("AccessDenied") if request.method == "POST" else None):
        assert "role may not be assumed" in failure(lambda: list(of.listing())).message


# TLS


def test_a_server_of_an_own_authority_is_read_with_its_bundle_and_refused_without(
    there: Bucket, tmp_path: Path
) -> None:
    import boto3

    endpoint = f"https://127.0.0.1:{server(tls=True)}"
    bundle = authority().bundle
    direct = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", verify=str(bundle))
    direct.create_bucket(Bucket=there.name)
    direct.put_object(Bucket=there.name, Key=NIGHT, Body=b"night")
    direct.close()
    of = source(there, endpoint=endpoint, ca_bundle=bundle)
    assert content(of, one(of), tmp_path) == b"night"
    error = failure(lambda: list(source(there, endpoint=endpoint).listing()))
    assert "authority that this host does not trust" in error.message
    assert "ca_bundle" in error.hint
    wrong = endpoint.replace("127.0.0.1", "localhost")
    error = failure(lambda: list(source(there, endpoint=wrong, ca_bundle=bundle).listing()))
    assert "another host name" in error.message


def test_https_to_a_server_without_tls_is_said(there: Bucket) -> None:
    error = failure(lambda: list(source(there, endpoint=there.proxy.url.replace("http:", "https:")).listing()))
    assert "TLS" in error.message


# a replica's place


def test_a_store_lists_and_reads_what_is_below_its_prefix(there: Bucket) -> None:
    there.put("replica/0000/1.ltx", b"one", Metadata={"Litestream-Timestamp": "2026-11-23T07:30:16.753Z"})
    there.put("replica/0001/2.ltx", b"second")
    there.put("replica2/0000/1.ltx", b"foreign")
    store = S3Store(there.config(prefix="replica"))
    assert store.url == f"s3://{there.name}/replica"
    found = {entry.key: entry for entry in store.list("")}
    assert {key: entry.size for key, entry in found.items()} == {"0000/1.ltx": 3, "0001/2.ltx": 6}
    assert found["0000/1.ltx"].modified.tzinfo
    assert [entry.key for entry in store.list("0001/")] == ["0001/2.ltx"]
    assert list(store.list("9999/")) == []
    with store.open("0001/2.ltx") as whole, store.open("0001/2.ltx", 3) as head:
        assert (whole.read(), head.read()) == (b"second", b"sec")
    assert store.metadata("0000/1.ltx") == {"litestream-timestamp": "2026-11-23T07:30:16.753Z"}
    store.close()


def test_a_key_that_retention_took_or_a_writer_replaced_has_vanished(there: Bucket) -> None:
    for name in ("gone", "other"):
        there.put(f"replica/{name}", b"one")
    store = S3Store(there.config(prefix="replica/"))
    list(store.list(""))
    there.delete("replica/gone")
    there.put("replica/other", b"two")
    for name, length in (("gone", None), ("gone", 2), ("other", None), ("other", 2)):
        with pytest.raises(Vanished) as caught, store.open(name, length):
            pass
        assert name in caught.value.message
    store.close()


# places


@pytest.mark.parametrize("key", ["a/b.log", "a?b#c%41.log", "ü\n\x1b 😀", "//x//", "a&versionId=7"])
def test_a_place_survives_its_url(key: str) -> None:
    place = Place("bucket", key, "v+/=1", "abc-2")
    assert place_of(place.url) == place
    assert place.url.isprintable()
    assert str(place).isprintable()


@pytest.mark.parametrize("url", ["", "/etc/passwd", "s3://", "s3://bucket", "s3://bucket/", "http://x/y", "s3://[/x"])
def test_what_names_no_object_is_refused(url: str) -> None:
    failure(lambda: place_of(url))


def test_a_backup_of_another_bucket_is_not_opened(there: Bucket, tmp_path: Path) -> None:
    there.put(NIGHT)
    backup = one(source(there))
    assert "is not in the bucket" in failure(lambda: content(source(there, bucket="other"), backup, tmp_path)).message


def test_a_source_that_is_made_imports_no_boto3() -> None:
    import subprocess
    import sys

    code = (
        "import sys, pacs_recover.sources.s3 as s3; from pacs_recover.site.model import S3Config; import datetime;"
        "s3.S3Source(S3Config(name='s3', bucket='b'), datetime.UTC);"
        "assert not {'boto3', 'botocore', 'urllib3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
