"""What a manifest or a line of sha256sum says of a backup, and that no bytes in its place do any harm."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.formats import manifest
from pacs_recover.formats.manifest import LARGEST, NONE, Manifest, Record, Validity
from pacs_recover.formats.streams import Hashing
from tests.formats.samples import Dribble, damaged, refusal, unhurried

NAME = "queue_20261110_020000.db.gz"
BESIDE = NAME + ".manifest.json"
TAKEN = datetime(2026, 11, 10, 2, tzinfo=UTC)
HASH = hashlib.sha256(b"content").hexdigest()
FULL = Manifest(
    name=NAME,
    component="queue",
    format="db.gz",
    size=7,
    sha256=HASH,
    taken_at=TAKEN,
    made_by="root",
    made_on="pacs1",
    program="pacs-recover 0.1.0",
    rows={"message_queue": 12, "dead_letter_queue": 0},
)


def read(data: bytes, beside: str = BESIDE) -> Record:
    return manifest.read(Dribble(data, 100), beside, NAME)


def changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(manifest.encode(FULL)), **values}).encode()


def unusable(data: bytes, beside: str = BESIDE) -> str:
    """What is said of a file that is no record of the backup; nothing may be held against that."""
    record = read(data, beside)
    assert (record.sha256, record.manifest, record.said) == ("", None, NONE)
    (fact,) = record.findings
    assert fact.state == "warn"
    assert fact.value.startswith(beside)
    assert fact.value.isprintable()
    return fact.value


def test_what_is_written_is_read_again_and_the_documents_example_is_one() -> None:
    record = read(manifest.encode(FULL))
    assert record.manifest == FULL
    assert record.sha256 == HASH
    assert record.said == "SHA-256 as recorded by root on pacs1 with pacs-recover 0.1.0"
    text = (Path(__file__).parents[2] / "docs/manifest.md").read_text()
    (example,) = text.split("```json\n")[1:]
    assert read(example.split("```")[0].encode()).manifest


def test_keys_of_a_later_version_are_passed_over() -> None:
    assert read(changed(later={"deep": [1, 2]})).manifest == FULL


@pytest.mark.parametrize(
    "values",
    [
        {"manifest": 2},
        {"sha256": HASH[:-1]},
        {"sha256": HASH.upper()},
        {"size": -1},
        {"size": 1 << 70},
        {"size": "7"},
        {"taken_at": "2026-11-10T02:00:00"},
        {"made_by": "x" * 2000},
        {"rows": {"message_queue": -1}},
        {
            "certificates": [
                {"file": "a", "not_before": "0001-01-01T00:00:00+14:00", "not_after": "2026-01-01T00:00:00Z"}
            ]
        },
    ],
)
def test_a_manifest_with_a_value_that_cannot_be_is_a_finding(values: dict[str, Any]) -> None:
    assert "no manifest of this version" in unusable(changed(**values))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{" * 60_000,
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b'"\\ud800"',
        b"\0" * 99,
    ],
)
def test_what_is_no_manifest_is_a_finding(data: bytes) -> None:
    unusable(data)


def test_a_manifest_without_end_is_not_read_to_it() -> None:
    class Endless:
        given = 0

        def read(self, n: int = -1, /) -> bytes:
            self.given += n
            return b" " * n

    raw = Endless()
    record = manifest.read(raw, BESIDE, NAME)
    assert "longer than the 64 KiB" in record.findings[0].value
    assert raw.given == LARGEST + 1


def test_names_and_people_in_a_manifest_reach_no_terminal() -> None:
    record = read(changed(made_by="\x1b[2Jroot", made_on="[red]pacs1", rows={"\x1b[31mrows": 1}))
    facts = list(record.facts("queue", {"tables": []}))
    assert all(fact.label.isprintable() and fact.value.isprintable() for fact in facts)
    assert "\\x1b" in record.said


@pytest.mark.needs("sha256sum", reason="what it writes has to be read")
@pytest.mark.parametrize("options", [[], ["--binary"], ["--tag"], ["--text"]])
@pytest.mark.parametrize("name", [NAME, "odd\\name\n.db", "a  b.db"])
def test_what_sha256sum_writes_is_read(options: list[str], name: str, tmp_path: Path) -> None:
    for other in ("other.db", name):
        (tmp_path / other).write_bytes(other.encode())
    said = subprocess.run(["sha256sum", *options, tmp_path / "other.db", tmp_path / name], capture_output=True).stdout
    record = manifest.parse(said, "x.sha256", name)
    assert record.sha256 == hashlib.sha256(name.encode()).hexdigest()
    assert record.manifest is None
    piped = subprocess.run(["sha256sum", *options], input=b"content", capture_output=True).stdout
    assert manifest.parse(piped, "x.sha256", name).sha256 == HASH


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no hash of a file of this name"),
        (f"{HASH}\n", "no hash of a file of this name"),
        (f"{HASH}  other.db.gz\n", "no hash of a file of this name"),
        (f"{HASH[:-1]}  {NAME}\n", "no hash of a file of this name"),
        (f"{HASH}  {NAME}\n{'0' * 64}  {NAME}\n", "more than one hash"),
    ],
)
def test_sums_that_are_not_of_the_backup_are_a_finding(text: str, why: str) -> None:
    assert why in unusable(text.encode(), NAME + ".sha256")


def hashed(data: bytes) -> Hashing:
    read = Hashing(io.BytesIO(data))
    read.drain()
    return read


def test_other_bytes_than_recorded_are_refused_with_both_hashes() -> None:
    record, other = read(manifest.encode(FULL)), hashlib.sha256(b"contents").hexdigest()
    assert refusal(lambda: manifest.must_match(record, hashed(b"content"))) is None
    error = refusal(lambda: manifest.must_match(record, hashed(b"contents")))
    assert error
    assert HASH in error.message
    assert other in error.message
    assert "8 bytes, 7 were recorded" in error.message
    assert refusal(lambda: manifest.must_match(read(changed(size=8)), hashed(b"content")))
    assert refusal(lambda: manifest.must_match(Record(), hashed(b"anything"))) is None


def test_rows_and_dates_that_differ_from_what_is_found_are_bad() -> None:
    def bad(record: Manifest, component: str, details: dict[str, Any]) -> list[str]:
        facts = Record(NONE, HASH, record).facts(component, details)
        return [f"{fact.label}: {fact.value}" for fact in facts if fact.state == "bad"]

    tables = [{"name": "message_queue", "rows": 12}, {"name": "dead_letter_queue", "rows": 0}]
    assert bad(FULL, "queue", {"tables": tables}) == []
    assert bad(FULL, "queue", {"tables": [{"name": "message_queue", "rows": 11}, {"name": "more", "rows": 1}]}) == [
        "rows in dead_letter_queue: none, as there is no such table, recorded: 0",
        "rows in message_queue: 11, recorded: 12",
        "rows in more: 1, recorded: none, as there is no such table",
    ]
    assert bad(FULL, "config", {"tables": tables}) == ["manifest: it is of a backup of queue, not of config"]
    dates = Validity(file="server.crt", not_before=TAKEN, not_after=TAKEN.replace(year=2027))
    found = {"file": "server.crt", "not_before": "2026-11-10T02:00:00Z", "not_after": "2027-11-10T02:00:00Z"}
    certs = Manifest(**{field: getattr(FULL, field) for field in FULL.__struct_fields__} | {
        "component": "certs", "rows": None, "certificates": [dates]
    })  # fmt: skip
    assert bad(certs, "certs", {"certificates": [found]}) == []
    later = {**found, "not_after": "2028-11-10T02:00:00Z"}
    assert len(bad(certs, "certs", {"certificates": [later]})) == 2
    assert len(bad(certs, "certs", {"certificates": [found, found]})) == 1
    assert len(bad(certs, "certs", {})) == 1


@unhurried
@given(damaged(manifest.encode(FULL)) | st.binary(max_size=300))
def test_any_bytes_are_a_record_or_a_finding(data: bytes) -> None:
    for beside in (BESIDE, NAME + ".sha256"):
        record = read(data, beside)
        assert bool(record.sha256) != bool(record.findings)
        list(record.facts("queue", {}))
