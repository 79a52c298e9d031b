"""Whether what is restored agrees with itself and with what stays: files that are named are there, and used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pacs_recover.components import Look
from pacs_recover.components import certs as certificates
from pacs_recover.components import config as configuration
from pacs_recover.errors import RecoverError
from pacs_recover.formats import settings
from pacs_recover.formats.settings import Tree
from pacs_recover.model import Fact
from pacs_recover.site.services import ContainerConfig
from pacs_recover.target import trees
from pacs_recover.text import count, safe

NAMED = 5
"""How many files one finding names."""


def findings(look: Look) -> Iterator[Fact]:
    """What is wrong between the parts of a set (``look.restored``) and with what lives and stays beside them."""
    try:
        tree = _settings(look)
        if look.restored.keys() & {"config", "certs"}:
            yield from _tls(tree, look)
        if "certs" in look.restored:
            yield from _strangers(tree, look)
        if look.restored.keys() & {"config", "queue"}:
            yield from _database(tree, look)
    except (RecoverError, OSError) as error:  # what is restored was judged before: this is about what lives
        yield Fact("agreement", f"whether the set fits what lives is not known: {safe(error)}", "warn")


def _settings(look: Look) -> Tree:
    """The configuration that will be live, expanded. BadBackup, OSError."""
    home = look.restored["config"] / configuration.TREE if "config" in look.restored else look.live["config"]
    return settings.expand(settings.read(home / look.site.live.config_file), look.environment).tree


def _tls(tree: Tree, look: Look) -> Iterator[Fact]:
    """Every file that an enabled TLS section names, and where it will come from."""
    origins: dict[str, list[str]] = {}
    for section in settings.tls_pairs(tree):
        if not (section.cert_path and section.key_path):
            yield Fact(section.where, "names its files by variables that are not known here: not checked", "warn")
        for path in filter(None, section[1:]):
            places = dict(_places(path, look))
            origin = next((words for words, place in places.items() if _is_there(place)), None)
            if origin is None:
                yield Fact(section.where, f"{safe(path)} is missing: it is not {' nor '.join(places)}", "bad")
            elif path == section.key_path:
                origins.setdefault(origin, []).append(safe(Path(path).name))
    if "config" in look.restored and origins and not any(entry.endswith(".key") for entry in _names(look, "config")):
        kept = "; ".join(f"{', '.join(sorted(set(names)))} {origin}" for origin, names in origins.items())
        yield Fact("private keys", f"the configuration backup has none, as the guide's: {kept}")


def _places(path: str, look: Look) -> Iterator[tuple[str, Path]]:
    """Where a file that the configuration names can come from, in words, the first that has it."""
    certs, config = _inside(path, look, "certs"), _inside(path, look, "config")
    if certs and "certs" in look.restored:
        yield "in the certificate backup", look.restored["certs"] / certificates.TREE / certs
    elif certs and configuration.has_files(look.live["certs"]):
        yield "among the live certificates", look.live["certs"] / certs
    elif config and "config" in look.restored:
        yield "in the configuration backup", look.restored["config"] / configuration.TREE / config
    kept = path.endswith(".key") if "config" in look.restored else not certs  # keys are kept wherever they lie
    if config and kept:
        yield "in the live configuration", look.live["config"] / config
    if not certs and not config:
        yield "on this host", Path(path)


def _inside(path: str, look: Look, component: str) -> str:
    """The path inside a live directory, by its declared or its real name; empty where it lies elsewhere."""
    declared = look.live["config"] / path  # a relative one is looked for in the configuration
    for home in (getattr(look.site.live, component), look.live[component]):
        if declared.is_relative_to(home) and declared != Path(home):
            return str(declared.relative_to(home))
    return ""


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # not ours to look at: the run, as root, will see
        return True


def _names(look: Look, component: str) -> list[str]:
    home = look.restored[component]
    tree = home / (configuration.TREE if component == "config" else certificates.TREE)
    return [entry.name for entry in trees.entries(tree, hashed=False) if entry.kind == "file"]


def _strangers(tree: Tree, look: Look) -> Iterator[Fact]:
    """Certificates and keys that nobody would use: of another host, or of another time."""
    every = (section for _, section in settings.sections(tree, lambda key: key == "tls"))
    paths = {value for section in every for value in section.values() if isinstance(value, str)}
    used, names = {_inside(path, look, "certs") for path in paths}, _names(look, "certs")
    if names and not used & set(names):
        yield Fact("certificates", f"none of the {count(len(names), 'file')} in the backup is named by the "
                   "configuration: is it another host's?", "warn")  # fmt: skip
        return
    home = look.restored["certs"] / certificates.TREE
    strange = [name for name in names if name not in used and _is_key(home / name)]
    if strange:
        more = f" and {len(strange) - NAMED:,} more" if len(strange) > NAMED else ""
        named = ", ".join(map(safe, strange[:NAMED])) + more
        yield Fact("certificates", f"the configuration names no {named}, a private key in the backup", "warn")


def _is_key(path: Path) -> bool:
    return path.suffix == ".key" or (
        path.stat().st_size <= certificates.LARGEST and b"PRIVATE KEY" in path.read_bytes()
    )


def _database(tree: Tree, look: Look) -> Iterator[Fact]:
    """A queue that the configuration does not name would be restored for nobody."""
    named = settings.database_path(tree)
    if named is None or not named.startswith("/") or any(isinstance(s, ContainerConfig) for s in look.site.services):
        return  # inside a container paths are its own
    if os.path.realpath(named) not in map(os.path.realpath, (look.site.live.queue, look.live["queue"])):
        used = "the restored queue would not be used" if "queue" in look.restored else "it would use another queue"
        yield Fact(
            "queue.database_path",
            f"the configuration names {safe(named)} and the site file {safe(look.site.live.queue)}, so {used}: "
            "correct `live.queue` in the site file, or choose another configuration",
            "bad" if "queue" in look.restored else "warn",
        )
