"""A site to break, the workers that restore it, and what must hold whatever broke."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from pacs_recover import front, looks
from pacs_recover.errors import Refused
from pacs_recover.events import AnyEvent, Began, Effect, Ended, Failed, Passed, Planned, Resumed
from pacs_recover.journal import read
from pacs_recover.plan import Plan
from pacs_recover.runs import last_end
from pacs_recover.state import JOURNAL
from tests.faults.preload import HUNG, UNHARMED, WRITE, Injection, Worked, Workers, workers
from tests.runs.owned_site import owned_site
from tests.runs.small_site import SmallSite, make

PLANS: dict[str, tuple[str, ...]] = {
    "config": ("config",),
    "certs": ("certs",),
    "queue": ("queue",),
    "full": ("config", "certs", "queue"),
}
"""What is restored: each component alone, and all of them in one run."""
UNTOUCHED = (1, 2, 3, 5, 6, 130)
"""Exit codes that promise the site as it was (1 after a rollback)."""
ROOMY = 1 << 30
"""Bytes that a memory filesystem must have free to hold the sites."""
KILLED = -9


@dataclass(frozen=True)
class State:
    """Everything that lives, and whether the service runs."""

    files: dict[str, str]
    running: bool


@dataclass
class Lab:
    """One site, its workers, and the two states that a run of one plan may leave."""

    site: SmallSite
    workers: Workers
    row: str = ""
    """The row of the table that is tested."""
    broken: list[str] = field(default_factory=list)
    """The cases in which something did not hold."""
    tally: Counter[str] = field(default_factory=Counter)
    """How the cases ended."""
    step: str = ""
    """The step that was struck last."""
    later: Injection = UNHARMED
    """What workers are told that come after the fault: that the host was booted again."""
    _known: dict[tuple[str, ...], tuple[Plan, State, State, frozenset[str]]] = field(default_factory=dict)

    def begin(self) -> None:
        """Count from nothing."""
        self.row, self.step = "", ""
        self.tally.clear()
        self.broken.clear()

    @contextmanager
    def case(self, at: int | str) -> Iterator[None]:
        """One case, which another that breaks does not keep from being tried."""
        try:
            yield
        except AssertionError as error:
            self.broken.append(f"at {at}, step {self.step!r}: {error}")

    def choose(self, *components: str, fresh: bool = False) -> None:
        """Plan a restore, do it once undisturbed, and remember both states."""
        if fresh or components not in self._known:
            self.site.reset()
            plan = self.site.plan(*(self.site.demo.good[name] for name in components))
            old, contents = self.seen(), frozenset(self.contents())
            assert self.workers.work("restore", self.site.arm(plan)).code == 0
            self._known[components] = plan, old, self.seen(), contents
            self.site.reset()
        self.plan, self.old, self.new, self.originals = self._known[components]
        assert self.old.files != self.new.files

    def forget(self) -> None:
        """The site has changed: plans are made anew."""
        self._known.clear()

    def seen(self) -> State:
        """Every live file and directory: kind, mode, owner and content; the service as its status command has it."""
        paths = (path for path in sorted(self.site.live.rglob("*")) if is_live(path.relative_to(self.site.live)))
        return State({str(path): described(path) for path in paths}, self.site.running())

    def contents(self) -> Iterator[str]:
        """The hash of every file below the live directories, ours included."""
        for path in self.site.live.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield hashlib.sha256(path.read_bytes()).hexdigest()

    def reboot(self) -> None:
        """Let the workers to come see another boot id."""
        boot = self.workers.said.with_name("boot_id")
        boot.write_text("00000000-0000-4000-8000-000000000000\n")
        self.later = Injection(boot=boot)

    def restore(self, injection: Injection) -> tuple[Path, Worked]:
        """One restore of a fresh site under an injection."""
        self.site.reset()
        self.later = UNHARMED
        run = self.site.arm(self.plan)
        return run, self.workers.work("restore", run, injection)

    def points(self, injection: Injection, purpose: str = "restore", run: Path | None = None) -> list[tuple[int, str]]:
        """Every call that would be counted, with the step in which it comes; nothing is done to any."""
        trace = self.workers.said.with_name("trace")
        trace.unlink(missing_ok=True)
        quiet = Injection(kinds=injection.kinds | WRITE, roots=(self.site.root,), trace=trace)
        if run is None:
            run, _ = self.restore(quiet)
        else:
            self.workers.work(purpose, run, quiet)
        return list(numbered(trace, run, injection))

    # ---- what must hold ----

    def judge(self, run: Path, worked: Worked) -> str:
        """The site is what the exit code says, nothing is lost, the journal can be read; says how it stands."""
        assert worked.code != HUNG, "it hung"
        self.nothing_is_lost()
        events = self.told(run)
        self.step, ended = step_of(events), last_end(events)
        if ended is not None and worked.code >= 0:
            assert ended.exit_code == worked.code, (ended, worked)
        if worked.code == 0:
            assert self.seen() == self.new, self.difference(self.new)
            return "new"
        if worked.code in UNTOUCHED:
            assert self.seen() == self.old, self.difference(self.old)
            return "old"
        if worked.code == 4:
            assert ended is None or (ended.left and "rollback" in ended.left[-1]), ended
            return "by hand"
        assert worked.code == KILLED, worked
        return "cut" if ended is None else self.standing(ended.outcome)

    def standing(self, outcome: str) -> str:
        """The site is what this end of a run says."""
        wanted = self.new if outcome == "restored" else self.old
        assert self.seen() == wanted, self.difference(wanted)
        return "new" if outcome == "restored" else "old"

    def nothing_is_lost(self) -> None:
        """Whatever lived before the run still exists: live, aside, or withdrawn."""
        lost = self.originals - frozenset(self.contents())
        assert not lost, f"{len(lost)} files are gone"

    def told(self, run: Path) -> list[AnyEvent]:
        """The journal, which is whole but for a last line that nobody was told of; the report is made of it."""
        if not (run / JOURNAL).exists():
            return []
        events, damage = read(run / JOURNAL)
        assert damage == []
        report = looks.report_of(run)
        assert report.run in (run.name, ""), report
        assert report.total_seconds < 120, report
        for event in events:
            assert not isinstance(event, Failed) or event.evidence, event
        return events

    def roll_back(self, run: Path) -> str:
        """A rollback from a fresh process ends with the old state, and a second one changes nothing."""
        for _ in range(2):
            worked = self.workers.work("rollback", run, self.later)
            assert worked.code in (1, 130), (worked, self.last_words(run))
            assert self.seen() == self.old, self.difference(self.old)
            assert last_end(self.told(run)) is not None
        self.nothing_is_lost()
        self.nothing_is_left_over()
        return "old"

    def resume(self, run: Path) -> str:
        """A resume goes on to the new state; one that may not is refused, and the rollback is there."""
        events = self.told(run)
        worked = self.workers.work("resume", run, self.later)
        if any(isinstance(event, Failed | Resumed) for event in events):
            assert worked.code in (0, 5), worked
        else:
            assert worked.code == 0, (worked, self.last_words(run))
        if worked.code:
            return self.roll_back(run)
        assert self.seen() == self.new, self.difference(self.new)
        self.nothing_is_lost()
        self.nothing_is_left_over()
        return "new"

    def finish(self, run: Path, standing: str, way: str = "roll_back") -> str:
        """What an operator does next, however the run stands: it converges, and the site can be restored again."""
        events = self.told(run)
        if any(isinstance(event, Planned) for event in events):
            if last_end(events) is None or standing == "by hand":
                self.is_said(run, events)
                way = {"cut": way, "new": "resume"}.get(standing, "roll_back")
                standing = getattr(self, way)(run)
            elif standing == "old" and any(isinstance(event, Effect) for event in events):
                self.roll_back(run)
        elif standing == "cut":
            assert self.seen() == self.old, self.difference(self.old)
            standing = "old"
        front.refuse_busy(self.plan.request)
        return standing

    def is_said(self, run: Path, events: Sequence[AnyEvent]) -> None:
        """A run that is not over is shown as such, and where it changed anything it blocks others until it is."""
        if not events:
            return
        assert run in front.unfinished(self.site.state)
        if any(isinstance(event, Effect) for event in events):
            with pytest.raises(Refused, match=run.name) as refused:
                front.refuse_busy(self.plan.request)
            assert "rollback" in refused.value.hint

    def nothing_is_left_over(self) -> None:
        """No staged copy of messages or keys outlives the end of a run."""
        homes = (self.site.root / "state", self.site.live)
        left = [path for home in homes for path in home.rglob("staged")]
        assert left == [], left

    def difference(self, wanted: State) -> list[str]:
        """What differs from a state, for the message of a failing test."""
        now = self.seen()
        names = sorted(now.files.keys() | wanted.files.keys())
        files = [
            f"{name}: {wanted.files.get(name)} -> {now.files.get(name)}"
            for name in names
            if wanted.files.get(name) != now.files.get(name)
        ]
        return [*files, f"running: {wanted.running} -> {now.running}"]

    def last_words(self, run: Path) -> str:
        """What failed in a run, and the end of its worker's log, for the message of a failing test."""
        log = run / "worker.log"
        failed = [f"{event.title}: {event.evidence}" for event in self.told(run) if isinstance(event, Failed)]
        return "\n".join([*failed, log.read_text()[-2000:] if log.exists() else ""])


def described(path: Path) -> str:
    """Kind, mode, owner and content of one thing."""
    found = path.lstat()
    content = ""
    if path.is_symlink():
        content = os.readlink(path)
    elif path.is_file():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{found.st_mode:o} {found.st_uid}:{found.st_gid} {content}"


def is_live(name: Path) -> bool:
    """Whether a path below the live directories is the service's, not ours or its pid file."""
    return ".pacs_recover" not in name.parts and name.parts[0] not in ("run", "lost+found")


def step_of(events: Sequence[AnyEvent]) -> str:
    """The step that a journal ends in: the last that began and neither passed nor failed."""
    last = next((e for e in reversed(events) if isinstance(e, Began | Passed | Failed | Ended)), None)
    return last.title if isinstance(last, Began | Failed | Passed) else ""


def numbered(trace: Path, run: Path, injection: Injection) -> Iterator[tuple[int, str]]:
    """The counted calls of a trace with their steps: each line of the journal is one write to it."""
    events = iter(read(run / JOURNAL)[0])
    step, number, journal = "Begin", 0, str(run / JOURNAL)
    roots = [f"{root}/" for root in injection.roots]
    for line in trace.read_text().splitlines():
        kind, _, path = line.partition("\t")
        if int(kind) & injection.kinds and any(path.startswith(root) for root in roots):
            number += 1
            yield number, step
        if path == journal and int(kind) == WRITE:
            event = next(events)
            step = event.title if isinstance(event, Began) else step
            step = "The end" if isinstance(event, Ended) else step


def few(points: Sequence[tuple[int, str]], each: int) -> list[int]:
    """At most so many calls of each step, spread over it, the first and the last among them."""
    by_step: dict[str, list[int]] = {}
    for number, step in points:
        by_step.setdefault(step, []).append(number)
    return sorted({own[place] for own in by_step.values() for place in spread(len(own), each)})


def spread(length: int, wanted: int) -> set[int]:
    """Places evenly over a length."""
    if wanted == 1 or length == 1:
        return {length // 2}
    return {round(place * (length - 1) / (wanted - 1)) for place in range(wanted)}


@contextmanager
def laboratory(home: Path) -> Iterator[Lab]:
    """A lab in memory where there is room: a power cut is another matter, and has its own filesystem."""
    with workers(home) as served, site_in(memory()) as site:
        yield Lab(site, served)


@contextmanager
def site_in(within: Path | None, **settings: object) -> Iterator[SmallSite]:
    """A site with the owners of a real host where we may give them."""
    if os.geteuid() == 0:
        with owned_site(within=within, **settings) as owned:
            yield owned
        return
    home = Path(tempfile.mkdtemp(prefix="pacs-recover-faults-", dir=within)).resolve()
    try:
        site = make(home / "site")
        change(site, soak="0.01s", **settings)
        yield site
    finally:
        shutil.rmtree(home, ignore_errors=True)


def change(site: SmallSite, **settings: object) -> None:
    """Other settings in the site file."""
    text = yaml.safe_load(site.demo.site_file.read_text())
    site.demo.site_file.write_text(yaml.safe_dump(text | settings))


def memory() -> Path | None:
    """A memory filesystem that is large enough."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > ROOMY
    return shared if roomy else None
