"""Files of ours that something damaged are told in words, whatever bytes are in them."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from pacs_recover import arming, front, questions, worker
from pacs_recover.errors import RecoverError, Refused
from pacs_recover.journal import SUM, read
from pacs_recover.state import State
from pacs_recover.target.lock import read_mark

BYTES = [b"", b"{}", b'{"run":"\xff\xfe"}', b'{"kind":"\x1b[2J"}', b"[" * 200_000, b'{"site":' * 50_000, b"\0" * 9]


@pytest.fixture(params=BYTES)
def data(request: pytest.FixtureRequest) -> bytes:
    """Each in turn."""
    found: bytes = request.param
    return found


def test_a_plan_a_request_a_mark_and_an_answer(data: bytes, tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.prepare()
    (state.path / "plans/abc.json").write_bytes(data)
    with pytest.raises(Refused, match="cannot be read") as refused:
        arming.load("abc", state)
    assert refused.value.message.isprintable()
    (tmp_path / worker.REQUEST).write_bytes(data)
    with pytest.raises(RecoverError, match="cannot be read") as failed:
        worker.read_request(tmp_path)
    assert failed.value.message.isprintable()
    (tmp_path / "mark").write_bytes(data)
    assert read_mark(tmp_path / "mark") is None
    assert questions._read(tmp_path / "mark", questions.Answer) is None
    (tmp_path / worker.LOG).write_bytes(data)
    assert front.Following(tmp_path).refusal() is None


def test_a_line_of_a_journal_with_a_right_sum(data: bytes, tmp_path: Path) -> None:
    body = data.replace(b"\n", b"").removesuffix(b"}")
    (tmp_path / "journal").write_bytes(body + SUM % zlib.crc32(body + b"}"))
    events, (damage,) = read(tmp_path / "journal")
    assert events == []
    assert damage.reason.isprintable()
