"""How a backup is fetched from a bucket, and what a replica is read by, against a real S3 server."""

from __future__ import annotations

import base64
import os
import time
import zlib
from pathlib import Path

import pytest

from pacs_recover.sources.litestream_store import Vanished
from pacs_recover.sources.s3 import download
from pacs_recover.sources.s3.place import Place, place_of
from pacs_recover.sources.s3.store import S3Store
from tests.sources.s3_asked import NIGHT, content, failure, kept, make, one, some, source, there
from tests.sources.s3_proxy import Fault, Meddle, Request
from tests.sources.s3_server import Bucket

__all__ = ["kept", "make", "there"]


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
    assert content(source(there), backup, tmp_path) == b"".join(parts)  # its checksum is one of parts: not computed
    crc = base64.b64encode(zlib.crc32(b"".join(parts)).to_bytes(4, "big")).decode()
    told = {"x-amz-checksum-crc32": crc, "x-amz-checksum-type": "FULL_OBJECT"}

    def whole(request: Request) -> Fault:
        return Fault(answer=told if request.method == "HEAD" else {})

    def damaged(request: Request) -> Fault:
        return Fault(answer=told) if request.method == "HEAD" else Fault(flip=50_000)

    with there.proxy.meddling(whole):
        assert content(source(there), backup, tmp_path) == b"".join(parts)
    with there.proxy.meddling(damaged):
        assert "CRC-32" in failure(lambda: content(source(there), backup, tmp_path)).message


def test_a_truncated_object_is_no_shorter_backup(
    there: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSES", (0.01,))
    there.put(NIGHT, some(100_000))
    backup = one(source(there))
    short: Meddle = lambda request: Fault(body=some(50_000), status=200) if request.method == "GET" else None  # noqa: E731
    with there.proxy.meddling(short):
        failure(lambda: content(source(there), backup, tmp_path))


def test_a_store_lists_and_reads_what_is_below_its_prefix(there: Bucket) -> None:
    there.put("replica/0000/1.ltx", b"one", Metadata={"Litestream-Timestamp": "2026-11-23T07:30:16.753Z"})
    there.put("replica/0001/2.ltx", b"second")
    there.put("replica2/0000/1.ltx", b"foreign")
    store = S3Store(there.config(prefix="replica"))
    assert store.url == f"s3://{there.name}/replica?endpoint={there.proxy.url}&region=us-east-1"
    found = {entry.key: entry for entry in store.list("")}
    assert {key: entry.size for key, entry in found.items()} == {"0000/1.ltx": 3, "0001/2.ltx": 6}
    assert found["0000/1.ltx"].modified.tzinfo
    assert [entry.key for entry in store.list("0001/")] == ["0001/2.ltx"]
    assert list(store.list("9999/")) == []
    with store.open("0001/2.ltx") as whole, store.open("0001/2.ltx", 3) as head:
        assert (whole.read(), head.read()) == (b"second", b"sec")
    assert store.metadata("0000/1.ltx") == {"litestream-timestamp": "2026-11-23T07:30:16.753Z"}
    store.close()


def test_a_stores_url_is_what_litestream_takes_and_holds_no_credentials(there: Bucket) -> None:
    hidden = S3Store(there.config(endpoint="https://user:secret@s3.example:9000/", region=None))
    assert hidden.url == f"s3://{there.name}?endpoint=https://s3.example:9000"
    assert S3Store(there.config(endpoint=None, prefix="a/b/")).url == f"s3://{there.name}/a/b"


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
        "import sys, pacs_recover.sources.s3 as s3; from pacs_recover.site.sources import S3Config; import datetime;"
        "s3.S3Source(S3Config(name='s3', bucket='b'), datetime.UTC);"
        "assert not {'boto3', 'botocore', 'urllib3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
