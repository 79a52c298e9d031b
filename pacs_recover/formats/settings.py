"""The configuration file of PACS Bridge: read, its ``${VARIABLES}`` expanded as the service does it.

The rules here and in ``settings_rules`` are those of the service's own ``config_loader.cpp`` and ``bridge_config.cpp``:
values are expanded after the file is parsed, and numbers and booleans are read from text, whether quoted or not.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from pacs_recover.errors import BadBackup
from pacs_recover.formats.yaml_marks import BOOLEAN, DEPTH_LIMIT, SIZE_LIMIT, Document, Fault, scalar
from pacs_recover.text import safe

Tree = dict[str, Any]
"""A configuration: dicts, lists and scalars; keys are always text."""
DEFAULT_TTL = 24 * 3600.0
"""Seconds that a message may wait where the configuration does not say (``bridge_config.h``)."""
NEVER = 100 * 365 * 86400.0
"""Seconds that stand for "it never expires", as a ``message_ttl`` of 0 means."""
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
VARIABLE = re.compile(r"\$\{([^}]*)\}")
HINT = "choose another: pacs-recover catalog config"


class Plain(str):
    """A plain (unquoted) scalar with variables in it: after expansion it is a number where it looks like one."""

    __slots__ = ()


class _Unknown:
    """A value that depends on a variable that is not known here."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


def read(path: Path) -> Tree:
    """A configuration file; of a huge one no more than shows that it is. BadBackup; OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as stream:
        return load(stream.read(SIZE_LIMIT + 1) or b"", path.name)


def load(text: str | bytes, name: str) -> Tree:
    """The tree of a file: JSON where its name ends in ``.json``, else YAML. BadBackup names the line, never a value."""
    try:
        tree = _parse(_decoded(text), is_json=name.lower().endswith(".json"))
    except Fault as fault:
        raise BadBackup(f"{safe(name)}, line {fault.line}: {safe(fault.message)}", HINT) from None
    if tree is None:
        raise BadBackup(f"{safe(name)} is empty", HINT)
    if not isinstance(tree, dict):
        raise BadBackup(f"{safe(name)} holds no sections (its outermost value is no mapping)", HINT)
    return tree


def _decoded(text: str | bytes) -> str:
    if len(text) > SIZE_LIMIT:
        raise Fault(f"it is longer than {SIZE_LIMIT >> 20} MiB")
    try:
        return (text.decode() if isinstance(text, bytes) else text).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Fault("it is no UTF-8 text", line) from None


def _parse(text: str, *, is_json: bool) -> Any:
    if not is_json:
        return Document(text, lambda word: Plain(word) if "${" in word else scalar(word)).read()
    try:
        return _shallow(json.loads(text, parse_constant=_no_constant)) if text.strip() else None
    except json.JSONDecodeError as error:
        raise Fault(error.msg, error.lineno) from None
    except RecursionError:
        raise Fault(f"it is nested more than {DEPTH_LIMIT} levels deep") from None
    except ValueError:
        raise Fault("it holds a number that no JSON may have") from None


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _shallow(tree: Any, depth: int = 0) -> Any:
    if depth > DEPTH_LIMIT:
        raise Fault(f"it is nested more than {DEPTH_LIMIT} levels deep")
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        _shallow(item, depth + 1)
    return tree


class Variables(NamedTuple):
    """The variables that a configuration names, in its own order."""

    needed: tuple[str, ...]
    """Without a default: the service does not start where one is not set."""
    optional: tuple[str, ...]
    """With a default everywhere."""


def variables(tree: Tree) -> Variables:
    """Every variable that the values of a configuration name."""
    found = [_reference(match[1]) for _, text in _texts(tree) for match in VARIABLE.finditer(text)]
    needed = dict.fromkeys(name for name, default in found if default is None)
    optional = dict.fromkeys(name for name, default in found if default is not None and name not in needed)
    return Variables(tuple(needed), tuple(optional))


def _reference(inner: str) -> tuple[str, str | None]:
    name, colon, default = inner.partition(":-")
    return name, default if colon else None


def _texts(tree: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a tree with its path."""
    if isinstance(tree, str):
        yield where, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _texts(value, f"{where}.{key}" if where else key)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _texts(value, f"{where}[{index}]")


@dataclass(frozen=True)
class Expanded:
    """A configuration with its variables replaced."""

    tree: Tree
    """``UNKNOWN`` stands for each value that needs a variable that is missing or not known."""
    missing: tuple[str, ...] = ()
    """Needed variables that the known environment does not set."""
    unknown: tuple[str, ...] = ()
    """Needed variables of an environment that is not known."""
    defaults: tuple[str, ...] = ()
    """Variables whose default was taken."""
    broken: tuple[str, ...] = ()
    """Paths of values with a ``${`` that is not closed, which the service refuses."""


def expand(tree: Tree, environment: Mapping[str, str] | None) -> Expanded:
    """Replace the variables as the service does: one pass, a set but empty variable counts as set.

    Where the environment is None (it cannot be known) defaults are taken and needed variables stay unknown.
    """
    known = environment or {}
    absent = tuple(name for name in variables(tree).needed if name not in known)
    return Expanded(
        tree={key: _replaced(value, known) for key, value in tree.items()},
        missing=() if environment is None else absent,
        unknown=absent if environment is None else (),
        defaults=tuple(name for name in variables(tree).optional if name not in known),
        broken=tuple(where for where, text in _texts(tree) if "${" in VARIABLE.sub("", text)),
    )


def _replaced(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, known) for item in value]
    return _text(value, known) if isinstance(value, str) and "${" in value else value


def _text(value: str, known: Mapping[str, str]) -> Any:
    if any(_looked_up(inner, known) is None for inner in VARIABLE.findall(value)) or "${" in VARIABLE.sub("", value):
        return UNKNOWN
    text = VARIABLE.sub(lambda match: _looked_up(match[1], known) or "", value)
    return scalar(text) if isinstance(value, Plain) and text else text


def _looked_up(inner: str, known: Mapping[str, str]) -> str | None:
    name, default = _reference(inner)
    return known.get(name, default)


def is_on(value: Any) -> bool | None:
    """A boolean as the service reads it (true, yes, on, 1); None for anything else."""
    if isinstance(value, bool):
        return value
    return {**BOOLEAN, "1": True, "0": False}.get(str(value).lower())


class TlsSection(NamedTuple):
    """One enabled ``tls`` section; a path is None where it is not given or not known."""

    where: str
    """The section's path: ``hl7.listener.tls``."""
    cert_path: str | None
    key_path: str | None
    ca_path: str | None


def tls_pairs(tree: Tree) -> list[TlsSection]:
    """Every enabled ``tls`` section of an expanded tree, wherever it is."""
    return [
        TlsSection(where, *(_path(section.get(key)) for key in ("cert_path", "key_path", "ca_path")))
        for where, section in sections(tree, lambda key: key == "tls")
        if is_on(section.get("enabled")) and not (where.startswith("fhir.") and is_off(tree, "fhir"))
    ]


def sections(tree: Any, wanted: Callable[[str], bool], where: str = "") -> Iterator[tuple[str, Tree]]:
    """Every mapping whose key is wanted, with its path."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        path = f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}" if where else key
        if isinstance(key, str) and wanted(key) and isinstance(value, dict):
            yield path, value
        yield from sections(value, wanted, path)


def is_off(tree: Tree, section: str) -> bool:
    """Whether a section that has to be enabled is not."""
    found = tree.get(section)
    return not (isinstance(found, dict) and is_on(found.get("enabled")))


def _path(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def database_path(tree: Tree) -> str | None:
    """The queue's file as an expanded tree names it (``queue.database_path``); None where it is not known."""
    section = tree.get("queue")
    return _path(section.get("database_path")) if isinstance(section, dict) else None


def message_ttl(tree: Tree) -> float:
    """Seconds after which the service dead-letters a message (``queue.message_ttl``); its default where it has none.

    The tree need not be expanded: of a variable the default counts.
    """
    section = expand(tree, None).tree.get("queue")
    found = duration(section.get("message_ttl")) if isinstance(section, dict) else None
    return DEFAULT_TTL if found is None else min(found, NEVER) or NEVER


def duration(value: Any) -> float | None:
    """Seconds of a duration as the service reads it: digits and one unit (s, m, h, d), or a number; else None."""
    match = re.fullmatch(r"([0-9]{1,18})([smhd]?)", str(value).strip().lower())
    return float(match[1]) * UNITS[match[2]] if match and not isinstance(value, bool) else None
