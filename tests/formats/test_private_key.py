from __future__ import annotations

import json
from pathlib import Path

import pytest

from pacs_recover.formats import x509
from pacs_recover.formats.private_key import from_pem
from pacs_recover.model import Fact
from tests.formats.openssl_ca import Authority, key, look, one, openssl, put, said

pytestmark = pytest.mark.needs("openssl", reason="makes the certificates")


def test_b10_an_expired_certificate_with_somebody_elses_key_is_bad_twice(root: Authority, certs: Path) -> None:
    root.server(certs, start="20240101000000Z", end="20250101000000Z")
    key(certs / "server.key")
    put(certs, "ca.crt", root.certificate)
    row = one(certs)
    assert row["state"] == "bad"
    assert row["key_matches"] is False
    assert row["days_left"] == -692
    assert "EXPIRED on 2025-01-01 (691 days ago)" in row["findings"]
    assert "MISMATCHED: server.key is the key of another certificate" in row["findings"]
    assert Fact("server.key", "private key, EC secp256r1: matches no certificate", "bad") in look(certs).facts


@pytest.mark.parametrize(
    ("certificate", "private"),
    [
        ("tls-cert.pem", "tls-key.pem"),
        ("fullchain.pem", "privkey.pem"),
        ("a.cer", "a.key"),
        ("Server.CRT", "server.KEY"),
    ],
)
def test_a_pair_is_known_by_its_names_to_be_mismatched(
    root: Authority, certs: Path, certificate: str, private: str
) -> None:
    root.issue(certs / certificate, key(certs / "other.key"))
    key(certs / private)
    assert one(certs, certificate)["key_matches"] is False
    assert one(certs, certificate)["state"] == "bad"


def test_a_pair_is_known_by_its_public_key_whatever_it_is_called(root: Authority, certs: Path) -> None:
    root.server(certs)
    (certs / "server.key").rename(certs / "zebra")
    put(certs, "ca.crt", root.certificate)
    assert one(certs)["key_matches"] is True
    assert look(certs).state == "ok"


def test_a_key_that_matches_nothing_beside_a_certificate_without_one_is_bad(root: Authority, certs: Path) -> None:
    root.server(certs)
    (certs / "server.key").unlink()
    key(certs / "bridge.key")
    assert Fact("bridge.key", "private key, EC secp256r1: matches no certificate", "bad") in look(certs).facts
    assert one(certs)["key_matches"] is None


def test_a_key_left_over_beside_whole_pairs_is_a_warning(root: Authority, certs: Path) -> None:
    root.server(certs)
    key(certs / "old.key")
    put(certs, "ca.crt", root.certificate)
    assert look(certs).state == "warn"


def test_a_certificate_whose_key_is_not_in_the_backup_is_a_warning(root: Authority, certs: Path) -> None:
    root.server(certs)
    put(certs, "ca.crt", root.certificate)
    (certs / "server.key").unlink()
    assert look(certs).state == "warn"
    assert "its private key is not beside it" in said(certs)


@pytest.mark.parametrize("traditional", [False, True])
def test_an_encrypted_key_is_a_warning_and_its_match_unknown(root: Authority, certs: Path, traditional: bool) -> None:
    root.server(certs, kind="rsa")
    put(certs, "ca.crt", root.certificate)
    clear = certs / "server.key"
    form = ("rsa", "-traditional") if traditional else ("pkcs8", "-topk8")
    openssl(
        *form,
        "-in",
        clear,
        "-aes128" if traditional else "-v2",
        *(() if traditional else ("aes128",)),
        "-passout",
        "pass:secret",
        "-out",
        certs / "new",
    )
    (certs / "new").rename(clear)
    assert ("Proc-Type: 4,ENCRYPTED" in clear.read_text()) == traditional
    assert look(certs).state == "warn"
    assert one(certs)["key_matches"] is None
    assert "the key is encrypted" in said(certs)


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_der_files_are_read_as_well(root: Authority, certs: Path, kind: str) -> None:
    root.server(certs, kind=kind)
    for name, what in (("server.crt", "x509"), ("server.key", "pkey")):
        openssl(what, "-in", certs / name, "-outform", "DER", "-out", certs / "der")
        (certs / "der").rename(certs / name)
    openssl("x509", "-in", root.certificate, "-outform", "DER", "-out", certs / "ca.cer")
    assert look(certs).state == "ok"
    assert one(certs)["key_matches"] is True


def test_an_encrypted_der_key_is_known_for_one(root: Authority, certs: Path) -> None:
    root.server(certs)
    openssl(
        *("pkcs8", "-topk8", "-in", certs / "server.key", "-outform", "DER", "-passout", "pass:secret"),
        *("-out", certs / "new"),
    )
    (certs / "new").rename(certs / "server.key")
    assert "the key is encrypted" in said(certs)


def test_certificate_and_key_in_one_file(root: Authority, certs: Path) -> None:
    root.server(certs)
    put(certs, "server.pem", certs / "server.key", certs / "server.crt", root.certificate)
    (certs / "server.key").unlink()
    (certs / "server.crt").unlink()
    assert look(certs).state == "ok"
    assert x509.matching(certs / "server.pem", certs / "server.pem").state == "ok"


def test_nothing_of_a_key_is_ever_shown(root: Authority, certs: Path) -> None:
    root.server(certs, kind="rsa")
    private = (certs / "server.key").read_text().splitlines()
    put(certs, "same.pem", certs / "server.key", certs / "server.crt")
    (certs / "cut.key").write_text("\n".join(private[:-3]))
    (certs / "flipped.key").write_text("\n".join([*private[:5], "A" * 64, *private[6:]]))
    found = look(certs)
    shown = json.dumps(found.details) + repr(found.facts)
    shown += repr([x509.matching(certs / "server.crt", path) for path in certs.iterdir()])
    assert not [line for line in private[1:-1] if line in shown]


def test_matching_is_what_a_tls_service_would_find(root: Authority, issuing: Authority, certs: Path) -> None:
    issuing.server(certs, kind="rsa")
    root.server(certs, "other", kind="ed25519")
    pair = x509.matching(certs / "server.crt", certs / "server.key")
    assert pair == Fact("server.crt and server.key", "belong together: RSA 2048, CN=pacs.example")
    assert x509.matching(certs / "server.crt", certs / "other.key").state == "bad"
    assert x509.matching(certs / "other.crt", certs / "other.key").state == "ok"
    put(certs, "reversed.crt", issuing.certificate, certs / "server.crt")
    assert "MISMATCHED" in x509.matching(certs / "reversed.crt", certs / "server.key").value
    openssl("pkcs8", "-topk8", "-in", certs / "server.key", "-passout", "pass:x", "-out", certs / "locked.key")
    assert x509.matching(certs / "server.crt", certs / "locked.key").state == "warn"


@pytest.mark.parametrize(
    ("certificate", "private", "words"),
    [
        ("missing.crt", "server.key", "missing.crt cannot be read: No such file or directory"),
        ("server.crt", "missing.key", "missing.key cannot be read: No such file or directory"),
        ("server.key", "server.key", "server.key holds no certificate"),
        ("server.crt", "server.crt", "server.crt holds no private key"),
        ("cut.crt", "server.key", "cut.crt is cut off or damaged: a certificate or key has no end"),
        ("server.crt", "bad.key", "is damaged: no private key can be read from it"),
    ],
)
def test_matching_says_what_is_missing(
    root: Authority, certs: Path, certificate: str, private: str, words: str
) -> None:
    root.server(certs)
    (certs / "cut.crt").write_bytes((certs / "server.crt").read_bytes()[:200])
    (certs / "bad.key").write_text("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n")
    assert x509.matching(certs / certificate, certs / private) == Fact(f"{certificate} and {private}", words, "bad")


def test_a_key_far_too_large_is_not_computed_with() -> None:
    text = b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 40_000 + b"\n-----END PRIVATE KEY-----\n"
    assert from_pem(text, "a.key").problem == "is too large for a private key"
