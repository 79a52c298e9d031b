"""Whether a process is really shut in: seen through /proc from outside, before its program runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pacs_recover.errors import RecoverError
from pacs_recover.text import count, safe

NAMESPACES = ("net", "mnt", "pid", "ipc")
LOOPBACK = "lo"


class NotIsolated(RecoverError):
    """The sandbox is not shut, so that nothing may be started in it."""


def must_be_isolated(pid: int, copies: Mapping[Path, Path], hidden: Iterable[Path]) -> str:
    """See that this process has a network of nothing but loopback, and copies where the live parts are. NotIsolated.

    ``copies`` are the sandbox's own files by the place where it must see them; ``hidden`` are the live files and
    directories that it must not see at all.
    """
    try:
        _must_have_its_own(pid)
        _must_have_no_network(pid)
        _must_see(Path(f"/proc/{pid}/root"), copies, hidden)
    except OSError as error:
        raise NotIsolated(
            f"the sandbox cannot be looked at from outside: {error.strerror}", "nothing was started in it"
        ) from error
    return f"its own network (loopback alone), processes and files; {count(len(copies), 'live path')} shown as copies"


def _must_have_its_own(pid: int) -> None:
    shared = [kind for kind in NAMESPACES if Path(f"/proc/{pid}/ns/{kind}").samefile(f"/proc/self/ns/{kind}")]
    if shared:
        raise NotIsolated(f"the sandbox shares its {', '.join(shared)} namespace with the host", "nothing was started")


def _must_have_no_network(pid: int) -> None:
    rows = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    others = [name for row in rows if (name := row.partition(":")[0].strip()) != LOOPBACK]
    if others:
        raise NotIsolated(f"the sandbox has a network: {safe(', '.join(others))}", "nothing was started")


def _must_see(root: Path, copies: Mapping[Path, Path], hidden: Iterable[Path]) -> None:
    for place, copy in copies.items():
        if not _within(root, place).samefile(copy):
            raise NotIsolated(f"the sandbox does not see its copy at {safe(place)}", "nothing was started")
    for live in hidden:
        if live.exists() and _is_there(_within(root, live), live):
            raise NotIsolated(f"the sandbox sees the live {safe(live)}", "nothing was started")


def _is_there(seen: Path, live: Path) -> bool:
    try:
        return seen.samefile(live)
    except FileNotFoundError:
        return False


def _within(root: Path, place: Path) -> Path:
    return root / place.relative_to("/")
