"""HL7 v2 messages: synthetic ones to try a bridge with, and what an acknowledgement says; never a message's content."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from pacs_recover.errors import RecoverError
from pacs_recover.text import safe

LARGEST = 1 << 20
"""Bytes of a message from a file; a receiver's own limit is 10 MB."""
TYPES = ("ADT^A01", "ORM^O01", "ORU^R01")
"""An admission, an order and a result: what a bridge between HIS, RIS and PACS passes on."""
ACCEPTED = ("AA", "CA")
"""MSA-1 for "taken" (HL7 v2.5.1, table 0008): application accept, and commit accept of the enhanced mode."""
CODES = {
    "AE": "application error",
    "AR": "application reject",
    "CE": "commit error",
    "CR": "commit reject",
}
PATIENT = "PID|1||DRILL0001^^^DRILL^MR||SYNTHETIC^RECOVERY^DRILL||19700101|O"
VISIT = "PV1|1|O|DRILL^01^A"
OBSERVED = "OBR|1|{id}|{id}|DRILL^RECOVERY DRILL^L|||{at}"
BODIES = {
    "ADT^A01": ("EVN|A01|{at}", PATIENT, VISIT),
    "ORM^O01": (PATIENT, VISIT, "ORC|NW|{id}|{id}||SC|||||{at}", OBSERVED),
    "ORU^R01": (PATIENT, VISIT, OBSERVED, "OBX|1|TX|DRILL^RECOVERY DRILL^L||SYNTHETIC, NO FINDINGS||||||F"),
}
STRUCTURES = {"ADT^A01": "ADT_A01", "ORM^O01": "ORM_O01", "ORU^R01": "ORU_R01"}


class Message(Struct, frozen=True):
    """One message to send."""

    type: str
    """MSH-9, message and event: ``ADT^A01``."""
    control_id: str
    """MSH-10, which its acknowledgement repeats."""
    content: bytes
    label: str = ""
    """Where it is from, for people; empty: made here."""


class Acknowledgement(Struct, frozen=True):
    """What an answer says of the message it answers."""

    code: str
    control_id: str


def synthetic(kind: str, control_id: str, at: datetime) -> Message:
    """A message of one of ``TYPES``; MSH-11 is ``T``, so that no receiver takes it for production."""
    stamp = f"{at.astimezone(UTC):%Y%m%d%H%M%S}"
    head = (
        f"MSH|^~\\&|HIS_DRILL|PACS_RECOVER|PACS_BRIDGE|RADIOLOGY|{stamp}||{kind}^{STRUCTURES[kind]}"
        f"|{control_id}|T|2.5.1|||AL|NE"
    )
    body = (segment.format(id=control_id[-16:], at=stamp) for segment in BODIES[kind])
    return Message(kind, control_id, "".join(f"{segment}\r" for segment in (head, *body)).encode())


def from_file(path: Path) -> Message:
    """The one message of a site's own file, its segments ended by CR. RecoverError where it is none."""
    content = b"\r".join(_bytes(path).strip(b"\x0b\x1c\r\n").splitlines()) + b"\r"
    try:
        head = _parsed(content).segment("MSH")
        kind, control_id = str(head[9]), str(head[10])
    except (RecoverError, KeyError, IndexError) as error:
        raise RecoverError(
            f"{safe(path)} is no HL7 message", "it must begin with MSH and have MSH-9 and MSH-10"
        ) from error
    if not control_id.strip():
        raise RecoverError(f"{safe(path)} has no control id (MSH-10)", "give it one: the acknowledgement repeats it")
    if sum(line.startswith(b"MSH") for line in content.split(b"\r")) > 1:
        raise RecoverError(f"{safe(path)} holds several messages", "write one message a file")
    return Message("^".join(kind.split("^")[:2]), control_id, content, path.name)


def _bytes(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise RecoverError(f"{safe(path)} is no file", "name a file that holds one HL7 message")
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise RecoverError(f"{safe(path)}: {error.strerror}", "see drill.messages in the site file") from error
    if len(content) > LARGEST:
        raise RecoverError(f"{safe(path)} is longer than {LARGEST >> 20} MiB", "a test message is a small one")
    return content


def acknowledgement(answer: bytes) -> Acknowledgement:
    """What an answer acknowledges. RecoverError where it is no acknowledgement; what it holds is not shown."""
    try:
        found = _parsed(answer).segment("MSA")
        return Acknowledgement(safe(found[1], 20), safe(found[2], 199))
    except (RecoverError, KeyError, IndexError):
        raise RecoverError(
            "the answer is no acknowledgement: it has no MSA-1 and MSA-2", "see the bridge's log"
        ) from None


def refusal(sent: Message, answer: Acknowledgement) -> str:
    """Why an acknowledgement does not accept this message; empty where it does."""
    if answer.control_id != sent.control_id:
        return "it was answered for another message: MSA-2 is not its control id"
    if answer.code in ACCEPTED:
        return ""
    return f"it was answered with {answer.code or 'no code'} ({CODES.get(answer.code, 'no known code')})"


def _parsed(content: bytes) -> Any:
    """The message as the library reads it. RecoverError."""
    import hl7  # deferred: only a drill needs it

    try:
        return hl7.parse(content.decode(errors="replace"))
    except Exception as error:  # the library raises what its string operations raise
        raise RecoverError("this is no HL7 message", "") from error
