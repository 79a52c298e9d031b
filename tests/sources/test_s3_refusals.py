"""What an operator is told of a bucket that cannot be read, against a real S3 server."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from pacs_recover.model import Backup
from pacs_recover.sources import Problem
from pacs_recover.sources.s3 import client
from tests.sources.s3_asked import NIGHT, content, failure, kept, make, one, problems, source, there
from tests.sources.s3_proxy import Fault, not_listing
from tests.sources.s3_server import Bucket, authority, free_port, server

__all__ = ["kept", "make", "there"]


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


def test_a_server_that_does_not_know_the_key_or_the_token_is_told_from_one_that_is_down(
    there: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = source(there, endpoint=f"http://127.0.0.1:{server(strict=True)}")
    error = failure(lambda: list(of.listing()))
    assert "the server does not know the access key" in error.message
    assert "AKIATEST" not in error.message + error.hint
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIATESTTESTTESTTEST")
    assert failure(lambda: list(of.listing())).hint


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
