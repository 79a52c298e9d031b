"""The small site as on a real host: we are root, and the live directories belong to the service's own user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import yaml

from tests.runs.small_site import SmallSite, make

USER = 54321
"""The service's user and group: a number without a name, as nothing needs one."""


@dataclass
class OwnedSite(SmallSite):
    """A site whose live directories the service's user owns, below directories of root's."""

    deep: bool = False
    """Whether the queue lies one directory further down, so that its user can rename even its parent."""

    @property
    def queue(self) -> Path:
        """The live database."""
        home = self.live / "var/lib/pacs_bridge"
        return home / "db/queue.db" if self.deep else home / "queue.db"

    @property
    def service_trees(self) -> tuple[Path, Path]:
        """What belongs to the service's user."""
        return self.config, self.live / "var/lib/pacs_bridge"

    def reset(self, *, running: bool = True) -> None:
        """As new, with the owners and modes of a real host."""
        super().reset(running=running)
        for path in (self.live, *(p for p in self.live.rglob("*") if p.is_dir())):
            path.chmod(0o755)
        if self.deep:
            self.queue.parent.mkdir()
            (self.live / "var/lib/pacs_bridge/queue.db").rename(self.queue)
        for top in self.service_trees:
            for path in (top, *top.rglob("*")):
                os.chown(path, USER, USER, follow_symlinks=False)


@contextmanager
def owned_site(*, deep: bool = False, within: Path | None = None, **settings: object) -> Iterator[OwnedSite]:
    """Build one that its user can reach (pytest's own directories are closed), and remove it afterwards."""
    home = Path(mkdtemp(prefix="pacs-recover-owned-", dir=within)).resolve()
    home.chmod(0o755)
    try:
        built = make(home / "site")
        built.root.chmod(0o755)
        text = yaml.safe_load(built.demo.site_file.read_text())
        text |= {"owner": str(USER), "group": str(USER), "soak": "0.01s", **settings}
        site = OwnedSite(built.demo, built.pristine, deep)
        text["live"]["queue"] = str(site.queue)
        built.demo.site_file.write_text(yaml.safe_dump(text))
        site.reset()
        yield site
    finally:
        shutil.rmtree(home, ignore_errors=True)


def as_user(work: Callable[[], None]) -> None:
    """Do what the service's user may do, in a process of its own; what it may not do does not happen."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            with suppress(OSError):
                work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def can_read(path: Path) -> bool:
    """Whether the service's user can open a file."""
    read, write = os.pipe()

    def attempt() -> None:
        path.read_bytes()
        os.write(write, b"!")

    as_user(attempt)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        return bool(answer.read())
