"""Synthetic HL7 v2 traffic: every name, number and address in it is plainly made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

# fmt: off
LETTERS = (
    "ALPHA", "BRAVO", "CHARLIE", "DELTA", "ECHO", "FOXTROT", "GOLF", "HOTEL", "INDIA", "JULIETT", "KILO",
    "LIMA", "MIKE", "NOVEMBER", "OSCAR", "PAPA", "QUEBEC", "ROMEO", "SIERRA", "TANGO", "UNIFORM", "VICTOR",
    "WHISKEY", "XRAY", "YANKEE", "ZULU",
)
# fmt: on
"""Given and family names of nobody."""
PROCEDURES = (
    ("CTHEAD", "CT HEAD W/O CONTRAST", "CT"),
    ("CTCHEST", "CT CHEST", "CT"),
    ("MRSPINE", "MR LUMBAR SPINE", "MR"),
    ("XRCHEST", "CHEST 2 VIEWS", "XR"),
    ("USABD", "US ABDOMEN", "US"),
)
"""Code, text and modality, as the demo's mapping files know them."""
TRAFFIC = {"ADT^A08": 30, "ORM^O01": 25, "ORU^R01": 15, "ADT^A01": 15, "ADT^A04": 15}
"""Message types and their share of a day's traffic, in percent."""
DESTINATIONS = {"ADT": ("EMR_ARCHIVE", 20), "ORM": ("RIS_PRIMARY", 1), "ORU": ("RIS_PRIMARY", 5)}
"""Where a kind of message goes and with which priority (a lower number goes first)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message and its fate: ``acknowledged`` and ``dead_lettered`` say when it left the queue, if it did."""

    id: str
    serial: int
    destination: str
    payload: str
    priority: int
    created_at: datetime
    correlation_id: str
    message_type: str
    acknowledged: datetime | None = None
    dead_lettered: datetime | None = None


def synthetic(
    rng: Random,
    serial: int,
    created_at: datetime,
    *,
    acknowledged: datetime | None = None,
    dead_lettered: datetime | None = None,
) -> Message:
    """One message as the bridge enqueues it; its id is built as the service's own are: hex time, counter, random."""
    message_type = rng.choices(tuple(TRAFFIC), tuple(TRAFFIC.values()))[0]
    destination, priority = DESTINATIONS[message_type[:3]]
    millis = int(created_at.timestamp() * 1000)
    control = f"DEMO{millis % 10**9:09}{serial % 10**6:06}"
    return Message(
        id=f"{millis:012x}{serial & 0xFFFF:04x}{rng.getrandbits(32):08x}",
        serial=serial,
        destination=destination,
        payload=payload(rng, message_type, control, created_at),
        priority=priority,
        created_at=created_at,
        correlation_id=control,
        message_type=message_type,
        acknowledged=acknowledged,
        dead_lettered=dead_lettered,
    )


def history(now: datetime, waiting: int, seed: int) -> list[Message]:
    """Some days of traffic that leave ``waiting`` messages in the queue at ``now``, oldest first.

    The receivers have been slow for 30 hours, so older snapshots hold less of the backlog, and messages that were
    delivered since: what a restore would send again.
    """
    rng = Random(seed)  # noqa: S311 - repeatable, not secret
    fates = [_waiting(rng, now) for _ in range(waiting)]
    fates += [_acknowledged(rng, now) for _ in range(waiting)]
    fates += [_dead_lettered(rng, now) for _ in range(max(3, waiting // 60))]
    fates.sort(key=lambda fate: fate[0])
    return [
        synthetic(rng, serial, created, acknowledged=acknowledged, dead_lettered=dead)
        for serial, (created, acknowledged, dead) in enumerate(fates)
    ]


Fate = tuple[datetime, datetime | None, datetime | None]


def _waiting(rng: Random, now: datetime) -> Fate:
    return now - _hours(rng, 0, 30), None, None


def _acknowledged(rng: Random, now: datetime) -> Fate:
    created = now - _hours(rng, 0, 60)
    return created, created + min(timedelta(hours=6), now - created) * rng.random(), None


def _dead_lettered(rng: Random, now: datetime) -> Fate:
    created = now - _hours(rng, 30, 70)
    return created, None, created + _hours(rng, 1, 20)


def _hours(rng: Random, low: float, high: float) -> timedelta:
    return timedelta(hours=rng.uniform(low, high))


def payload(rng: Random, message_type: str, control: str, at: datetime) -> str:
    """One HL7 v2.5.1 message, segments ended by CR; MSH-11 is ``T``, so no receiver takes it for production."""
    event = message_type.replace("^", "_")
    stamp = f"{at:%Y%m%d%H%M%S}"
    head = (
        f"MSH|^~\\&|HIS_DEMO|DEMO_HOSPITAL|PACS_BRIDGE|RADIOLOGY|{stamp}||{message_type}^{event}|{control}|T|2.5.1"
        "|||AL|NE||UNICODE UTF-8"
    )
    body = BODIES[message_type[:3]](rng, message_type, stamp)
    return "".join(f"{segment}\r" for segment in (head, *body))


def _patient(rng: Random) -> list[str]:
    number = rng.randrange(400)
    name = f"SYNTHETIC{number:03}^{LETTERS[number % 26]}^{LETTERS[number // 26]}"
    born = f"{1930 + number % 90}{1 + number % 12:02}{1 + number % 28:02}"
    address = f"{number} EXAMPLE STREET^^SAMPLETOWN^ZZ^00000^XX"
    visit = f"V{rng.randrange(10**6):06}"
    phone = f"(000)555-01{number % 100:02}"
    doctor = f"D{number % 40:03}^TESTDOCTOR^{LETTERS[number % 25]}"
    return [
        f"PID|1||DEMO{number:06}^^^DEMO_HOSPITAL^MR||{name}||{born}|{'FMOU'[number % 4]}|||{address}||{phone}",
        f"PV1|1|{'IOE'[number % 3]}|WARD{number % 9}^{number % 30:02}^A^DEMO_HOSPITAL||||{doctor}||||||||||||{visit}",
    ]


def _admission(rng: Random, message_type: str, stamp: str) -> list[str]:
    patient, visit = _patient(rng)
    event = message_type.partition("^")[2]
    return [
        f"EVN|{event}|{stamp}|||DEMOCLERK",
        patient,
        f"NK1|1|NEXTOFKIN^{rng.choice(LETTERS)}|SPO|1 EXAMPLE STREET^^SAMPLETOWN",
        visit,
        f"AL1|1|DA|DEMO{rng.randrange(99):02}^SYNTHETIC ALLERGEN|MI",
        f"DG1|1||Z00.0{rng.randrange(10)}^DEMO DIAGNOSIS^I10|||A",
    ]


def _order(rng: Random, _message_type: str, stamp: str) -> list[str]:
    number = f"{rng.randrange(10**6):06}"
    code, text, modality = rng.choice(PROCEDURES)
    return [
        *_patient(rng),
        f"ORC|NW|PLC{number}|FIL{number}||SC||^^^{stamp}^^R||{stamp}|DEMOCLERK",
        f"OBR|1|PLC{number}|FIL{number}|{code}^{text}^L|||{stamp}||||||DEMO INDICATION|||||ACC{number}||||||{modality}",
        f"ZDS|1.2.3.4.5.6.{int(stamp)}.{int(number)}^DEMO^Application^DICOM",
    ]


def _result(rng: Random, _message_type: str, stamp: str) -> list[str]:
    number = f"{rng.randrange(10**6):06}"
    code, text, modality = rng.choice(PROCEDURES)
    return [
        *_patient(rng),
        f"OBR|1|PLC{number}|FIL{number}|{code}^{text}^L|||{stamp}|||||||||||ACC{number}||||{stamp}||{modality}|F",
        f"OBX|1|TX|{code}^{text}^L||SYNTHETIC REPORT {number}: NO FINDINGS, THIS TEXT IS MADE UP.||||||F|||{stamp}",
        "OBX|2|TX|IMP^IMPRESSION^L||DEMONSTRATION DATA ONLY.||||||F",
    ]


BODIES: dict[str, Callable[[Random, str, str], list[str]]] = {"ADT": _admission, "ORM": _order, "ORU": _result}
"""The segments after MSH, by the kind of message."""
