"""From the text of a site file to a site: every problem at once, each with its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from pacs_recover.formats.yaml_marks import Document, Fault, Where
from pacs_recover.site.durations import duration
from pacs_recover.site.model import OBJECTIVES, Objective, Site
from pacs_recover.site.rules import broken_rules
from pacs_recover.site.section import Seconds
from pacs_recover.text import safe

MOST = 50
"""Problems that are told; a file with more is no site file."""
EMPTY = "give it a value, or leave the key out for its default"
BAD: Final = object()
"""Stands for a value with a problem."""


class Problem(Struct, frozen=True):
    """One thing that is wrong with a site file."""

    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" + (f" ({self.hint})" if self.hint else "")


def check(text: str) -> tuple[Site, list[Problem]]:
    """The site of a text, and all that is wrong with it; where anything is, the site is only what could be read."""
    document = Document(text)
    try:
        tree = document.read()
    except Fault as fault:
        return Site(), [Problem(fault.line, safe(fault.message))]
    if tree is None:
        return Site(), [
            Problem(1, "the site file says nothing", "do without it, or write at least its name: pacs_bridge")
        ]
    reading = Reading(document)
    site = reading.site(tree)
    return site, sorted(reading.problems, key=lambda problem: problem.line)[:MOST]


class Reading:
    """Fills structs from a document, noting problems instead of stopping at the first."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self._bad: set[Where] = set()
        self._kept: dict[Where, list[int]] = {}
        """Of lists, the indexes of the items that could be read."""

    def site(self, tree: Any) -> Site:
        """The site, with the default wherever there is a problem."""
        for where in self.document.repeated:
            self.note(where, "stands twice", "keep one of them")
        found = self.struct(Site, tree, ())
        site = found if isinstance(found, Site) else Site()
        for where, message, hint in broken_rules(site):
            self.note(self._in_file(where), message, hint)
        return site

    def note(self, where: Where, message: str, hint: str = "") -> Any:
        """Keep a problem, unless its value has one already; stands for the value."""
        if where not in self._bad:
            self._bad.add(where)
            self.problems.append(Problem(self.document.line(where), f"{_dotted(where)} {message}", hint))
        return BAD

    def _in_file(self, where: Where) -> Where:
        """Where a value of the site stands in the file, whose unreadable items the site leaves out."""
        kept, index = self._kept.get(where[:1]), where[1] if len(where) > 1 else None
        return (where[0], kept[index], *where[2:]) if kept and isinstance(index, int) else where

    def value(self, hint: Any, value: Any, where: Where, default: Any = None) -> Any:
        """A value as its type hint wants it; a section takes what it leaves out from its default."""
        options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        wanted = [option for option in options if option is not NoneType]
        if value is None and NoneType in options:
            return None
        if value is None:
            return self.note(where, "is empty", EMPTY)
        if any(isinstance(option, type) and issubclass(option, Struct) for option in wanted):
            kind = self._kind(wanted, value, where)
            return self.struct(kind, value, where, default if type(default) is kind else None)
        if get_origin(wanted[0]) is tuple:
            return self.items(get_args(wanted[0])[0], value, where)
        if get_origin(wanted[0]) is dict:
            return self.table(get_args(wanted[0])[1], value, where)
        return self.leaf(wanted[0], value, where)

    def _kind(self, wanted: list[type[Struct]], value: Any, where: Where) -> Any:
        """The struct that the value's ``kind`` names; of an untagged one itself."""
        if wanted[0].__struct_config__.tag_field is None or not isinstance(value, dict):
            return wanted[0]
        kinds = {str(option.__struct_config__.tag): option for option in wanted}
        named = value.get("kind")
        if isinstance(named, str) and named in kinds:
            return kinds[named]
        said = "is missing" if named is None else f"{safe(named, 60)} is unknown"
        return self.note((*where, "kind"), said, _meant(str(named), kinds))

    def struct(self, kind: Any, value: Any, where: Where, base: Struct | None = None) -> Any:
        """A section; with ``base`` what the file does not say comes from there."""
        if kind is BAD:
            return BAD
        if value is None:
            return self.note(where, "is empty", EMPTY)
        if not isinstance(value, dict):
            return self.note(where, "is no section of `key: value` lines")
        hints, defaults = _fields(kind)
        tag = kind.__struct_config__.tag_field
        self._unknown(value, [*hints, *([tag] if tag else [])], where)
        told = [name for name in hints if name in value]
        found = {name: self.value(hints[name], value[name], (*where, name), defaults.get(name)) for name in told}
        good, required = {name: item for name, item in found.items() if item is not BAD}, hints.keys() - defaults
        if base is not None:
            return msgspec.structs.replace(base, **good)
        for name in sorted(required):
            if name not in value:
                self.note((*where, name), "is missing")
        return kind(**good) if good.keys() >= required else BAD

    def _unknown(self, value: Mapping[str, Any], known: Iterable[str], where: Where) -> None:
        for key in value:
            if key not in known and len(self.problems) < MOST:
                self.note((*where, key), "is no key of the site file", _meant(key, known))

    def items(self, hint: Any, value: Any, where: Where) -> Any:
        """A list, without the items that have a problem."""
        if not isinstance(value, list):
            return self.note(where, "is no list", "write [a, b], or one `- item` a line")
        found = [self.value(hint, item, (*where, index)) for index, item in enumerate(value)]
        self._kept[where] = [index for index, item in enumerate(found) if item is not BAD]
        return tuple(found[index] for index in self._kept[where])

    def table(self, hint: Any, value: Any, where: Where) -> Any:
        """A mapping of names to values: the objectives, or variables."""
        if not isinstance(value, dict):
            return self.note(where, "is no section of `key: value` lines")
        if hint is not Objective:
            found = {key: self.value(hint, item, (*where, key)) for key, item in value.items()}
            return {key: item for key, item in found.items() if item is not BAD}
        self._unknown(value, OBJECTIVES, where)
        told = {key: base for key, base in OBJECTIVES.items() if key in value}
        changed = {key: self.struct(hint, value[key], (*where, key), base) for key, base in told.items()}
        return {**OBJECTIVES, **{key: item for key, item in changed.items() if item is not BAD}}

    def leaf(self, hint: Any, value: Any, where: Where) -> Any:
        """A single value."""
        try:
            if get_origin(hint) is Literal:
                return _choice(value, get_args(hint))
            return {Seconds: duration, Path: _path, str: _text, bool: _flag, int: _number}[hint](value)
        except ValueError as error:
            return self.note(where, str(error))


@cache
def _fields(kind: type[Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The type hints of a struct's keys, and the defaults of those that may be left out."""
    fields, types = msgspec.structs.fields(kind), get_type_hints(kind, include_extras=True)
    return {field.name: types[field.name] for field in fields}, {f.name: f.default for f in fields if not f.required}


def _choice(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"is none of {', '.join(choices)}")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is no text: put it in quotes")
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _path(value: Any) -> Path:
    path = Path(_text(value))
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"is no absolute path: {safe(value)}")
    return path


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _meant(word: str, known: Iterable[str]) -> str:
    """What was meant, if it is near; else what there is."""
    names = list(known)
    near = difflib.get_close_matches(word[:80], names, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"one of: {', '.join(names)}"


def _dotted(where: Where) -> str:
    """``services[0].unit``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{safe(part, 60)}" for part in where)
    return "".join(parts).removeprefix(".") or "the site file"
