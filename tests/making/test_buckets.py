"""Backups into a bucket of a real server: whole or not at all, never over something, encrypted and locked as asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pacs_recover.errors import RecoverError, SourceError
from pacs_recover.making import bucket as making
from pacs_recover.making.artifact import Artifact
from pacs_recover.site import Site, UploadConfig
from tests.cli.shell import Shell, with_site
from tests.making.conftest import local, one, stored
from tests.making.test_bad_states import artifact
from tests.runs.small_site import SmallSite
from tests.sources.s3_proxy import Fault
from tests.sources.s3_server import ENVIRONMENT, Bucket, credentials

KEY = "site-a/queue/queue_20261110_020000.db.gz"


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """An empty one."""
    with credentials(), closing(Bucket()) as made:
        yield made


@pytest.fixture
def locked() -> Iterator[Bucket]:
    """An empty one with Object Lock."""
    with credentials(), closing(Bucket(lock=True)) as made:
        yield made


def source(bucket: Bucket, **more: Any) -> dict[str, Any]:
    """As a site file names it."""
    config = bucket.config()
    told = {"kind": "s3", "name": "offsite", "bucket": config.bucket, "endpoint": str(config.endpoint)}
    return {**told, "region": "us-east-1", "prefix": "site-a/", **more}


def place(bucket: Bucket, **more: Any) -> making.Bucket:
    """The bucket as a destination."""
    return making.Bucket(bucket.config(prefix="site-a/", **more), Site(timezone="UTC"))


def keys(bucket: Bucket) -> list[str]:
    """What is in it."""
    return [found["Key"] for found in bucket.client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]


def sent(bucket: Bucket) -> list[dict[str, str]]:
    """The headers of what was put."""
    puts = (asked for asked in bucket.proxy.seen if asked.method == "PUT")
    return [{name.lower(): value for name, value in asked.headers.items()} for asked in puts]


def test_to_a_directory_and_a_bucket_and_restored_from_there(small: SmallSite, store: Path, bucket: Bucket) -> None:
    backup = {"to": ["local", "offsite"]}
    own = with_site(small, sources=[local(store), source(bucket, upload={"sse": "AES256"})], backup=backup)
    own.env |= ENVIRONMENT
    made = own("backup", "full", "--json", code=0).json["backups"]
    assert [one["destination"] for one in made] == ["local", "offsite"] * 4
    config, certs, logs, queue = (name for name in keys(bucket) if not name.endswith(".manifest.json"))
    assert [name.split("/")[1] for name in (config, certs, logs, queue)] == ["certs", "config", "logs", "queue"]
    assert len(keys(bucket)) == 8
    head = bucket.client.head_object(Bucket=bucket.name, Key=queue)
    assert head["ServerSideEncryption"] == "AES256"
    (proven,) = own("verify", made[5]["backup"], "--json", code=0).json["results"]
    assert proven["checks"][-1]["evidence"].startswith("Integrity: integrity_check: ok"), "its own content is told of"
    body = bucket.client.get_object(Bucket=bucket.name, Key=queue)["Body"].read()
    assert body == one(store, "queue").read_bytes()
    ids = [found["backup"] for found in made if found["destination"] == "offsite"]
    listed = {found["id"]: found for found in own("catalog", "--source", "offsite", "--json", code=0).json["backups"]}
    assert set(ids) == set(listed)
    assert {found["verdict"] for found in listed.values()} == {"good"}
    assert all(found["recorded"] for found in listed.values())
    small.queue.write_bytes(b"damaged" * 1000)
    own("restore", "--yes", "--plan", own.plan("queue", backup=next(i for i in ids if "queue" in i)), "--json", code=0)
    assert "no closed log" in own("backup", "logs", code=0).out
    assert own("status", "--json").json["components"][0]["newest"].startswith("config/")


def test_parts_checksums_and_that_nothing_is_overwritten(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "PART", 5 << 20)
    made = artifact(tmp_path, os.urandom(12 << 20))
    stored_as = place(bucket).store(made)
    assert stored_as.id == "queue/20261110_020000@s3"
    assert bucket.client.head_object(Bucket=bucket.name, Key=KEY)["ETag"].endswith('-3"')
    assert keys(bucket) == [KEY, f"{KEY}.manifest.json"]
    puts = sent(bucket)
    assert len(puts) == 4
    assert all("content-md5" in headers for headers in puts)
    with pytest.raises(RecoverError, match="nothing is overwritten"):
        place(bucket).store(made)
    before = bucket.state()
    monkeypatch.setattr(making, "_size", lambda *_: None)  # somebody was faster than the look
    for size in (12 << 20, 1 << 20):
        with pytest.raises(RecoverError, match="nothing is overwritten"):
            place(bucket).store(artifact(tmp_path, os.urandom(size)))
    assert bucket.state() == before
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


def test_on_aws_the_server_holds_it_against_its_sha_256_too(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.proxy.url)
    monkeypatch.setattr(making, "PART", 5 << 20)
    own = making.Bucket(bucket.config(endpoint=None, addressing="path", prefix="site-a/"), Site(timezone="UTC"))
    own.store(artifact(tmp_path, os.urandom(6 << 20)))
    assert len(sent(bucket)) == 3
    assert all("x-amz-checksum-sha256" in headers for headers in sent(bucket))
    wrong = Fault(code="BadDigest", status=400)
    bucket.proxy.meddle = lambda asked: wrong if asked.method == "PUT" else None
    bucket.client.delete_object(Bucket=bucket.name, Key=KEY)
    with pytest.raises(SourceError, match="BadDigest"):
        own.store(artifact(tmp_path, b"small"))
    assert keys(bucket) == [f"{KEY}.manifest.json"]


def test_object_lock_where_it_is_asked_for(locked: Bucket, tmp_path: Path) -> None:
    upload = UploadConfig(lock="GOVERNANCE", lock_for=90 * 86400.0)
    place(locked, upload=upload).store(artifact(tmp_path, b"content"))
    for key in (KEY, f"{KEY}.manifest.json"):
        head = locked.client.head_object(Bucket=locked.name, Key=key)
        assert head["ObjectLockMode"] == "GOVERNANCE"
        assert head["ObjectLockRetainUntilDate"] - head["LastModified"] > timedelta(days=89)


def test_an_upload_that_was_cut_is_ended_by_a_later_backup(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.client.create_multipart_upload(Bucket=bucket.name, Key=KEY)
    bucket.client.create_multipart_upload(Bucket=bucket.name, Key="site-a/queue/somebody-elses")
    with monkeypatch.context() as patch:
        patch.setattr(making, "ABANDONED", timedelta(days=100_000))  # the server's uploads all began long ago
        assert list(place(bucket).begin("queue")) == [], "it may still be going on"
    monkeypatch.setattr(making, "ABANDONED", timedelta(0))
    assert "1 upload" in " ".join(place(bucket).begin("queue"))
    left = bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
    assert [found["Key"] for found in left] == ["site-a/queue/somebody-elses"]
    assert keys(bucket) == []


def test_what_a_bucket_says_no_to_is_told(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = artifact(tmp_path, b"content")
    missing = making.Bucket(bucket.config(bucket="no-such-bucket-anywhere"), Site())
    with pytest.raises(SourceError, match="no such bucket"):
        list(missing.begin("queue"))
    other = Artifact(made.title, made.path, made.size, "0" * 64)
    with pytest.raises(RecoverError, match="other bytes than were sent; it was deleted again"):
        place(bucket).store(other)
    assert keys(bucket) == []


def test_servers_without_conditional_writes_and_a_line_that_breaks(bucket: Bucket, tmp_path: Path) -> None:
    unknown = Fault(code="NotImplemented", status=501)
    bucket.proxy.meddle = lambda asked: (
        unknown if any(name.lower() == "if-none-match" for name in asked.headers) else None
    )
    place(bucket).store(artifact(tmp_path, b"content"))
    assert len(keys(bucket)) == 2
    before = bucket.state()
    with pytest.raises(RecoverError, match="nothing is overwritten"):
        place(bucket).store(artifact(tmp_path, b"other"))
    assert bucket.state() == before
    for key in keys(bucket):
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    bucket.proxy.meddle = lambda asked: Fault(code="SlowDown", status=503) if asked.method == "PUT" else None
    with pytest.raises(SourceError, match="busy"):
        place(bucket).store(artifact(tmp_path, b"content"))
    assert keys(bucket) == []


def test_a_site_without_its_bucket_is_told_by_the_command(small: SmallSite, store: Path, bucket: Bucket) -> None:
    own: Shell = with_site(small, sources=[local(store), {**source(bucket), "bucket": "no-such-bucket-anywhere"}])
    own.env |= ENVIRONMENT
    assert "no such bucket" in own("backup", "queue", "--to", "offsite", code=3).err
    assert stored(store) == []
