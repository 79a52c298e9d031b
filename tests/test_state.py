"""The state directory: private, durable, swept, and refused with a way out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pacs_recover.errors import Refused, UsageError
from pacs_recover.state import SCRATCH, State


def test_it_is_made_private_and_takes_an_fsync(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.prepare()
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    run = state.new_run()
    (run / "journal.jsonl").touch()
    assert state.find(run.name[:15]) == run
    assert state.find("latest") == run


def test_one_that_cannot_be_made_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused) as caught:
        State(tmp_path / "file" / "state").prepare()
    assert "--state" in caught.value.hint


def test_one_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(Refused, match="others"):
        State(tmp_path / "state").prepare()


def test_looking_works_without_one(tmp_path: Path) -> None:
    state = State(tmp_path / "nowhere")
    assert state.runs() == []
    with state.scratch() as scratch:
        assert scratch.stat().st_mode & 0o077 == 0
    assert not scratch.exists()
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(UsageError):
        state.find("x")


def test_what_a_killed_process_left_is_swept_but_not_what_is_in_use(tmp_path: Path) -> None:
    state = State(tmp_path)
    left = tmp_path / f"{SCRATCH}left"
    left.mkdir()
    (left / "queue.db").write_text("a copy of messages")
    fresh = tmp_path / f"{SCRATCH}fresh"
    fresh.mkdir()
    hour_ago = time.time() - 3600
    os.utime(left, (hour_ago, hour_ago))
    with state.scratch() as used:
        os.utime(used, (hour_ago, hour_ago))
        with state.scratch():
            assert used.exists()
    assert not left.exists()
    assert fresh.exists()
