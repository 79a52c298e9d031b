"""docs/faults.md says what the table says, and the shim misses no call."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import results
from tests.faults.durable import cut, inodes
from tests.faults.lab import Lab
from tests.faults.preload import CHANGES, Injection
from tests.faults.table import ROWS

CHANGING = (
    "write|writev|pwrite64|pwritev|sendfile|copy_file_range|fallocate|ftruncate|truncate|fsync|fdatasync|rename|renameat|"
    "renameat2|link|linkat|symlink|symlinkat|unlink|unlinkat|rmdir|mkdir|mkdirat|chmod|fchmod|fchmodat|chown|fchown|lchown|"
    "fchownat|utime|utimes|utimensat|setxattr|lsetxattr|fsetxattr|removexattr|fremovexattr|mknod|mknodat"
)
"""System calls that change a file; openat is one where it makes or cuts one (Linux, man 2 syscalls)."""


def test_the_document_shows_the_table() -> None:
    assert results.block(results.DOCUMENT.read_text(), "matrix") == results.matrix()


def test_the_document_shows_a_whole_run_in_which_nothing_was_lost() -> None:
    rows = [line.split(" | ") for line in results.block(results.DOCUMENT.read_text(), "results").splitlines()[2:]]
    assert [row[0].removeprefix("| ") for row in rows[:-1]] == [row.name for row in ROWS.values()]
    for row in rows:
        assert row[-1] == "nothing |", row
        assert row[1] == row[2], row


@pytest.mark.needs("gcc", "strace", reason="what the kernel saw of a worker, beside what the shim saw")
def test_the_shim_sees_every_change_that_the_kernel_sees(lab: Lab, tmp_path: Path) -> None:
    lab.choose("config", "certs", "queue")
    run = lab.site.arm(lab.plan)
    trace, seen = tmp_path / "trace", tmp_path / "seen"
    injection = Injection(roots=(lab.site.root,), kinds=CHANGES, trace=seen)
    environment = lab.workers.environment("pacs_recover.worker", injection)
    own = [f"-E{name}={environment[name]}" for name in environment if name.startswith(("FAULT_", "LD_PRELOAD"))]
    command = [sys.executable, "-P", "-m", "pacs_recover.worker", "restore", str(run)]
    python_path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(
        ["strace", "-f", "-y", "-o", trace, *own, *command], check=True, env=python_path, capture_output=True
    )
    assert len(list(changes(trace, lab.site.root))) == len(seen.read_text().splitlines())


def changes(trace: Path, root: Path) -> Iterator[str]:
    """The lines of strace that are changes below a directory; the shim's own notes are outside of it."""
    call, made = re.compile(rf"({CHANGING})\("), set()
    for line in of_one_process(trace.read_text().splitlines()):
        if f"{root}/" not in line:
            continue
        name = line.rpartition("<")[2] if line.startswith("openat(") and "O_CREAT" in line else ""
        fresh = name and ("O_EXCL" in line or name not in made)  # what is there already is only opened
        if call.match(line) or fresh:
            made.add(name)
            yield line


def of_one_process(lines: list[str]) -> Iterator[str]:
    """What the first process did itself, in all its threads, without what it started."""
    threads, starting = {lines[0].split()[0]}, set()
    for line in lines:
        thread, _, call = line.partition(" ")
        if thread not in threads:
            continue
        if "CLONE_THREAD" in call:
            starting.add(thread)
        if thread in starting and (made := re.search(r"= (\d+)$", call)):
            threads.add(made[1])
            starting.discard(thread)
        yield call.lstrip()


MODEL = """
import os
def synced(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
os.chdir(os.environ["FAULT_ROOTS"])
for name in ("whole", "unsynced", "nameless/file"):
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, "w") as file:
        file.write(name)
for name in ("whole", "nameless/file", "nameless"):
    synced(name)
with open("old", "w") as file:
    file.write("overwritten and not synced")
os.chmod("old", 0o600)
os.rename("moved", "there/moved")
synced("there")
os.rename("lost", "there/lost")
os.unlink("removed")
"""


@pytest.mark.needs("gcc", reason="the shim records what is cut off")
def test_the_model_of_a_power_cut_keeps_what_was_synced_and_nothing_else(lab: Lab, tmp_path: Path) -> None:
    root, record = tmp_path / "root", tmp_path / "record"
    (root / "there").mkdir(parents=True)
    record.mkdir()
    for name in ("old", "moved", "lost", "removed"):
        (root / name).write_text(name)
    (root / "old").chmod(0o644)
    before = inodes(root)
    environment = lab.workers.environment("-c", Injection(roots=(root,), record=record))
    subprocess.run([sys.executable, "-c", MODEL], check=True, env=environment)
    assert (root / "whole").exists()
    cut(root, record, None)
    found = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
    assert found == {"old": "old", "there/moved": "moved", "lost": "lost", "removed": "removed"}
    assert (root / "old").stat().st_mode & 0o777 == 0o644
    assert before.keys() == inodes(root).keys()
