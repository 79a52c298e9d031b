"""The audit: what is written, and that no edit, insertion, deletion, reordering or removal stays hidden."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pacs_recover.audit import Audit, checking, log, record, syslog
from pacs_recover.audit.checking import Anchors, Verified
from pacs_recover.audit.syslog import Anchor
from pacs_recover.errors import BadBackup, SourceError


class Log:
    """A system log: a socket of its own, and the lines that came."""

    def __init__(self, path: Path, kind: socket.SocketKind = socket.SOCK_DGRAM) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, kind)
        self.socket.bind(str(path))
        self._heard: list[str] = []
        if kind == socket.SOCK_DGRAM:  # the kernel keeps ten that nobody has read
            threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        with suppress(OSError):
            while (data := self.socket.recv(65536)) != b"end":
                self._heard.append(data.decode())

    def lines(self) -> list[str]:
        """Everything since the last call; what was sent before is heard."""
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as one:
            mark = f"mark {time.monotonic_ns()}"
            one.sendto(mark.encode(), str(self.path))
        while mark not in self._heard:
            time.sleep(0.005)
        found, self._heard = self._heard, []
        return [line for line in found if not line.startswith("mark ")]

    def close(self) -> None:
        """Stop hearing."""
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as one, suppress(OSError):
            one.sendto(b"end", str(self.path))
        self.socket.close()


@pytest.fixture
def syslogd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """A log that listens where this process's audit sends to."""
    heard = Log(tmp_path / "log")
    monkeypatch.setenv(syslog.VARIABLE, str(heard.path))
    with closing(heard):
        yield heard


@pytest.fixture
def audit(tmp_path: Path, syslogd: Log, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """One with seven records in three files."""
    monkeypatch.setattr(log, "MOST", 700)
    made = Audit(tmp_path / "state" / "audit")
    for number in range(7):
        made.note("preview", f"queue/{number}", "ok", "radiology")
    assert len(log.segments(made.home)) >= 3
    return made


def verified(audit: Audit, anchors: list[Anchor] | None = None) -> Verified:
    """Checked against these anchors."""
    return checking.verify(audit.home, [Anchors("log", "", tuple(anchors or ()))])


def anchors_of(syslogd: Log) -> list[Anchor]:
    """What the log heard."""
    return list(syslog.anchors_in(syslogd.lines()))


def test_a_record_says_who_what_when_where_and_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syslogd: Log
) -> None:
    for name, value in {
        "SUDO_USER": "anna",
        "SUDO_UID": "1000",
        "SSH_CONNECTION": "10.0.0.9 4711 10.0.0.1 22",
        record.TICKET: "INC-42",
    }.items():
        monkeypatch.setenv(name, value)
    before = datetime.now(UTC) - timedelta(seconds=1)
    audit = Audit(tmp_path / "audit")
    audit.note("extract", "queue/x\x1b[31m@local", "done", "radiology")
    (said,) = checking.records(audit.home)
    assert (said.n, said.previous, said.what, said.outcome, said.site) == (0, "", "extract", "done", "radiology")
    assert said.object == "queue/x\\x1b[31m@local"
    assert before < said.at <= datetime.now(UTC)
    assert (said.host, said.pid, said.ticket) == (socket.gethostname(), os.getpid(), "INC-42")
    assert said.who.uid == os.getuid()
    assert (said.who.claimed.sudo, said.who.claimed.ssh) == ("anna (1000)", "10.0.0.9 4711")
    (sent,) = syslogd.lines()
    assert sent.startswith(f"<85>pacs-recover[{os.getpid()}]: audit 0 ")
    assert syslog.anchor_in(sent) == audit.newest


def test_it_is_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Audit(tmp_path / "state" / "audit").note("plan", "x", "began")
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").rglob("*")}
    assert modes == {"audit": 0o700, ".lock": 0o600, "000000000000.jsonl": 0o600}


def test_what_begins_is_recorded_before_and_after_however_it_ends(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit")
    with audit.noting("preview", "a") as entry:
        assert [said.outcome for said in checking.records(audit.home)] == ["began"]
        entry.outcome = "warn"
    with pytest.raises(BadBackup), audit.noting("preview", "b"):
        raise BadBackup("it is damaged", "")
    with pytest.raises(KeyError), audit.noting("preview", "c"):
        raise KeyError("a name of a patient")
    told = [said.outcome for said in checking.records(audit.home)]
    assert told == ["began", "warn", "began", "failed: it is damaged", "began", "failed: KeyError"]


def test_untouched_and_anchored_to_its_last_record_it_is_verified(audit: Audit, syslogd: Log) -> None:
    found = verified(audit, anchors_of(syslogd))
    assert (found.state, found.records, found.proven_to) == ("verified", 7, 6)


def test_without_an_anchor_the_tail_is_told_to_be_unproven(audit: Audit, syslogd: Log) -> None:
    assert verified(audit).state == "unproven"
    assert "UNPROVEN" in verified(audit).sentence
    found = verified(audit, anchors_of(syslogd)[:5])
    assert (found.state, found.proven_to) == ("unproven", 4)
    assert "the last 2" in found.sentence


def all_lines(audit: Audit) -> list[bytes]:
    return [line for path in log.segments(audit.home) for line in path.read_bytes().splitlines(keepends=True)]


def rewrite(audit: Audit, lines: list[bytes]) -> None:
    """All in the first file."""
    first, *others = log.segments(audit.home)
    for path in others:
        path.unlink()
    first.write_bytes(b"".join(lines))


def edit(audit: Audit) -> None:
    lines = all_lines(audit)
    lines[3] = lines[3].replace(b'"ok"', b'"no"')
    rewrite(audit, lines)


def insert(audit: Audit) -> None:
    lines = all_lines(audit)
    rewrite(audit, [*lines[:3], lines[2], *lines[3:]])


def delete(audit: Audit) -> None:
    lines = all_lines(audit)
    rewrite(audit, [*lines[:3], *lines[4:]])


def delete_the_first(audit: Audit) -> None:
    rewrite(audit, all_lines(audit)[1:])


def swap(audit: Audit) -> None:
    lines = all_lines(audit)
    rewrite(audit, [*lines[:2], lines[3], lines[2], *lines[4:]])


def remove_the_first_file(audit: Audit) -> None:
    log.segments(audit.home)[0].unlink()


def remove_a_file(audit: Audit) -> None:
    log.segments(audit.home)[1].unlink()


def garbage(audit: Audit) -> None:
    lines = all_lines(audit)
    rewrite(audit, [*lines[:3], b"garbage\n", *lines[4:]])


TAMPERED: dict[str, tuple[Callable[[Audit], None], str]] = {
    "an edit": (edit, "edited"),
    "an insertion": (insert, "order"),
    "a deletion": (delete, "removed"),
    "the first deleted": (delete_the_first, "removed"),
    "two swapped": (swap, "order"),
    "the first file removed": (remove_the_first_file, "removed"),
    "a file removed": (remove_a_file, "removed"),
    "garbage": (garbage, "unreadable"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_the_chain_alone_finds(audit: Audit, name: str) -> None:
    tamper, kind = TAMPERED[name]
    tamper(audit)
    found = verified(audit)
    assert found.state == "damaged"
    assert kind in {finding.kind for finding in found.findings}, found.findings
    audit.note("preview", "afterwards", "ok")
    assert verified(audit).state == "damaged", "writing on hides nothing"


def cut_the_tail(audit: Audit) -> None:
    rewrite(audit, all_lines(audit)[:-2])


def remove_the_last_file(audit: Audit) -> None:
    log.segments(audit.home)[-1].unlink()


def remove_everything(audit: Audit) -> None:
    for path in log.segments(audit.home):
        path.unlink()


def edit_the_last(audit: Audit) -> None:
    lines = all_lines(audit)
    rewrite(audit, [*lines[:-1], lines[-1].replace(b'"ok"', b'"no"')])


def forge_all(audit: Audit) -> None:
    """By somebody who knows how it is made: every hash fits."""
    remove_everything(audit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(syslog.VARIABLE, "/nonexistent")
        for number in range(7):
            audit.note("preview", f"queue/{number}", "forged", "radiology")


@pytest.mark.parametrize("tamper", [cut_the_tail, remove_the_last_file, remove_everything, edit_the_last, forge_all])
def test_only_an_anchor_finds(audit: Audit, syslogd: Log, tamper: Callable[[Audit], None]) -> None:
    anchors = anchors_of(syslogd)
    tamper(audit)
    assert verified(audit).state == "unproven"
    found = verified(audit, anchors)
    assert found.state == "damaged"
    kind = "edited" if tamper in (edit_the_last, forge_all) else "truncated"
    assert kind in {finding.kind for finding in found.findings}


def test_a_torn_line_is_taken_off_by_the_next_writer_who_says_so(audit: Audit, syslogd: Log) -> None:
    last = log.segments(audit.home)[-1]
    with last.open("ab") as file:
        file.write(b'{"n":7,"at"')
    assert verified(audit).state == "unproven"
    audit.note("preview", "next", "ok")
    found = verified(audit, anchors_of(syslogd))
    assert (found.state, found.records) == ("verified", 8)
    assert list(checking.records(audit.home))[-1].cut == 11


def test_many_writers_make_one_chain(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pacs_recover.audit import Audit; a = Audit(Path(sys.argv[1]));"
        "[a.note('preview', str(n), 'ok') for n in range(25)]; sys.exit(a.problem or 0)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "audit")]) for _ in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    found = verified(Audit(tmp_path / "audit"))
    assert (found.state, found.records, found.findings) == ("unproven", 100, ())


def test_what_cannot_be_kept_goes_to_the_system_s_log_and_is_told_once(tmp_path: Path, syslogd: Log) -> None:
    (tmp_path / "file").touch()
    told: list[str] = []
    audit = Audit(tmp_path / "file" / "audit", told.append)
    audit.note("preview", "queue/1", "began", "radiology")
    audit.note("preview", "queue/1", "ok", "radiology")
    assert len(told) == 1
    assert "NOT RECORDED" in told[0]
    assert "system's log has it" in told[0]
    sent = syslogd.lines()
    assert len(sent) == 2
    assert all("unrecorded {" in line and '"object":"queue/1"' in line and line.startswith("<84>") for line in sent)


def test_with_no_log_either_the_warning_says_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(syslog.VARIABLE, str(tmp_path / "nobody"))
    (tmp_path / "file").touch()
    audit = Audit(tmp_path / "file" / "audit")
    audit.note("preview", "queue/1", "ok")
    assert "NO LOG HAS IT" in audit.problem


def test_a_place_that_others_can_write_is_none_for_a_record(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit").chmod(0o777)
    audit = Audit(tmp_path / "audit")
    audit.note("preview", "queue/1", "ok")
    assert "others can write" in audit.problem


def test_a_log_that_speaks_only_in_streams_hears_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Log(tmp_path / "log", socket.SOCK_STREAM)
    heard.socket.listen()
    monkeypatch.setenv(syslog.VARIABLE, str(heard.path))
    with closing(heard.socket):
        assert syslog.send("audit")
        peer, _ = heard.socket.accept()
        with closing(peer):
            assert peer.recv(1000).endswith(b": audit\0")


def test_one_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / "audit").touch()
    with pytest.raises(SourceError, match="cannot be read"):
        list(checking.records(tmp_path / "audit"))


JOURNALD = """
umask 022
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/log && mkdir -p /run/systemd/journal /run/log/journal || exit 77
for place in /lib/systemd /usr/lib/systemd; do [ -x $place/systemd-journald ] && daemon=$place/systemd-journald; done
[ -n "$daemon" ] || exit 77
"$daemon" 2>/dev/null & pid=$!
for _ in $(seq 100); do [ -S /run/systemd/journal/dev-log ] && break; sleep 0.05; done
"$@"; code=$?
kill $pid
exit $code
"""
IN_IT = """
import os, sys, time
from pathlib import Path
from pacs_recover.audit import Audit, syslog
audit = Audit(Path(sys.argv[1]))
for number in range(5):
    audit.note("preview", str(number), "ok")
if not os.fork():
    os.setuid(65534)
    syslog.send(f"audit 99 {'a' * 64} host {audit.home}")
    os._exit(0)
os.wait()
end = time.monotonic() + 20
while not (syslog.in_journal(65534) and len(syslog.in_journal(os.getuid())) >= 5):
    assert time.monotonic() < end, syslog.in_journal(os.getuid())
    time.sleep(0.1)
found = syslog.in_journal(os.getuid())
assert found[-1] == audit.newest and [one.n for one in found] == list(range(5)), found
"""


@pytest.mark.needs("root", "unshare", "journalctl", reason="a real journal, in a mount namespace of its own")
def test_a_real_journal_takes_the_anchors_and_gives_back_only_our_own(tmp_path: Path) -> None:
    argv = ["unshare", "-m", "sh", "-c", JOURNALD, "sh", sys.executable, "-c", IN_IT, str(tmp_path / "audit")]
    environment = {**os.environ, syslog.VARIABLE: "/run/systemd/journal/dev-log"}
    done = subprocess.run(argv, env=environment, timeout=60, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("no journal can be run here")
    assert done.returncode == 0, done.stderr
