"""The console on real terminals: keys through tmux, bytes counted on a pty, links that go away."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from getpass import getuser
from pathlib import Path

import pytest

from pacs_recover.events import Answered, Handed
from pacs_recover.journal import read
from pacs_recover.state import JOURNAL
from tests.cli.shell import COMMAND, edited, risky
from tests.runs.small_site import SmallSite, outcome
from tests.screens.terminal import Terminal, command
from tests.sources.git_hosts import Ssh, ssh_server

UNTIL_SEEN = """
import sys
from pacs_recover.cli import main
from pacs_recover.screens.console import Console
Console._begin = lambda console, _: console.exit(0)
try:
    main([])
except SystemExit as end:
    print("LOADED", end.code, *{name.partition(".")[0] for name in sys.modules}, "END")
"""
"""Opens the console as without any word, and ends it once its first frame was drawn."""
DIES_THEN_WAITS = """
root="$(dirname "$0")"
if [ -e "$root/died" ]; then
    until [ -e "$root/go" ]; do sleep 0.05; done
else
    touch "$root/died"
    (sleep 0.5; rm -f "$root/running") >/dev/null 2>&1 &
fi
"""
"""A service that dies soon after its first start; its second, by the rollback, lasts until the test lets it go."""
IDLE, TICKING, FIRST = 0, 300, 12_000
"""Bytes in five idle seconds; bytes a second with a running clock; bytes of the first screen on a slow link."""


@pytest.fixture
def terminal() -> Iterator[list[Terminal]]:
    """Terminals that are closed whatever happens."""
    opened: list[Terminal] = []
    yield opened
    for one in opened:
        one.close()


def patient_site(small: SmallSite, soak: str, start_timeout: str = "2s") -> Path:
    """The same site with a longer soak or more time to start, so that a run lasts."""
    path = small.root / "patient.yaml"
    text = small.demo.site_file.read_text().replace("soak: 0.2s", f"soak: {soak}")
    path.write_text(text.replace("start_timeout: 2s", f"start_timeout: {start_timeout}"))
    path.chmod(0o600)
    return path


def restore(one: Terminal, name: str) -> None:
    """From the first screen to a run of the newest configuration."""
    one.wait_for("fresh")
    one.read(1.0)
    one.press("p")
    one.wait_for("recovery set")
    one.press("\r")
    one.wait_for("arm: LIVE")
    one.press("a")
    one.read(0.5)
    one.press(name + "\r")
    one.wait_for("stays up")


def ended(small: SmallSite, seconds: float = 40.0) -> str:
    """How the newest run ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        runs = small.state.runs()
        if runs and b'"kind":"ended"' in (runs[0] / JOURNAL).read_bytes():
            return outcome(runs[0]).outcome
        time.sleep(0.1)
    raise AssertionError("the run did not end")


def test_the_first_screen_is_small_on_a_slow_link_and_nothing_is_sent_while_idle(
    small: SmallSite, terminal: list[Terminal]
) -> None:
    terminal.append(one := Terminal(command(small.demo.site_file, small.state.path, slow=True)))
    one.wait_for("fresh")
    one.read(2.0)
    first = len(one.seen)
    one.press("c")
    one.wait_for("GOOD")
    one.read(2.0)
    idle = len(one.read(5.0))
    print(f"first screen {first} bytes, idle {idle} bytes in 5 s")
    assert first < FIRST
    assert idle == IDLE


def test_the_first_frame_is_drawn_before_anything_but_textual_is_loaded(terminal: list[Terminal]) -> None:
    terminal.append(one := Terminal([sys.executable, "-c", UNTIL_SEEN]))
    code, *loaded = one.wait_for("END").decode().rpartition("LOADED ")[2].split()
    assert b"COMPONENT NEWEST BACKUP" in one.seen
    assert code == "0"
    assert {"textual", "pacs_recover"} <= set(loaded)
    assert not {"click", "msgspec", "yaml", "cryptography", "sqlite3", "isal", "lz4", "boto3"} & set(loaded)


def test_a_running_clock_costs_less_than_300_bytes_a_second(small: SmallSite, terminal: list[Terminal]) -> None:
    site = patient_site(small, "9s")
    terminal.append(one := Terminal(command(site, small.state.path, slow=True)))
    restore(one, small.site.name)
    one.read(1.0)
    started = time.monotonic()
    got = b""
    while time.monotonic() - started < 5.0:
        got += one.read(5.0 - (time.monotonic() - started))
    print(f"clock {len(got) / 5} bytes a second")
    assert b"stay up" in got or len(got) > 100, "the clock did not tick"
    assert len(got) / 5 < TICKING
    assert ended(small) == "restored"


def test_a_terminal_that_goes_away_ends_the_console_and_never_the_run(
    small: SmallSite, terminal: list[Terminal]
) -> None:
    site = patient_site(small, "4s")
    terminal.append(one := Terminal(command(site, small.state.path, slow=True)))
    restore(one, small.site.name)
    one.hang_up()
    assert one.process.wait(15) == 129
    assert b"Traceback" not in one.seen
    assert ended(small) == "restored"
    terminal.append(again := Terminal(command(site, small.state.path, slow=True)))
    again.wait_for("RESTORED")


def test_a_killed_console_is_found_again_at_once_in_the_middle_of_its_run(
    small: SmallSite, terminal: list[Terminal]
) -> None:
    site = patient_site(small, "8s")
    terminal.append(one := Terminal(command(site, small.state.path, slow=True)))
    restore(one, small.site.name)
    one.process.kill()
    terminal.append(again := Terminal(command(site, small.state.path, slow=True)))
    again.wait_for("IS GOING ON: press a")
    again.press("a")
    again.wait_for("LIVE RESTORE")
    again.wait_for("RESTORED", 30)
    assert ended(small) == "restored"


SIXTEEN = [{"TERM": term} for term in ("linux", "xterm-16color", "screen")]


@pytest.mark.parametrize(
    "colours", [{}, {"NO_COLOR": "1"}, *SIXTEEN], ids=["full", "none", *(few["TERM"] for few in SIXTEEN)]
)
def test_no_colour_is_sent_where_none_is_wanted(
    small: SmallSite, terminal: list[Terminal], colours: dict[str, str]
) -> None:
    terminal.append(one := Terminal(command(small.demo.site_file, small.state.path, slow=False), colours))
    one.wait_for("fresh")
    one.read(1.0)
    coloured = b"\x1b[38;" in one.seen or b";38;" in one.seen or any(b"\x1b[%d" % n in one.seen for n in range(31, 37))
    assert coloured == ("NO_COLOR" not in colours)
    assert (b"38;2;" in one.seen or b"38;5;" in one.seen) == (colours == {})


def test_the_mouse_is_left_to_the_terminal(small: SmallSite, terminal: list[Terminal]) -> None:
    terminal.append(one := Terminal(command(small.demo.site_file, small.state.path, slow=True)))
    one.wait_for("fresh")
    assert b"?1000h" not in one.seen
    assert b"?1003h" not in one.seen


def test_a_dumb_terminal_is_refused_with_the_commands(small: SmallSite, terminal: list[Terminal]) -> None:
    terminal.append(one := Terminal(command(small.demo.site_file, small.state.path), {"TERM": "dumb"}))
    one.wait_for("cannot show the console")
    terminal.append(two := Terminal([*COMMAND, "--site", str(small.demo.site_file)], {"TERM": "dumb"}))
    two.wait_for("pacs-recover status, catalog, plan, restore")
    assert two.process.wait(10) == 5
    assert b"\x1b" not in two.seen


def over_ssh(server: Ssh, argv: list[str]) -> list[str]:
    """A program on a terminal at the other end of a link."""
    line = f"cd {shlex.quote(str(Path(__file__).parents[2]))} && TERM=xterm-256color {shlex.join(argv)}"
    return ["ssh", "-F", str(server.config), "-tt", "-p", str(server.port), f"{getuser()}@127.0.0.1", line]


class Tmux:
    """One tmux server with one pane."""

    def __init__(self, name: str, argv: list[str]) -> None:
        self.name = name
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("TMUX", "TEXTUAL_", "NO_COLOR"))}
        environment |= {"LANG": "C.UTF-8"} | {"COLUMNS": "80", "LINES": "24"}  # as some shells export the first size
        line = f"{shlex.join(argv)}; echo EXIT=$?; sleep 100"
        self.call("new-session", "-d", "-x", "80", "-y", "24", line, environment=environment)

    def call(self, *words: str, environment: dict[str, str] | None = None) -> str:
        """A tmux command."""
        argv = ["tmux", "-u", "-L", self.name, "-f", "/dev/null", *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True, env=environment, timeout=20).stdout

    def press(self, *keys: str) -> None:
        """Real keys."""
        self.call("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Another size of the window, and a moment to draw it."""
        self.call("resize-window", "-x", str(width), "-y", str(height))
        time.sleep(0.6)

    def wait_for(self, text: str, seconds: float = 30.0) -> str:
        """The screen with this text on it."""
        end = time.monotonic() + seconds
        while text not in (screen := self.call("capture-pane", "-p")):
            assert time.monotonic() < end, f"{text!r} never came:\n{screen}"
            time.sleep(0.1)
        return screen

    def kill(self) -> None:
        """End what the pane's shell runs, at once."""
        shell = self.call("list-panes", "-F", "#{pane_pid}").strip()
        (child,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        subprocess.run(["tmux", "-L", self.name, "kill-server"], check=False, capture_output=True)


def plan_from_catalog(one: Tmux) -> None:
    """From the first screen by catalog and preview to a plan of the newest configuration."""
    one.press("c")
    one.wait_for("newest first")
    one.press("/", "config", "Enter")
    one.wait_for("match config")
    one.wait_for("GOOD")
    one.press("Enter")
    one.wait_for("What restoring it would change")
    one.press("p")
    one.wait_for("choose the recovery set")
    one.press("Enter")
    one.wait_for("arm: LIVE RESTORE")


@pytest.fixture
def tmux(request: pytest.FixtureRequest) -> Iterator[list[Tmux]]:
    """tmux servers that are ended whatever happens."""
    opened: list[Tmux] = []
    yield opened
    for one in opened:
        one.close()


@pytest.mark.needs("sshd", "ssh", "tmux", reason="the console's link is dropped in the middle of a restore")
def test_over_ssh_a_killed_client_leaves_the_run_alone_and_the_next_login_finds_it_at_once_in_tmux(
    small: SmallSite, tmux: list[Tmux], tmp_path: Path
) -> None:
    argv = command(patient_site(small, "8s"), small.state.path)
    with ssh_server(tmp_path) as server:
        tmux.append(one := Tmux(f"pacs-ssh-{os.getpid()}", over_ssh(server, argv)))
        one.wait_for("✓ fresh")
        plan_from_catalog(one)
        assert "38;2;" not in one.call("capture-pane", "-p", "-e"), "on a remote terminal it is slow by itself"
        one.press("a")
        one.wait_for("type the site's name")
        one.press(small.site.name, "Enter")
        one.wait_for("it has to stay up")
        one.kill()
        one.wait_for("Killed")
        tmux.append(again := Tmux(f"pacs-ssh2-{os.getpid()}", over_ssh(server, argv)))
        again.wait_for("IS GOING ON: press a")
        again.press("a")
        again.wait_for("RESTORED in")
        again.press("Enter")
        again.wait_for("Start to answering")
    assert ended(small) == "restored"


@pytest.mark.needs("tmux", reason="the screens are driven in a real terminal of 80 columns and 24 rows")
def test_catalog_preview_plan_restore_report_and_a_rollback_in_tmux(small: SmallSite, tmux: list[Tmux]) -> None:
    tmux.append(one := Tmux(f"pacs-{os.getpid()}", command(small.demo.site_file, small.state.path, slow=True)))
    one.wait_for("✓ fresh")
    plan_from_catalog(one)
    one.press("a")
    one.wait_for("type the site's name")
    one.press(small.site.name, "Enter")
    one.wait_for("RESTORED in")
    one.press("Enter")
    one.wait_for("Start to answering")
    one.press("b")
    one.wait_for("nothing happens before it is armed")
    one.press("a")
    one.wait_for("type the site's name")
    one.press(small.site.name, "Enter")
    screen = one.wait_for("ROLLED BACK")
    one.press("q")
    one.wait_for("EXIT=0")
    assert "Traceback" not in screen


@pytest.mark.needs("tmux", reason="the screens are driven in a real terminal of 80 columns and 24 rows")
def test_the_window_is_resized_and_a_command_copied_by_hand_while_a_run_goes_on_in_tmux(
    small: SmallSite, tmux: list[Tmux]
) -> None:
    site = patient_site(small, "12s")
    tmux.append(one := Tmux(f"pacs-size-{os.getpid()}", command(site, small.state.path, slow=True)))
    one.call("set-option", "-s", "set-clipboard", "off")
    one.wait_for("✓ fresh")
    one.wait_for("queue and certs as of")
    before = one.wait_for("OVERDUE: there was no drill")
    for width, height in ((120, 40), (60, 20), (80, 24)):
        one.resize(width, height)
        one.wait_for("r reread" if width == 120 else "NOT ARMED")  # what only a screen of this width shows
        screen = one.wait_for("q quit")
        assert screen.count("drill: OVERDUE: there was no") <= 1, "nothing of the old rows stays"
        assert screen.count("COMPONENT NEWEST") == 1
    assert one.wait_for("Proven") == before
    one.press("p")
    one.wait_for("choose the recovery set")
    one.press("Enter")
    one.wait_for("arm: LIVE RESTORE")
    one.press("y")
    told = one.wait_for("$ pacs-recover --site")
    assert str(small.state.path) in "".join(told.split())
    one.press("a")
    one.wait_for("type the site's name")
    one.press(small.site.name, "Enter")
    one.wait_for("it has to stay up")
    for width, height in ((120, 40), (60, 20), (80, 24)):
        one.resize(width, height)
        one.wait_for("q quit")
        screen = one.wait_for("▸ running")
        assert "LIVE RESTORE" in screen
        assert screen.count("▸ running") == screen.count("it has to stay up") == 1
    one.press("q")
    one.wait_for("EXIT=0")
    assert ended(small) == "restored"


@pytest.mark.needs("tmux", reason="the screens are driven in a real terminal of 80 columns and 24 rows")
def test_a_failing_restore_is_watched_rolling_back_in_tmux(small: SmallSite, tmux: list[Tmux]) -> None:
    before = small.fingerprint()
    site = patient_site(small, "9s", start_timeout="60s")
    small.on_start(DIES_THEN_WAITS)
    tmux.append(one := Tmux(f"pacs-back-{os.getpid()}", command(site, small.state.path, slow=True)))
    one.wait_for("✓ fresh")
    one.press("p")
    one.wait_for("choose the recovery set")
    one.press("Enter")
    one.wait_for("arm: LIVE RESTORE")
    one.press("a")
    one.wait_for("type the site's name")
    one.press(small.site.name, "Enter")
    one.wait_for("▸ undoing    Stop bridge")
    screen = one.wait_for("Failed: PACS Bridge stays up")
    assert "ROLLING BACK" in screen
    assert "Rollback, newest change first" in screen
    assert screen.count("↶ undone     ") == 3
    assert "ROLLED BACK" not in screen
    assert small.fingerprint() == before, "the files are back while the service is still starting"
    (small.control / "go").touch()
    screen = one.wait_for("ROLLED BACK")
    assert "Failed: PACS Bridge" in screen
    one.press("q")
    one.wait_for("EXIT=0")
    assert ended(small) == "rolled_back"
    assert small.running()


@pytest.mark.needs("tmux", reason="the screens are driven in a real terminal of 80 columns and 24 rows")
def test_the_demo_is_restored_to_a_point_in_time_noted_on_and_handed_over_in_tmux(
    tmp_path: Path, tmux: list[Tmux]
) -> None:
    site = tmp_path / "demo"
    tmux.append(one := Tmux(f"pacs-points-{os.getpid()}", [*COMMAND, "--slow", "demo", str(site)]))
    one.wait_for("DEMO 1/5", 60)
    one.wait_for("i in time", 60)
    one.press("i")
    one.wait_for("DEMO, a point in time")
    one.press("Down", "Down", "Down")
    one.wait_for("LOST from the queue", 60)
    one.press("p")
    one.wait_for("[x] yes   queue")
    one.press("Enter")
    one.wait_for("arm: LIVE RESTORE")
    one.press("a")
    one.wait_for("type the site's name")
    one.press("demo-hospital", "Enter")
    one.wait_for("QUESTION")
    one.press("A")
    one.wait_for("RESTORED in", 60)
    one.press("n")
    one.wait_for("a note; enter adds it")
    one.press("-l", "radiology is informed")
    one.press("Enter")
    one.wait_for("Note by")
    one.press("Escape")
    one.wait_for("hand over")
    one.press("h")
    one.wait_for("State: RESTORED in")
    one.press("Escape")
    one.wait_for("enter report")
    one.press("Enter")
    one.wait_for("DEMO done")
    one.press("q")
    one.wait_for("EXIT=0")
    told = json.loads(
        (
            subprocess.run(
                [*COMMAND, "--site", str(site / "site.yaml"), "--state", str(site / "state"), "report", "--json"],
                capture_output=True,
                check=True,
                timeout=60,
            )
        ).stdout
    )
    assert told["outcome"] == "restored"
    assert [backup["source"] for backup in told["backups"]] == ["replica"]
    assert told["backups"][0]["reached"]
    assert [note["evidence"] for note in told["notes"]] == ["radiology is informed"]


@pytest.mark.needs("tmux", reason="the screens are driven in a real terminal of 80 columns and 24 rows")
def test_read_only_in_tmux(small: SmallSite, tmux: list[Tmux]) -> None:
    argv = command(small.demo.site_file, small.state.path, slow=True, read_only=True)
    tmux.append(one := Tmux(f"pacs-ro-{os.getpid()}", argv))
    one.wait_for("READ-ONLY")
    one.wait_for("✓ fresh")
    one.press("f")
    one.wait_for("choose the recovery set")
    one.press("Enter")
    screen = one.wait_for("this console cannot arm it")
    assert "arm: LIVE" not in screen
    one.press("a")
    time.sleep(0.5)
    assert "type the site's name" not in one.call("capture-pane", "-p")
    assert small.calls() == []


@pytest.mark.needs("tmux", reason="the screens are driven in a real terminal of 80 columns and 24 rows")
def test_a_second_operator_takes_the_question_over_in_tmux(small: SmallSite, tmux: list[Tmux]) -> None:
    risky(small)
    argv = command(edited(small, question_timeout="60s"), small.state.path, slow=True)
    tmux.append(anna := Tmux(f"pacs-anna-{os.getpid()}", ["env", "SUDO_USER=anna", *argv]))
    tmux.append(berta := Tmux(f"pacs-berta-{os.getpid()}", ["env", "SUDO_USER=berta", *argv]))
    berta.wait_for("✓ fresh")
    anna.wait_for("✓ fresh")
    anna.press("Down", "Down", "p")
    anna.wait_for("choose the recovery set")
    anna.press("Enter")
    anna.wait_for("arm: LIVE RESTORE")
    anna.press("a")
    anna.wait_for("type the site's name")
    anna.press(small.site.name, "Enter")
    anna.wait_for("Press A to ACCEPT")
    berta.press("r")
    berta.wait_for("of anna IS GOING ON: press a to watch it")
    berta.press("a")
    screen = berta.wait_for("anna answers this run's questions")
    assert "A ACCEPT" not in screen
    berta.press("A")
    berta.press("T")
    berta.wait_for("nothing happens before it is armed")
    berta.press("a")
    berta.wait_for("type the site's name")
    berta.press(small.site.name, "Enter")
    berta.wait_for("Press A to ACCEPT")
    screen = anna.wait_for("berta answers this run's questions")
    assert "A ACCEPT" not in screen
    berta.press("A")
    berta.wait_for("RESTORED in")
    anna.wait_for("RESTORED in")
    told = [event for event in read(small.state.runs()[0] / JOURNAL)[0] if isinstance(event, Answered | Handed)]
    assert [event.by for event in told] == ["berta", "berta"]
