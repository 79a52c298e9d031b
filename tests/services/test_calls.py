"""Running programs: bounded, and never held up by what they leave behind."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from pacs_recover.services.calls import LONGEST, NoAnswer, TooLate, call
from tests.services.conftest import wait_until


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_code_output_and_errors_are_returned() -> None:
    answer = call(python("import sys; print('out'); print('\\nwhy\\x1b', file=sys.stderr); sys.exit(3)"), 20)
    assert (answer.code, answer.output) == (3, "out\n")
    assert answer.complaint == "why\\x1b"


def test_without_a_word_the_complaint_is_the_exit_code() -> None:
    assert call(python("import sys; sys.exit(7)"), 20).complaint == "exit 7"


@pytest.mark.parametrize("quiet", [True, False])
def test_a_daemon_that_keeps_our_output_open_does_not_hold_us_up(quiet: bool, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import os, time\n"
        "if os.fork(): os._exit(0)\n"
        f"open({str(note)!r}, 'w').write(str(os.getpid()) + '.')\n"
        "time.sleep(1000)"
    )
    began = time.monotonic()
    assert call(python(code), 30, quiet=quiet).code == 0
    assert time.monotonic() - began < 20
    wait_until(lambda: note.is_file() and note.read_text().endswith("."))
    os.kill(int(note.read_text()[:-1]), 9)


def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        f"import os, time, signal; signal.signal(15, signal.SIG_IGN); child = os.fork()\n"
        f"if not child: open({str(note)!r}, 'w').write(str(os.getpid()) + '.')\n"
        "time.sleep(1000)"
    )
    began = time.monotonic()
    with pytest.raises(TooLate, match=r"did not end within 2\.0 s"):
        call(python(code), 2)
    assert time.monotonic() - began < 15
    child = int(note.read_text().rstrip("."))
    wait_until(lambda: _has_ended(child))


def _has_ended(pid: int) -> bool:
    try:
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


@pytest.mark.parametrize("program", ["/no/such/program", "/etc", "no-such-program-anywhere"])
def test_a_program_that_cannot_be_run_is_named(program: str) -> None:
    with pytest.raises(NoAnswer, match=rf"^{program} cannot be run: ") as caught:
        call([program], 5)
    assert not isinstance(caught.value, TooLate)


def test_only_a_bounded_part_of_the_output_is_read() -> None:
    answer = call(python(f"print('x' * {3 * LONGEST})"), 20)
    assert len(answer.output) == LONGEST


def test_a_program_gets_no_input_a_session_of_its_own_no_descriptors_and_an_ordinary_umask() -> None:
    with open(os.devnull) as inherited:
        os.set_inheritable(inherited.fileno(), True)
        code = (
            "import os, sys; fds = [n for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)]\n"
            "print(repr(sys.stdin.read()), os.getsid(0) == os.getpid(), len(fds), oct(os.umask(0)), os.getcwd())"
        )
        assert call(python(code), 20).output == "'' True 3 0o22 /\n"
