"""A real ext4 in an image, broken in the ways of real disks: full, turned read-only, unplugged, immutable, cut off."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.lab import Lab
from tests.runs.small_site import SmallSite

SIZE = 200 << 20
"""Bytes of the image: what a restore wants to have free, and some room."""


class Disk:
    """One image, mounted over a directory; ``reset`` makes it what it was when it was remembered."""

    def __init__(self, home: Path, place: Path) -> None:
        self.home, self.place, self.remembered = home, place, home / "golden.img"
        self.number, self.mounted = 0, False

    @property
    def image(self) -> Path:
        """The file that is the disk now."""
        return self.home / f"disk-{self.number}.img"

    def make(self) -> None:
        """A new filesystem."""
        self.image.write_bytes(b"")
        os.truncate(self.image, SIZE)
        run("mkfs.ext4", "-q", "-m", "0", self.image)

    def mount(self) -> None:
        """Mount it; as many hosts do, it turns read-only where it meets an error."""
        run("mount", "-o", "loop,errors=remount-ro", self.image, self.place)
        self.mounted = True

    def unmount(self) -> None:
        """Take it away, whatever state it is in."""
        if self.mounted:
            subprocess.run(["sync", "-f", self.place], check=False, capture_output=True)  # one that is gone cannot
            run("umount", self.place)
            self.mounted = False

    def mend(self) -> None:
        """As after a reboot: its own journal is replayed, and it is as good as new."""
        self._again(self.image)

    def reset(self) -> None:
        """As it was when it was remembered, inodes included."""
        self._again(self.remembered)

    def _again(self, source: Path) -> None:
        """Mount a copy: the very file may still be mounted in another mount namespace, which took it along."""
        self.unmount()
        before, self.number = self.image, self.number + 1
        copy(source, self.image)
        before.unlink(missing_ok=True)
        self.mount()

    @property
    def device(self) -> str:
        """The name of its loop device."""
        lines = Path("/proc/self/mounts").read_text().splitlines()
        return next(line.split()[0] for line in lines if line.split()[1] == str(self.place)).removeprefix("/dev/")


def copy(source: Path, destination: Path) -> None:
    """Copy an image, its holes as holes."""
    run("cp", "--sparse=always", source, destination)


def run(*argv: str | Path) -> None:
    """Run a program that must succeed."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def live_disk(lab: Lab, home: Path) -> Iterator[Disk]:
    """The live directories alone on a disk; a reset of the site resets it."""
    site = lab.site
    site.reset()
    disk, spare = Disk(home, site.live), home / "spare"
    disk.make()
    spare.mkdir()
    run("mount", "-o", "loop", disk.image, spare)
    run("cp", "-a", f"{site.live}/.", spare)
    run("sync", "-f", spare)
    run("umount", spare)
    copy(disk.image, disk.remembered)
    whole = site.reset
    site.reset = resetting(site, disk, whole)  # type: ignore[method-assign]
    try:
        yield disk
    finally:
        disk.unmount()
        del site.reset  # type: ignore[attr-defined]


def resetting(site: SmallSite, disk: Disk, whole: Callable[[], None]) -> Callable[[], None]:
    """A reset of a site whose live directories are a mounted disk."""

    def reset() -> None:
        disk.unmount()
        whole()
        disk.reset()

    return reset
