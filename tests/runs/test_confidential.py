"""What holds messages or keys is private and goes, however a run or a look ends; keys are in no process's sight."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pacs_recover import closing, worker
from pacs_recover.authority import Authority
from pacs_recover.spawning import spawn
from pacs_recover.state import JUST_MADE, SCRATCH
from tests import leaks
from tests.runs.small_site import SmallSite, outcome


def staged(small: SmallSite) -> list[Path]:
    """The files that runs have unpacked and not put in place."""
    return [path for path in small.live.rglob("staged/**/*") if path.is_file()]


def cut(small: SmallSite) -> Path:
    """A run whose worker was killed while it asked: all is staged, nothing changed."""
    plan = small.plan(small.demo.good["queue"])
    run = small.arm(plan)
    request = (run / worker.REQUEST).read_bytes()
    (run / worker.REQUEST).write_bytes(request.replace(b'"assume_yes":true', b'"assume_yes":false'))
    process = spawn(run, "restore", Authority())
    journal = run / "journal.jsonl"
    while not journal.exists() or b'"asked"' not in journal.read_bytes():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait(60)
    return run


def test_what_a_killed_run_staged_is_private_and_stays_until_it_is_ended(small: SmallSite) -> None:
    run = cut(small)
    assert staged(small)
    for path in staged(small):
        room = next(parent for parent in path.parents if parent.name == ".pacs_recover")
        assert stat.S_IMODE(room.stat().st_mode) == 0o700, room
    with small.state.scratch():  # another start
        pass
    assert staged(small), "an unfinished run keeps what it needs to go on"
    closing.close(run, "nothing had been changed", Authority())
    assert not staged(small)
    assert outcome(run).outcome == "closed"


@pytest.mark.parametrize("purpose", ["rollback", "resume"])
def test_what_a_killed_run_staged_is_gone_once_it_is_ended(small: SmallSite, purpose: worker.Purpose) -> None:
    run = cut(small)
    (run / "scratch").mkdir(exist_ok=True)
    (run / "scratch/point.db").write_text("what a source was assembling")
    if purpose == "resume":
        request = (run / worker.REQUEST).read_bytes()
        assert b'"question_timeout":5.0' in request
    worker.take_up(run, "resume" if purpose == "resume" else "rollback", "test", lambda: False)
    assert outcome(run).outcome in ("interrupted", "failed_untouched")  # nobody answers the resumed run's question
    assert not staged(small)
    assert not (run / "scratch").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from pacs_recover.state import State, outside
with State(Path(sys.argv[1])).scratch() as scratch:
    (scratch / "queue.db").write_text("a copy of messages")
    (outside(scratch, Path(sys.argv[2]) / ".out.part") / "queue.db").write_text("another")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("state", ["state", "file/state"], ids=["in the state directory", "in the temporary one"])
def test_scratch_of_a_killed_look_is_swept_at_the_next_start(
    tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pacs_recover.state import State

    (tmp_path / "state").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    argv = [sys.executable, "-c", KILLED, str(tmp_path / state), str(tmp_path)]
    assert subprocess.run(argv, env=environment, timeout=60, check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.rglob(SCRATCH + "*")
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / ".out.part").stat().st_mode) == 0o700
    long_ago = time.time() - JUST_MADE - 1
    os.utime(left, (long_ago, long_ago))
    with State(tmp_path / "state").scratch():
        assert not left.exists()
        assert not (tmp_path / ".out.part").exists()


@contextmanager
def watching(secrets: tuple[bytes, ...]) -> Iterator[tuple[set[str], set[str]]]:
    """Look at the arguments and variables of all processes while this lasts: which were seen, which told a secret."""
    seen: set[str] = set()
    told: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                    seen.add(process.name)
                    if any(secret in text for secret in secrets):
                        told.add(text.decode(errors="replace"))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen, told
    finally:
        over.set()
        thread.join()


def test_keys_are_in_no_process_s_arguments_or_variables_and_in_none_of_our_files(small: SmallSite) -> None:
    password = small.demo.key_file.read_bytes().strip()
    assert len(password) > 20
    small.on_start("sleep 0.3\n")
    plan = small.full()
    assert any(choice.backup.encrypted for choice in plan.request.choices)
    run = small.arm(plan)
    with watching((password, b"PRIVATE KEY-----")) as (seen, told):
        process = spawn(run, "restore", Authority())
        assert process.wait(120) == 0
    assert str(process.pid) in seen
    assert told == set()
    leaks.refuse_in_files(small.root / "state", small.demo.key_file)


def test_the_scan_finds_what_is_planted_and_what_is_open(small: SmallSite) -> None:
    place = small.root / "state"
    place.mkdir(exist_ok=True)
    key = small.demo.key_file
    for text in (b"PID|1||DEMO|SYNTHETIC007^GOLF", b"-----BEGIN PRIVATE KEY-----", key.read_bytes()):
        with pytest.raises(AssertionError, match="tells"):
            leaks.refuse(text, "it", key)
    (place / "x.json").write_text("{}")
    (place / "x.json").chmod(0o644)
    with pytest.raises(AssertionError, match="open to others"):
        leaks.refuse_in_files(place, key)
    (place / "x.json").unlink()
