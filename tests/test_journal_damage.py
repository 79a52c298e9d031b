"""No damage to a journal's bytes makes an event that never was."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs_recover.events import Began, Effect, Resumed
from pacs_recover.journal import Journal, read

_sample: list[bytes] = []


def _sample_journal(directory: Path) -> bytes:
    if not _sample:
        journal = Journal(directory / "sample", create=True)
        for title in ("Stop pacs_bridge", "Zustand prüfen: größer"):
            journal.write(Began, title=title)
        journal.write(Resumed, program="0.1.0", boot="b", purpose="rollback", operator="anna")
        journal.write(Effect, undo="bring_back", args={"inode": 4711, "live": "/q.db"}, title="Set queue.db aside")
        journal.close()
        _sample.append((directory / "sample").read_bytes())
    return _sample[0]


def _damaged(data: st.DataObject, whole: bytes) -> bytes:
    """Bytes changed, lost, doubled or put in, in up to three places."""
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(begin, min(len(whole), begin + 300)))
        special = st.sampled_from([b"\n", b"\r", b"\0" * 64, whole[begin:end] * 2])
        put = data.draw(st.one_of(st.binary(max_size=20), special))
        whole = whole[:begin] + put + whole[end:]
    return whole


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_makes_an_event_that_never_was(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = _sample_journal(tmp_path_factory.getbasetemp())
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(whole)
    true = read(path)[0]
    path.write_bytes(_damaged(data, whole))
    for event in read(path)[0]:
        assert event in true


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 255))
def test_one_changed_byte_costs_at_most_the_lines_it_touches_and_is_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, change: int
) -> None:
    whole = bytearray(_sample_journal(tmp_path_factory.getbasetemp()))
    lines = whole.count(b"\n")
    whole[data.draw(st.integers(0, len(whole) - 2))] ^= change
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(whole)
    events, damage = read(path)
    assert damage
    assert lines - 2 <= len(events) < lines
