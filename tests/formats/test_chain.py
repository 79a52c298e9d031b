from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pacs_recover.model import Fact
from tests.formats.openssl_ca import AUTHORITY, SERVER, Authority, look, one, openssl, put, said

pytestmark = pytest.mark.needs("openssl", reason="makes the certificates")


def test_an_issuer_that_is_not_in_the_backup_is_a_warning(issuing: Authority, certs: Path) -> None:
    issuing.server(certs)
    assert look(certs).state == "warn"
    assert "issuer not beside it: CN=Issuing" in said(certs)
    put(certs, "issuing.crt", issuing.certificate)
    assert "issuer not beside it: CN=Root" in said(certs)


def test_an_authority_of_the_same_name_that_did_not_sign_is_a_broken_chain(
    root: Authority, certs: Path, tmp_path: Path
) -> None:
    root.server(certs)
    put(certs, "ca.crt", Authority(tmp_path / "impostor", "/CN=Root").certificate)
    assert one(certs)["state"] == "bad"
    assert "broken chain: CN=Root did not sign server.crt" in said(certs)
    put(certs, "ca2.crt", root.certificate)
    assert one(certs)["state"] == "ok"


def test_a_damaged_signature_is_a_broken_chain(root: Authority, certs: Path) -> None:
    root.server(certs)
    put(certs, "ca.crt", root.certificate)
    openssl("x509", "-in", certs / "server.crt", "-outform", "DER", "-out", certs / "der")
    data = bytearray((certs / "der").read_bytes())
    data[-1] ^= 1
    (certs / "der").unlink()
    (certs / "server.crt").write_bytes(data)
    assert "broken chain" in said(certs)
    assert one(certs)["state"] == "bad"


def test_an_issuer_that_is_no_authority_is_a_broken_chain(root: Authority, certs: Path, tmp_path: Path) -> None:
    false = Authority(tmp_path / "false", "/CN=False")
    root.issue(false.certificate, false.key, "/CN=False", extensions=SERVER)
    false.server(certs)
    put(certs, "ca.crt", false.certificate, root.certificate)
    assert "broken chain: ca.crt is no certificate authority" in said(certs)


def test_an_expired_intermediate_breaks_the_chain_unless_it_was_renewed(
    root: Authority, certs: Path, tmp_path: Path
) -> None:
    old = Authority(tmp_path / "old", "/CN=Issuing", root, end="20260901000000Z")
    old.server(certs)
    put(certs, "ca.crt", root.certificate)
    put(certs, "issuing.crt", old.certificate)
    assert "its issuer issuing.crt (CN=Issuing) expired" in said(certs)
    assert one(certs)["state"] == "bad"
    assert one(certs, "issuing.crt")["state"] == "warn"
    renewed = root.issue(tmp_path / "renewed.crt", old.key, "/CN=Issuing", extensions=AUTHORITY)
    put(certs, "issuing.crt", old.certificate, renewed)
    assert one(certs)["state"] == "ok"


def test_a_bundle_with_an_expired_root_among_many_is_a_warning_on_one_line(
    root: Authority, certs: Path, tmp_path: Path
) -> None:
    others = [Authority(tmp_path / f"ca{n}", f"/CN=CA {n}").certificate for n in range(6)]
    gone = Authority(tmp_path / "gone", "/CN=Gone", end="20260201000000Z").certificate
    put(certs, "ca-bundle.crt", *others, gone, root.certificate)
    root.server(certs)
    found = look(certs)
    assert found.state == "warn"
    assert len(found.details["certificates"]) == 9
    assert [fact for fact in found.facts if fact.state != "ok"] == [
        Fact(
            "ca-bundle.crt",
            "8 authorities, 1 expired, expiring or weak: CN=Gone: EXPIRED on 2026-02-01 (295 days ago)",
            "warn",
        )
    ]


def test_certificates_out_of_order_are_a_warning(root: Authority, issuing: Authority, certs: Path) -> None:
    issuing.server(certs)
    put(certs, "server.crt", certs / "server.crt", root.certificate, issuing.certificate)
    assert [fact.value for fact in look(certs).facts if fact.state == "warn"] == [
        "its certificates are out of order: the service's own, then each one's issuer"
    ]


def test_a_self_signed_server_certificate_is_ok_and_bad_once_expired(certs: Path) -> None:
    """``openssl req -x509`` marks what it makes as an authority; its key and host names tell what it is."""
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 90),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", certs / "server.key", "-out", certs / "server.crt"),
    )
    made = datetime.now(UTC)
    assert one(certs, now=made)["state"] == "ok"
    assert "self-signed" in said(certs, now=made)
    later = made.replace(year=made.year + 1)
    assert one(certs, now=later)["state"] == "bad"
    (certs / "server.key").unlink()
    assert one(certs, now=later)["state"] == "bad"


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_a_weak_signature_is_a_warning_and_no_broken_chain(certs: Path, tmp_path: Path, digest: str) -> None:
    old = Authority(tmp_path / "old", kind="rsa")
    old.server(certs, digest=digest)
    put(certs, "ca.crt", old.certificate)
    assert one(certs)["state"] == "warn"
    assert "complete up to CN=Root" in said(certs)
    assert f"weak signature ({digest.upper()})" in said(certs)


def test_a_weak_key_is_a_warning(root: Authority, certs: Path) -> None:
    root.server(certs, kind="weak")
    put(certs, "ca.crt", root.certificate)
    assert one(certs)["state"] == "warn"
    assert "weak key (RSA 1024)" in said(certs)
