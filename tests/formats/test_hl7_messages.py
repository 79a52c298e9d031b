"""Test messages, the site's own, and what an acknowledgement says; read here with the ``hl7`` package."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import hl7
import pytest

from pacs_recover.errors import RecoverError
from pacs_recover.formats.hl7_messages import (
    TYPES,
    Acknowledgement,
    Message,
    acknowledgement,
    from_file,
    refusal,
    synthetic,
)

NOW = datetime(2026, 11, 10, 2, 0, tzinfo=UTC)
SENT = Message("ADT^A01", "PR1", b"")


@pytest.mark.parametrize("kind", TYPES)
def test_a_synthetic_message_is_one_and_says_that_it_is_a_test(kind: str) -> None:
    made = synthetic(kind, "PRDRILL0001", NOW)
    read = hl7.parse(made.content.decode())
    head = read.segment("MSH")
    assert str(head[9]).startswith(kind + "^")
    assert (str(head[10]), str(head[11]), str(head[12])) == ("PRDRILL0001", "T", "2.5.1")
    assert made.content.endswith(b"\r")
    assert b"\n" not in made.content
    assert "SYNTHETIC" in str(read.segment("PID"))


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_an_acknowledgement_is_read_and_accepts(code: str) -> None:
    read = hl7.parse(synthetic("ADT^A01", "PR1", NOW).content.decode())
    found = acknowledgement(str(read.create_ack(code)).encode())
    assert found == Acknowledgement(code, "PR1")
    assert refusal(SENT, found) == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Acknowledgement("AE", "PR1"), "answered with AE (application error)"),
        (Acknowledgement("AR", "PR1"), "answered with AR (application reject)"),
        (Acknowledgement("CR", "PR1"), "answered with CR (commit reject)"),
        (Acknowledgement("", "PR1"), "answered with no code (no known code)"),
        (Acknowledgement("aa", "PR1"), "answered with aa (no known code)"),
        (Acknowledgement("AA", "PR2"), "MSA-2 is not its control id"),
        (Acknowledgement("AA", ""), "MSA-2 is not its control id"),
    ],
)
def test_anything_else_does_not(answer: Acknowledgement, why: str) -> None:
    assert why in refusal(SENT, answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"nonsense", b"\xff\xfe\x00", b"MSH|", b"MSH|^~\\&|A|B|C|D|2026||ACK|1|T|2.5.1\r",
        b"MSH|^~\\&|A|B|C|D|2026||ACK|1|T|2.5.1\rMSA\r", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"MSA|AA|DOE^JANE",
    ],
)  # fmt: skip
def test_what_is_no_acknowledgement_is_said_without_its_content(answer: bytes) -> None:
    with pytest.raises(RecoverError, match="no acknowledgement") as caught:
        acknowledgement(answer)
    assert "DOE" not in str(caught.value)


def test_a_site_s_own_message_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "order.hl7"
    text = synthetic("ORM^O01", "SITE1", NOW).content
    for content in (text, text.replace(b"\r", b"\n"), text.replace(b"\r", b"\r\n"), b"\x0b" + text + b"\x1c\r"):
        path.write_bytes(content)
        assert from_file(path) == Message("ORM^O01", "SITE1", text, "order.hl7")


def test_a_file_that_is_no_message_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.hl7"
    one = synthetic("ORM^O01", "SITE1", NOW).content
    cases = {
        b"": "is no HL7 message",
        b"DOE^JANE": "is no HL7 message",
        one.replace(b"SITE1", b""): "no control id",
        one + one: "several messages",
        b"MSH" + b"x" * (2 << 20): "longer than 1 MiB",
    }
    for content, why in cases.items():
        path.write_bytes(content)
        with pytest.raises(RecoverError, match=why) as caught:
            from_file(path)
        assert "DOE" not in str(caught.value)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecoverError, match="is no file"):
        from_file(tmp_path / "pipe")
    with pytest.raises(RecoverError, match="No such file"):
        from_file(tmp_path / "none")
