"""Read-only kept by the kernel: a process that can write nowhere but where its own records and scratch files are.

Landlock (landlock(7)) forbids creating, writing, truncating, renaming and removing outside of the places that were
named, to this process and all that it starts. It does not cover modes, owners and times, nor what another process is
asked for over a socket: there the engine's own refusal is all there is.
"""

from __future__ import annotations

import ctypes
import os
import struct
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pacs_recover.model import Fact
from pacs_recover.state import State, default_place

CREATE, ADD, RESTRICT = 444, 445, 446
"""The system calls, the same on every architecture (include/uapi/asm-generic/unistd.h)."""
VERSION = 1
"""Flag that asks for the kernel's version of the interface."""
PATH_BENEATH = 1
NO_NEW_PRIVILEGES = 38
"""prctl(2): what a process has to give up first."""
WRITING = sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12))
"""write_file, remove_dir, remove_file, make_char … make_sym (include/uapi/linux/landlock.h)."""
SINCE = {2: 1 << 13, 3: 1 << 14}
"""Rights that later versions added: to rename or link across directories, to truncate."""
ON_A_FILE = (1 << 1) | SINCE[3]
DEVICES = ("/dev/null", "/dev/tty", "/dev/pts", "/dev/ptmx")
"""What any program writes to without changing anything."""

_libc = ctypes.CDLL(None, use_errno=True)
_kept: list[str] = []
"""What ``enforce`` came to in this process; empty where it was not asked."""


def enforce(state_option: Path | None) -> None:
    """From now on this process and its children write only in the state directory and the temporary one.

    Where the kernel cannot hold it to that, ``facts`` says so and it goes on: every verb that changes something asks.
    """
    state = State(state_option or default_place())
    with suppress(OSError):
        state.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    places = [state.path, Path(tempfile.gettempdir()), *map(Path, DEVICES)]
    try:
        version = _restrict(place for place in places if place.exists())
    except OSError as error:
        _kept[:] = [f"kept by this program alone, not by the kernel: {error.strerror}"]
    else:
        _kept[:] = [f"kept by the kernel too (Landlock {version}): only {places[0]} and {places[1]} can be written"]


def facts() -> tuple[Fact, ...]:
    """How read-only is kept, where it was asked for."""
    return tuple(Fact("read-only", said, "ok" if said.startswith("kept by the kernel") else "warn") for said in _kept)


def _restrict(places: Iterable[Path]) -> int:
    """Confine the process to these places; the version of the kernel's interface. OSError where there is none."""
    version = _call(CREATE, None, 0, VERSION)
    rights = WRITING | sum(right for since, right in SINCE.items() if version >= since)
    attributes = struct.pack("=Q", rights)
    ruleset = _call(CREATE, attributes, len(attributes), 0)
    try:
        for place in places:
            _allow(ruleset, place, rights if place.is_dir() else rights & ON_A_FILE)
        if _libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "the kernel does not take no_new_privs")
        _call(RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, place: Path, rights: int) -> None:
    fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
    try:
        _call(ADD, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"no Landlock here ({os.strerror(code)})")
    return result
