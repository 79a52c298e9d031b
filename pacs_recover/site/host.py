"""What this host lacks for a site: facts, as a new host is a normal place for a restore."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pacs_recover.model import Fact
from pacs_recover.site.model import CommandConfig, ContainerConfig, GitConfig, Site
from pacs_recover.text import safe


def environment_facts(site: Site) -> tuple[Fact, ...]:
    """Accounts, programs, the key and the sources, each with the way to mend it; units are asked elsewhere."""
    return (*_accounts(site), *_programs(site), _key(site.key_file), *_sources(site))


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
