"""YAML as plain data with the line of every value: bounded, without aliases, tags or surprises.

It is read event by event, never by a loader's constructors: so a file can neither build objects nor grow by aliases
(a "billion laughs"), and nesting is refused before anything recurses into it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

SIZE_LIMIT = 1 << 20
"""Characters that a file may have."""
DEPTH_LIMIT = 40
DEEP = f"it is nested more than {DEPTH_LIMIT} levels deep"
NODE_LIMIT = 100_000
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C where PyYAML has it: the one in Python takes a minute for a megabyte."""
STRING = ("!", "tag:yaml.org,2002:str")
STANDARD = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "seq", "map"))

NULL = ("", "~", "null", "Null", "NULL")
BOOLEAN = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
FLOAT = re.compile(r"[-+]?(?:[0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})(?:[eE][-+]?[0-9]{1,4})?")

Where = tuple[str | int, ...]
"""Where a value is: the keys and indexes from the root."""


class Mark(NamedTuple):
    """Where a value stands in the text."""

    line: int
    """From 1; of the key where the value has one."""
    start: int
    end: int
    """Characters from the beginning of the text."""


class Fault(Exception):
    """The text cannot be read; says the line and never a value."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def scalar(text: str) -> Any:
    """What a plain word means: null, a boolean (YAML 1.1's, which the service reads too), a number, else itself."""
    if text in NULL:
        return None
    if text.lower() in BOOLEAN and text in (text.lower(), text.title(), text.upper()):
        return BOOLEAN[text.lower()]
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if FLOAT.fullmatch(text) else text


class Document:
    """One YAML document of a text without byte order mark, read by ``read``."""

    def __init__(self, text: str, plain: Callable[[str], Any] = scalar) -> None:
        self.text = text
        self.marks: dict[Where, Mark] = {}
        """Of every value that was read; of those before a fault, too."""
        self.repeated: list[Where] = []
        """Keys that stand twice in their mapping; the last one counts."""
        self._plain = plain
        self._events = _events(text)

    def line(self, where: Where) -> int:
        """The line of a value, or of the nearest thing around it."""
        while where and where not in self.marks:
            where = where[:-1]
        return self.marks[where].line if where in self.marks else 1

    def read(self) -> Any:
        """The document as dicts, lists and scalars; None where there is none. Raises Fault."""
        if len(self.text) > SIZE_LIMIT:
            raise Fault(f"it has more than {SIZE_LIMIT:,} characters")
        starts = (event for event in self._events if isinstance(event, DocumentStartEvent))
        if next(starts, None) is None:
            return None
        first = next(self._events)
        tree = self._node(first, (), first)
        second = next(starts, None)
        if second:
            raise Fault("a second document begins", _line(second))
        return tree

    def _node(self, event: Event, where: Where, key: Event) -> Any:
        """The value that begins with this event; ``key`` is its key's event, or itself."""
        if len(where) > DEPTH_LIMIT:
            raise Fault(DEEP, _line(event))
        if len(self.marks) >= NODE_LIMIT:
            raise Fault(f"it has more than {NODE_LIMIT:,} values", _line(event))
        _refuse_tag(event)
        self.marks[where] = Mark(_line(key), _index(event.start_mark), _index(event.end_mark))
        return self._value(event, where)

    def _value(self, event: Event, where: Where) -> Any:
        match event:
            case ScalarEvent():
                return self._scalar(event)
            case SequenceStartEvent():
                items = enumerate(self._until(SequenceEndEvent, where))
                return [self._node(item, (*where, index), item) for index, item in items]
            case MappingStartEvent():
                return self._mapping(where)
            case AliasEvent():
                raise Fault("an alias (*name) is used: write the value out", _line(event))
            case _:
                raise Fault("it breaks off", _line(event))

    def _scalar(self, event: ScalarEvent) -> Any:
        is_text = event.tag in STRING or (event.tag is None and not event.implicit[0])
        return event.value if is_text else self._plain(event.value)

    def _mapping(self, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in self._until(MappingEndEvent, where):
            if not isinstance(key, ScalarEvent):
                raise Fault("a key is no plain word", _line(key))
            _refuse_tag(key)
            if key.value in found:
                self.repeated.append((*where, key.value))
            found[key.value] = self._node(next(self._events), (*where, key.value), key)
        return found

    def _until(self, last: type[Event], where: Where) -> Iterator[Event]:
        """The events that begin the items of a collection, up to its end."""
        for event in self._events:
            if isinstance(event, last):
                self.marks[where] = self.marks[where]._replace(end=_index(event.end_mark))
                return
            yield event


def _events(text: str) -> Iterator[Event]:
    """PyYAML's events. Raises Fault for whatever it raises."""
    try:
        yield from yaml.parse(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        deep = "nesting depth" in (error.problem or "")  # libyaml has a limit of its own, and reads ahead
        raise Fault(DEEP if deep else error.problem or "it is no YAML", mark.line + 1 if mark else 1) from None
    except yaml.reader.ReaderError as error:
        at = error.position if isinstance(error.position, int) else 0
        raise Fault("it holds a character that YAML does not allow", text.count("\n", 0, at) + 1) from None
    except (yaml.YAMLError, ValueError) as error:
        raise Fault(f"it is no YAML ({type(error).__name__})") from None


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _index(mark: Any) -> int:
    return mark.index if mark else 0


def _refuse_tag(event: Event) -> None:
    tag = getattr(event, "tag", None)
    if tag is not None and tag not in STRING and tag not in STANDARD:
        raise Fault("a tag (!name) is used: only plain values are read", _line(event))
