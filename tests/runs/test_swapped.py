"""The service's user swaps what it owns at every step of a restore by root: nothing else is ever written or shown."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pacs_recover import worker
from pacs_recover.events import Effect, Ended
from pacs_recover.journal import Journal
from pacs_recover.plan import Plan
from pacs_recover.target import places, rooms, trees
from pacs_recover.target.host import Target
from tests.runs.owned_site import OwnedSite, as_user, owned_site
from tests.runs.small_site import events_of, outcome

pytestmark = [
    pytest.mark.needs("root", reason="a restore by root in directories that another user owns"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]
LIMIT = 500
"""More journal writes and renames than any run has: reaching it means that the attack always came."""
SECRET = b"only root may know this: 7f3c9a"
Attack = Callable[[], None]


class Victims:
    """What lies outside the live directories and must stay as it is."""

    def __init__(self, site: OwnedSite) -> None:
        self.home = site.root / "victims"
        self.directory = self.home / "directory"
        self.file = self.home / "file"
        self.secret = self.home / "secret"
        (self.directory / "queue").mkdir(parents=True)
        for name in ("queue.db", "server.key", "queue/queue.db", "queue/precious"):
            (self.directory / name).write_text("precious")
        self.file.write_text("precious")
        self.secret.write_bytes(SECRET)
        for path in (self.home, *self.home.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.secret.chmod(0o600)
        self.before = self.seen()

    def seen(self) -> dict[str, tuple[object, ...]]:
        """Every victim with its content, mode, owner and time."""
        return {str(path): self._of(path) for path in (self.home, *sorted(self.home.rglob("*")))}

    @staticmethod
    def _of(path: Path) -> tuple[object, ...]:
        found = path.lstat()
        return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, path.is_file() and path.read_bytes()


def swap(path: Path, make: Callable[[Path], object]) -> None:
    """Rename what is there out of the way and make something else, as often as asked."""
    if os.path.lexists(path):
        number = 1
        while os.path.lexists(mine := path.with_name(f"{path.name}.mine{number}")):
            number += 1
        path.rename(mine)
    make(path)


def write_own(path: Path) -> None:
    """A file of the user's own, which nobody verified."""
    path.write_text("not verified")


def links(site: OwnedSite, victims: Victims) -> Iterator[Attack]:
    """Database, certificates and a key that a restore carries over become links to what the user must not have."""
    yield lambda: swap(site.queue, lambda path: path.symlink_to(victims.file))
    yield lambda: swap(site.config / "certs", lambda path: path.symlink_to(victims.directory))
    yield lambda: swap(site.config / "extra.key", lambda path: path.symlink_to(victims.secret))


def own_files(site: OwnedSite, victims: Victims) -> Iterator[Attack]:
    """A database of the user's own, with sidecars that SQLite would replay or write to."""
    yield lambda: swap(site.queue, write_own)
    yield lambda: swap(Path(f"{site.queue}-wal"), write_own)
    yield lambda: swap(Path(f"{site.queue}-journal"), lambda path: path.symlink_to(victims.file))


def sidecar(site: OwnedSite, victims: Victims) -> Iterator[Attack]:
    """Only a -wal, which would be replayed over the verified file."""
    yield lambda: swap(Path(f"{site.queue}-wal"), write_own)


def parent_link(site: OwnedSite, victims: Victims) -> Iterator[Attack]:
    """The database's own directory becomes a link."""
    yield lambda: swap(site.queue.parent, lambda path: path.symlink_to(victims.directory))


def parent_directory(site: OwnedSite, victims: Victims) -> Iterator[Attack]:
    """The database's own directory becomes another, with another database in it."""
    yield lambda: swap(site.queue.parent, Path.mkdir)
    yield lambda: write_own(site.queue)


def room_link(site: OwnedSite, victims: Victims) -> Iterator[Attack]:
    """Our own directory becomes a link."""
    yield lambda: swap(site.queue.parent / rooms.NAME, lambda path: path.symlink_to(victims.directory))


def room_fake(site: OwnedSite, victims: Victims) -> Iterator[Attack]:
    """Our own directory becomes one that looks the same, with another file as the verified one."""

    def build(path: Path) -> None:
        for run in (site.root / "state/runs").iterdir():
            for inner in ("staged/queue/sealed", "aside/queue"):
                (path / run.name / inner).mkdir(parents=True)
            for name in ("staged/queue/sealed/queue.db", "staged/queue/queue.db"):
                write_own(path / run.name / name)

    (site.root / "state").chmod(0o755)  # its user may well know the run's name
    yield lambda: swap(site.queue.parent / rooms.NAME, build)


def room_staged_link(site: OwnedSite, victims: Victims) -> Iterator[Attack]:
    """Our own directory becomes one whose staging leads elsewhere: what is tidied up there would be removed."""

    def build(path: Path) -> None:
        for run in (site.root / "state/runs").iterdir():
            (path / run.name).mkdir(parents=True)
            for name in ("staged", "aside", "withdrawn"):
                (path / run.name / name).symlink_to(victims.directory)

    yield lambda: swap(site.queue.parent / rooms.NAME, build)


Attacks = Callable[[OwnedSite, Victims], Iterator[Attack]]


class Striking:
    """Counts journal writes and renames, before and after each, and attacks at one of them."""

    def __init__(self, at: int, attacks: list[Attack]) -> None:
        self.at, self.attacks, self.seen = at, attacks, 0

    def __call__(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._count()
            result = real(*args, **kwargs)
            self._count()
            return result

        return counted

    def _count(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            for attack in self.attacks:
                as_user(attack)


def restore_attacked(run: Path, at: int, attacks: list[Attack], content: str) -> dict[str, Any]:
    """Restore in a forked process while the user strikes at the nth point: how it ended, what the check let pass."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said: dict[str, Any] = {}
        try:
            striking = Striking(at, attacks)
            Journal._append = striking(Journal._append)  # type: ignore[method-assign]
            places.rename_free = striking(places.rename_free)
            Target.check_live = noting(Target.check_live, content, said)  # type: ignore[method-assign,assignment]
            said["code"] = worker.restore(run, lambda: False)
            said["struck"] = striking.seen >= at
        finally:
            os.write(write, json.dumps(said).encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        said = json.loads(answer.read())
    os.waitpid(child, 0)
    return said


def noting(real: Callable[[Target], str], content: str, said: dict[str, Any]) -> Callable[[Target], str]:
    """After the engine's own check passed: whether what is live is, byte for byte, what was verified."""

    def checked(target: Target) -> str:
        evidence = real(target)
        said["verified"] = [
            name for name, live in target.live.items() if (seal := target.sealed(name)) and not same(live, seal.sha256)
        ] == []
        if target.sealed("queue"):
            live = target.live["queue"]
            strays = [name for name in os.listdir(live.parent) if name.startswith("queue.db-")]
            said["verified"] &= hashlib.sha256(live.read_bytes()).hexdigest() == content and not strays
        return evidence

    return checked


def same(live: Path, sha256: str) -> bool:
    """Whether a live part is what was sealed."""
    return trees.digest(live)[0] == sha256


def content_of(site: OwnedSite, plan: Plan) -> str:
    """The SHA-256 of the database that an undisturbed restore puts in place."""
    code, _ = site.restore(plan)
    assert code == 0
    return hashlib.sha256(site.queue.read_bytes()).hexdigest()


def strike_everywhere(site: OwnedSite, ids: tuple[str, ...], attacks: Attacks, prepare: Callable[[], None]) -> None:
    """One restore for every journal write and rename, each attacked there."""
    victims = Victims(site)
    prepare()
    plan = site.plan(*(site.demo.good[name] for name in ids))
    content = content_of(site, plan)
    ends = set()
    for at in range(1, LIMIT):
        prepare()
        original = hashlib.sha256(site.queue.read_bytes()).hexdigest()
        run = site.arm(plan)
        said = restore_attacked(run, at, list(attacks(site, victims)), content)
        ends.add(judge(site, victims, run, said, at, original))
        if not said["struck"]:
            break
    else:
        pytest.fail("the run was never left alone")
    assert at > 40
    assert "restored" in ends
    assert len(ends) > 1, "no attack ever mattered"


def judge(site: OwnedSite, victims: Victims, run: Path, said: dict[str, Any], at: int, original: str) -> str:
    """Nothing outside changed or was copied, nothing is lost, and the report is true."""
    assert victims.seen() == victims.before, at
    assert "code" in said, at
    assert said.get("verified", True), at
    everything = [path for top in (site.live, site.root / "state") for path in top.rglob("*") if is_plain(path)]
    assert [path for path in everything if SECRET in path.read_bytes() and not path.samefile(victims.secret)] == [], at
    if not said["struck"]:
        assert said["code"] == 0, at
    assert original in {hashlib.sha256(path.read_bytes()).hexdigest() for path in everything}, at
    ended = outcome(run)
    assert says_what_happened(ended, events_of(run), site), (at, ended)
    assert ended.exit_code == said["code"], at
    return ended.outcome


def is_plain(path: Path) -> bool:
    """Whether it is a file itself."""
    return path.is_file() and not path.is_symlink()


def says_what_happened(ended: Ended, events: list[Any], site: OwnedSite) -> bool:
    """Whether the end fits what was done: changed nothing, everything, or a remainder that is named."""
    if ended.outcome == "failed_untouched":
        return not any(isinstance(event, Effect) for event in events) and site.running()
    if ended.outcome == "rollback_incomplete":
        return bool(ended.left) and not site.running()
    return ended.outcome in ("restored", "rolled_back") and site.running()


QUEUE, CONFIG = ("queue",), ("config",)


@pytest.mark.parametrize(
    ("attacks", "ids"),
    [(links, CONFIG), (links, ("certs",)), (links, QUEUE), (own_files, QUEUE), (sidecar, QUEUE)],
)
def test_whatever_the_services_user_swaps_leads_nowhere(attacks: Attacks, ids: tuple[str, ...]) -> None:
    with owned_site() as site:

        def prepare() -> None:
            site.reset()
            (site.config / "extra.key").write_text("extra")

        strike_everywhere(site, ids, attacks, prepare)


@pytest.mark.parametrize("attacks", [parent_link, parent_directory])
def test_a_parent_directory_that_its_user_swaps_leads_nowhere(attacks: Attacks) -> None:
    with owned_site(deep=True) as site:
        strike_everywhere(site, QUEUE, attacks, site.reset)


@contextmanager
def own_mount(site: OwnedSite) -> Iterator[Callable[[], None]]:
    """The queue alone on a filesystem whose top its user owns, so that we can only work inside it; gives a reset."""
    home = site.queue.parent
    mounted = False

    def unmount() -> None:
        nonlocal mounted
        if mounted:
            subprocess.run(["umount", home], check=True)
            mounted = False

    def prepare() -> None:
        nonlocal mounted
        unmount()
        site.reset()
        content = site.queue.read_bytes()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m,mode=0755", "tmpfs", home], check=True)
        mounted = True
        site.queue.write_bytes(content)
        for path in (home, site.queue):
            os.chown(path, 54321, 54321)

    try:
        yield prepare
    finally:
        unmount()


@pytest.mark.parametrize("attacks", [own_files, room_link, room_fake, room_staged_link])
@pytest.mark.needs("mount", "umount", reason="a filesystem of the queue's own")
def test_our_own_directory_inside_the_services_leads_nowhere_when_it_is_swapped(attacks: Attacks) -> None:
    with owned_site() as site, own_mount(site) as prepare:
        strike_everywhere(site, QUEUE, attacks, prepare)


def test_a_hard_link_to_somebody_elses_file_is_not_carried_over() -> None:
    with owned_site() as site:
        victims = Victims(site)
        (site.config / "extra.key").hardlink_to(victims.secret)  # as hosts without fs.protected_hardlinks let its user
        run = site.arm(site.plan(site.demo.good["config"]))
        assert worker.restore(run, lambda: False) == 1
        assert outcome(run).outcome == "failed_untouched"
        assert "hard link" in outcome(run).evidence
        assert victims.seen() == victims.before


def test_a_lock_file_that_its_user_made_is_neither_believed_nor_written_to() -> None:
    with owned_site(deep=True) as site:
        victims = Victims(site)
        planted = site.live / "var/lib/pacs_bridge" / rooms.NAME
        as_user(planted.mkdir)
        assert site.restore(site.plan(site.demo.good["queue"]))[0] == 0
        real = next((site.live / "var/lib" / rooms.NAME).glob("queue.db-*.lock"))
        (planted / real.name).hardlink_to(victims.file)  # as hosts without fs.protected_hardlinks let its user
        assert site.restore(site.plan(site.demo.good["queue"]))[0] == 0
        assert victims.seen() == victims.before


def test_a_live_configuration_that_is_a_pipe_or_endless_does_not_hang_a_plan() -> None:
    with owned_site() as site:
        for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
            site.reset()
            as_user(lambda make=make: swap(site.config / "config.yaml", make))  # type: ignore[misc]
            assert site.restore(site.plan(site.demo.good["config"]))[0] == 0
            assert is_plain(site.config / "config.yaml")
