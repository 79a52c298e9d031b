"""What this host lacks for a site: facts, as a new host is a normal place for a restore."""

from __future__ import annotations

import grp
import hmac
import os
import pwd
import re
import shlex
import shutil
import stat
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from pacs_recover.errors import SourceError
from pacs_recover.formats import age
from pacs_recover.formats.openssl_enc import LONGEST_KEY_FILE
from pacs_recover.model import Fact
from pacs_recover.site.model import Site
from pacs_recover.site.services import CommandConfig, ContainerConfig
from pacs_recover.site.sources import GitConfig
from pacs_recover.text import safe

DAY = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b")
SEEN_WITHIN = 366
"""Days after which somebody should look whether a copy is still there."""


def environment_facts(site: Site) -> tuple[Fact, ...]:
    """Accounts, programs, the key and the sources, each with the way to mend it; units are asked elsewhere."""
    return (*_accounts(site), *_programs(site), _key(site.key_file), *_identity(site), *_sources(site))


def _accounts(site: Site) -> Iterator[Fact]:
    looks: dict[str, tuple[str, Callable[[str], object], str]] = {
        "owner": (site.owner, pwd.getpwnam, "useradd --system --user-group"),
        "group": (site.group, grp.getgrnam, "groupadd --system"),
    }
    for label, (name, look_up, command) in looks.items():
        try:
            look_up(name)
            yield Fact(label, name)
        except KeyError:
            yield Fact(label, f"{name} is not known here: {command} {shlex.quote(name)}", "warn")


def _programs(site: Site) -> Iterator[Fact]:
    wanted = {"validator": site.validator[0]} if site.validator else {}
    for service in site.services:
        match service:
            case ContainerConfig():
                wanted[f"service {service.name}"] = service.runtime
            case CommandConfig():
                wanted |= {
                    f"service {service.name}, {verb}": getattr(service, verb)[0]
                    for verb in ("start", "stop", "status")
                    if getattr(service, verb)
                }
            case _:
                pass
    for label, program in wanted.items():
        found = shutil.which(program)
        yield (
            Fact(safe(label), safe(found))
            if found
            else Fact(safe(label), f"{safe(program)} is no program here", "warn")
        )


def _key(path: Path) -> Fact:
    try:
        found = path.stat()
    except OSError as error:
        return Fact("key file", f"{safe(path)}: {error.strerror} (needed for encrypted backups)", "warn")
    if not stat.S_ISREG(found.st_mode) or not os.access(path, os.R_OK):
        return Fact("key file", f"{safe(path)} cannot be read (needed for encrypted backups)", "warn")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        return Fact("key file", f"{safe(path)} is open to others ({mode:04o}): chmod 600 {_quoted(path)}", "warn")
    return Fact("key file", safe(path))


def _identity(site: Site) -> Iterator[Fact]:
    """Whether the key file has what the site's encrypted backups are made with."""
    if site.backup.encrypt:
        try:
            age.identity_from(site.key_file)
        except SourceError as error:
            yield Fact("key of age", f"{error.message}: {error.hint}", "warn")


def key_facts(site: Site, needed: bool) -> tuple[Fact, ...]:
    """Whether the key outlives this host: a copy that only lies here is lost together with what it has to recover.

    Nothing where there is no key, unless encrypted backups need one.
    """
    if not needed and not os.path.lexists(site.key_file):
        return ()
    said = site.key_copy
    if not said:
        alone = f"the only known copy of the key {safe(site.key_file)} is on this host"
        return (Fact("key copy", f"{alone}: keep one elsewhere, and say where and since when: key_copy", "warn"),)
    return (_second(site.key_file, Path(said)) if said.startswith("/") else _stated(said),)


def _second(key: Path, copy: Path) -> Fact:
    """A copy that can be looked at: the same password, on a filesystem of its own."""
    try:
        apart = key.stat().st_dev != copy.stat().st_dev
        same = hmac.compare_digest(*map(_keys_in, (key, copy)))
    except OSError as error:
        return Fact("key copy", f"{safe(error.filename)}: {error.strerror}", "warn")
    if not same:
        return Fact("key copy", f"{safe(copy)} is not the key in {safe(key)}: copy it again", "warn")
    if not apart:
        return Fact("key copy", f"{safe(copy)} is on the key's own filesystem and is lost with it", "warn")
    return Fact("key copy", f"{safe(copy)}, on another filesystem")


def _keys_in(path: Path) -> bytes:
    """All that a key file opens backups with: the password of openssl, the identities of age. OSError."""
    with path.open("rb") as file:
        head = file.read(LONGEST_KEY_FILE)
    return b"\n".join([head.partition(b"\n")[0], *map(bytes.strip, age.IDENTITY.findall(head))])


def _stated(said: str) -> Fact:
    """A copy that somebody says there is, and when it was last seen there."""
    days = [date.fromisoformat(text) for text in DAY.findall(said) if _is_day(text)]
    if not days:
        return Fact("key copy", f"{safe(said)}: say when it was last seen there (YYYY-MM-DD)", "warn")
    old = (date.today() - max(days)).days
    if old > SEEN_WITHIN:
        return Fact("key copy", f"{safe(said)}: {old} days ago; look again, then write the day", "warn")
    return Fact("key copy", f"{safe(said)} (as the site file says)")


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _sources(site: Site) -> Iterator[Fact]:
    for index, path in site.directories.items():
        label, shown = f"source {site.sources[index].name}", safe(path)
        try:
            with os.scandir(path):
                yield Fact(label, shown)
        except OSError as error:
            yield Fact(label, f"{shown}: {error.strerror}", "warn")
        if site.key_file.is_relative_to(path):
            yield Fact(label, f"holds the key file too: who takes the backups takes the key ({shown})", "warn")
    for source in site.sources:
        if isinstance(source, GitConfig) and not shutil.which("git"):
            yield Fact(f"source {source.name}", "git is no program here: it reads the history", "warn")


def _quoted(path: Path) -> str:
    return shlex.quote(safe(path))
