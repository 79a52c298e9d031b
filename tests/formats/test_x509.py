from __future__ import annotations

import json
import os
import shutil
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.x509 import load_der_x509_certificate
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup
from pacs_recover.formats import pem, x509
from pacs_recover.formats.certificate import serial
from pacs_recover.model import Fact
from tests.formats.openssl_ca import NOW, Authority, key, look, one, openssl, put, said

pytestmark = pytest.mark.needs("openssl", reason="makes the certificates")


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
@pytest.mark.parametrize(
    "subject",
    ["/CN=pacs.example", '/C=DE/O=Klinikum Süd, Haus "A"/CN=pacs+bridge/emailAddress=it@klinik.example', "/O=#1/CN=a"],
)
def test_every_figure_equals_that_of_openssl(root: Authority, certs: Path, kind: str, subject: str) -> None:
    root.issue(certs / "server.crt", key(certs / "server.key", kind), subject)
    row = one(certs)
    printed = openssl(
        *("x509", "-in", certs / "server.crt", "-noout", "-dates", "-serial", "-subject", "-issuer"),
        *("-nameopt", "oneline,-space_eq,-esc_msb,utf8"),
    )
    theirs = dict(line.split("=", 1) for line in printed.splitlines())
    assert row["subject"] == theirs["subject"]
    assert row["issuer"] == theirs["issuer"]
    assert row["serial"] == theirs["serial"]
    for ours, name in (("not_before", "notBefore"), ("not_after", "notAfter")):
        moment = datetime.strptime(theirs[name], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
        assert row[ours] == moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert row["sans"] == ["pacs.example", "localhost", "127.0.0.1"]
    assert row["key_matches"] is True


@pytest.mark.parametrize(("number", "text"), [(0, "00"), (1, "01"), (255, "FF"), (4096, "1000"), (-1, "-01")])
def test_serial_numbers_are_written_as_openssl_writes_them(number: int, text: str) -> None:
    assert serial(number) == text


def test_a_sound_directory_is_ok(root: Authority, issuing: Authority, certs: Path) -> None:
    issuing.server(certs, kind="rsa")
    put(certs, "server.crt", certs / "server.crt", issuing.certificate)
    put(certs, "ca.crt", root.certificate)
    found = look(certs)
    assert found.state == "ok", found.facts
    assert "complete up to CN=Root" in said(certs)
    assert one(certs)["days_left"] == (datetime(2027, 6, 1, tzinfo=UTC) - NOW).days == 189
    assert [row["file"] for row in found.details["certificates"]] == ["ca.crt", "server.crt", "server.crt"]


def test_a_certificate_that_is_not_valid_yet_is_bad(root: Authority, certs: Path) -> None:
    root.server(certs, start="20261124000000Z", end="20270601000000Z")
    put(certs, "ca.crt", root.certificate)
    assert one(certs)["state"] == "bad"
    assert "NOT VALID before 2026-11-24 00:00 UTC" in said(certs)


@pytest.mark.parametrize(
    ("end", "state", "left"),
    [
        ("20261123120000Z", "warn", 0),
        ("20261123115959Z", "bad", -1),
        ("20261223115959Z", "warn", 29),
        ("20261223120000Z", "ok", 30),
    ],
)
def test_the_limits_of_expiry(root: Authority, certs: Path, end: str, state: str, left: int) -> None:
    root.server(certs, end=end)
    put(certs, "ca.crt", root.certificate)
    assert (one(certs)["state"], one(certs)["days_left"]) == (state, left)


@pytest.mark.parametrize(
    ("start", "end", "state"),
    [
        ("20260101000000Z", "99991231235959Z", "ok"),
        ("00010101000000Z", "99991231235959Z", "ok"),
        ("19000101000000Z", "19491231235959Z", "bad"),
        ("20270101000000Z", "20200101000000Z", "bad"),
    ],
)
def test_absurd_dates_are_only_dates(root: Authority, certs: Path, start: str, end: str, state: str) -> None:
    root.server(certs, start=start, end=end)
    put(certs, "ca.crt", root.certificate)
    found = look(certs)
    rows = [row for row in found.details["certificates"] if row["file"] == "server.crt"]
    if rows:
        assert rows[0]["state"] == state
    else:
        assert Fact("server.crt", "its certificate 1 is damaged and cannot be read", "bad") in found.facts


def test_a_serial_that_breaks_the_rules_warns_nobody(root: Authority, certs: Path) -> None:
    """A negative serial number: the library warns of it, or refuses it one day."""
    root.server(certs)
    put(certs, "ca.crt", root.certificate)
    der = certs / "server.crt"
    openssl("x509", "-in", certs / "server.crt", "-outform", "DER", "-out", certs / "der")
    data = bytearray((certs / "der").read_bytes())
    (certs / "der").unlink()
    at = data.index(b"\xa0\x03\x02\x01\x02\x02") + 6
    data[at + 1] |= 0x80
    der.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = look(certs)
    assert found.state == "bad"
    assert all(row["serial"].startswith("-") for row in found.details["certificates"] if row["file"] == "server.crt")


@pytest.mark.parametrize(
    ("name", "content", "state"),
    [
        ("server.crt", b"", "bad"),
        ("server.key", b"\x00" * 500, "bad"),
        ("server.pem", b"nothing", "bad"),
        ("server.crt", b"-----BEGIN CERTIFICATE-----\nMIIB", "bad"),
        ("server.crt", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "bad"),
        ("server.key", b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", "bad"),
        ("server.key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "bad"),
        ("server.p12", b"\x30\x82", "warn"),
        ("big.crt", b"\x30" * (1 << 20) + b"\x30", "warn"),
        ("dh.pem", b"-----BEGIN DH PARAMETERS-----\nMIIB\n-----END DH PARAMETERS-----\n", None),
        ("README", b"how to renew", None),
        ("huge.log", b"x" * (1 << 21), None),
    ],
)
def test_files_are_judged_by_what_they_hold(
    root: Authority, certs: Path, name: str, content: bytes, state: str | None
) -> None:
    root.server(certs, "other")
    put(certs, "ca.crt", root.certificate)
    (certs / name).write_bytes(content)
    about = [fact.state for fact in look(certs).facts if fact.label == name]
    assert about == ([state] if state else [])


def test_no_certificate_at_all_is_bad(certs: Path) -> None:
    key(certs / "server.key")
    assert Fact("Certificates", "there is no certificate in it", "bad") in look(certs).facts


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBackup, match="is not a directory"):
        look(tmp_path / "nowhere")


@pytest.mark.parametrize(("limit", "words"), [("MOST_FILES", "1 files"), ("MOST_CERTIFICATES", "1 certificates")])
def test_a_directory_of_far_too_much_is_refused(
    root: Authority, certs: Path, monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    put(certs, "a.crt", root.certificate)
    put(certs, "b.crt", root.certificate)
    monkeypatch.setattr(x509, limit, 1)
    with pytest.raises(BadBackup, match=f"holds more than {words}"):
        look(certs)


def test_links_are_followed_inside_the_directory_alone(root: Authority, certs: Path, tmp_path: Path) -> None:
    root.server(certs, "server-2026")
    put(certs, "ca.crt", root.certificate)
    (certs / "server.crt").symlink_to("server-2026.crt")
    secret = key(tmp_path / "secret.key")
    (certs / "leak.key").symlink_to(secret)
    (certs / "loop.crt").symlink_to("loop.crt")
    assert one(certs)["key_matches"] is True
    assert Fact("leak.key", "is a link that leads out of the directory; not followed", "warn") in look(certs).facts
    assert [fact.state for fact in look(certs).facts if fact.label == "loop.crt"] == ["warn"]


def test_a_fifo_is_not_waited_at(root: Authority, certs: Path) -> None:
    root.server(certs)
    os.mkfifo(certs / "pipe.crt")
    assert [fact.state for fact in look(certs).facts if fact.label == "pipe.crt"] == ["warn"]


def test_names_from_outside_reach_no_terminal(root: Authority, certs: Path) -> None:
    root.issue(certs / "a\x1b[2J\n.crt", key(certs / "a.key"), "/CN=evil\x1b]0;owned\x07\u202etxt")
    found = look(certs)
    text = json.dumps(found.details, ensure_ascii=False) + "".join(fact.label + fact.value for fact in found.facts)
    assert text.isprintable()
    assert "evil\\x1b]0;owned\\x07\\u202etxt" in found.details["certificates"][0]["subject"]


def test_the_guides_certificate_archive_is_read_as_it_is(root: Authority, issuing: Authority, certs: Path) -> None:
    issuing.server(certs, "server")
    issuing.server(certs, "client", "rsa")
    put(certs, "ca.crt", root.certificate, issuing.certificate)
    shutil.copytree(certs, certs / "old")
    found = look(certs)
    assert found.state == "ok"
    assert {row["file"] for row in found.details["certificates"]} >= {"server.crt", "old/client.crt"}


@given(
    st.binary(max_size=400), st.sampled_from([b"", b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN PRIVATE KEY-----\n"])
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_end_in_an_answer(tmp_path: Path, data: bytes, head: bytes) -> None:
    (tmp_path / "a.pem").write_bytes(head + data)
    assert look(tmp_path).state == "bad"


@given(at=st.integers(0, 10_000), value=st.integers(1, 255))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_certificate_ends_in_an_answer(root: Authority, tmp_path: Path, at: int, value: int) -> None:
    """Every bit of a certificate is signed: with its authority beside it no flip is ever fine.

    But for one byte, the number of unused bits of the signature, which the library does not show.
    """
    if not (tmp_path / "ca.crt").exists():
        put(tmp_path, "ca.crt", root.certificate)
        root.server(tmp_path)
        openssl("x509", "-in", tmp_path / "server.crt", "-outform", "DER", "-out", tmp_path / "original")
    data = bytearray((tmp_path / "original").read_bytes())
    unused_bits = len(data) - len(load_der_x509_certificate(bytes(data)).signature) - 1
    assume(at % len(data) != unused_bits)
    data[at % len(data)] ^= value
    (tmp_path / "server.crt").write_bytes(data)
    found = look(tmp_path)
    assert [fact for fact in found.facts if fact.label == "server.crt" and fact.state != "ok"]


def test_a_file_of_many_beginnings_takes_no_time() -> None:
    data = b"-----BEGIN CERTIFICATE-----\n" * 37_000
    assert len(list(pem.blocks(data))) == 1
    assert len(list(pem.blocks(b"-----BEGIN " * 90_000))) <= 1
