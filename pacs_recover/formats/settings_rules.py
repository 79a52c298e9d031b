"""The service's own rules for its configuration, so that a bad one is known before anything is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pacs_recover.formats.settings import UNKNOWN, Expanded, Tree, expand, is_off, is_on, variables
from pacs_recover.model import Fact, Preview
from pacs_recover.text import count, safe

Test = Callable[[Any], str]
"""Says what is wrong with a value, or nothing; only numbers are repeated, as anything else could be a secret."""
Tests = Mapping[str, Test]
NAMES_SHOWN = 20
NO_LIST: Final = object()
"""Stands for something that should be a list."""


def port(value: Any) -> str:
    """A TCP port."""
    number = _number(value, int)
    if number is None:
        return "is not a number; a port is 1-65535"
    return "" if 1 <= number <= 65535 else f"{_shown(number)} is not a port (1-65535)"


def positive(value: Any) -> str:
    """A whole number of something that there must be some of."""
    number = _number(value, int)
    if number is None:
        return "is not a whole number"
    return "" if number > 0 else f"must be more than 0, is {_shown(number)}"


def factor(value: Any) -> str:
    """A multiplier."""
    number = _number(value, float)
    if number is None:
        return "is not a number"
    return "" if number > 0 else f"must be more than 0, is {_shown(number)}"


def filled(value: Any) -> str:
    """A text that must not be empty."""
    if isinstance(value, dict | list):
        return "is not a single value"
    return "" if str(value).strip() else "is empty"


def log_format(value: Any) -> str:
    """How log lines are written."""
    return "" if value in ("json", "text") else "is neither json nor text"


def _number(value: Any, kind: Callable[[str], float]) -> float | None:
    """As the service reads it: from text as well, but not from a boolean or with anything after it."""
    try:
        return None if isinstance(value, bool) or "_" in str(value) else kind(str(value).strip())
    except ValueError:
        return None


def _shown(number: float) -> str:
    return safe(number, 24)


def switch(value: Any) -> str:
    """A boolean."""
    return "is neither true nor false" if is_on(value) is None else ""


SERVER: Tests = {"port": port, "max_connections": positive}
DESTINATION: Tests = {"name": filled, "host": filled, "port": port}
ARCHIVE: Tests = {"host": filled, "port": port, "ae_title": filled, "called_ae": filled}
TLS: Tests = {"enabled": switch}
RULES: dict[str, Tests] = {
    "server": {"name": filled},
    "hl7.listener": {**SERVER, "max_message_size": positive},
    "hl7.listener.tls": TLS,
    "hl7.outbound.[]": DESTINATION,
    "hl7.outbound.[].tls": TLS,
    "hl7.outbound_destinations.[]": DESTINATION,
    "hl7.outbound_destinations.[].tls": TLS,
    "fhir": {"enabled": switch},
    "fhir.server": {**SERVER, "base_path": filled, "page_size": positive},
    "fhir.server.tls": TLS,
    "pacs": ARCHIVE,
    "pacs.primary": ARCHIVE,
    "pacs.secondary": ARCHIVE,
    "routing_rules.[]": {"name": filled, "destination": filled},
    "queue": {
        "max_queue_size": positive,
        "max_retry_count": positive,
        "worker_count": positive,
        "retry_backoff_multiplier": factor,
    },
    "patient_cache": {"max_entries": positive},
    "logging": {"format": log_format},
}
"""What the service checks, by section; ``[]`` is every item of a list."""
REQUIRED = {
    "hl7.outbound.[]": ("name", "host"),
    "hl7.outbound_destinations.[]": ("name", "host"),
    "routing_rules.[]": ("name", "destination"),
}
"""The keys that have no default."""
SERVER_TLS = ("hl7.listener.tls", "fhir.server.tls")
"""Where an enabled section needs a certificate and its key; a client may do without."""
PATTERNS = ("message_type_pattern", "source_pattern")
"""A routing rule needs one of them."""


def check(expanded: Expanded) -> list[Fact]:
    """What the service would not accept, each labelled with its path; sections it does not know are fine."""
    tree = expanded.tree
    found = [*_expansion(expanded), *_values(tree), *_patterns(tree), *_certificates(tree)]
    return [Fact(safe(where), problem, "bad") for where, problem in dict.fromkeys(found)]


def _expansion(expanded: Expanded) -> Iterator[tuple[str, str]]:
    for where in expanded.broken:
        yield where, "a ${ is not closed with }"
    if expanded.missing:
        yield "variables", f"not set in the service's environment: {_names(expanded.missing)}"


def _values(tree: Tree) -> Iterator[tuple[str, str]]:
    for path, tests in RULES.items():
        for where, section in _at(tree, path):
            if isinstance(section, dict):
                yield from _section(where, section, tests, REQUIRED.get(path, ()))
            else:
                yield where, "is not a list" if section is NO_LIST else "is not a section"


def _section(where: str, section: Tree, tests: Tests, required: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key, test in tests.items():
        value = section.get(key)
        if value is None:
            problem = "is missing" if key in required else ""
        else:
            problem = "" if value is UNKNOWN else test(value)
        if problem:
            yield f"{where}.{key}", problem


def _at(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    """What is at a path of ``RULES``, with its own path; nothing below a section that is switched off."""
    if not (path.startswith("fhir.") and is_off(tree, "fhir")):
        yield from _below(tree, path.split("."), "")


def _below(value: Any, names: list[str], where: str) -> Iterator[tuple[str, Any]]:
    if value is None or value is UNKNOWN:
        return
    if not names:
        yield where, value
    elif names[0] == "[]":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _below(item, names[1:], f"{where}[{index}]")
        if not isinstance(value, list):
            yield where, NO_LIST
    elif isinstance(value, dict):
        yield from _below(value.get(names[0]), names[1:], f"{where}.{names[0]}" if where else names[0])
    else:
        yield where, value


def _patterns(tree: Tree) -> Iterator[tuple[str, str]]:
    for where, rule in _at(tree, "routing_rules.[]"):
        if isinstance(rule, dict) and not any(rule.get(key) for key in PATTERNS):
            yield where, "needs message_type_pattern or source_pattern"


def _certificates(tree: Tree) -> Iterator[tuple[str, str]]:
    for path in SERVER_TLS:
        for where, section in _at(tree, path):
            if isinstance(section, dict) and is_on(section.get("enabled")):
                absent = [key for key in ("cert_path", "key_path") if not section.get(key)]
                if absent:
                    yield where, f"is enabled and has no {' and no '.join(absent)}"


def preview(tree: Tree, environment: Mapping[str, str] | None) -> Preview:
    """What a configuration holds, which variables it needs, and what the service would not accept."""
    expanded, named = expand(tree, environment), variables(tree)
    problems = check(expanded)
    facts = [Fact("sections", _names(tuple(tree))), *_variables(expanded, named.needed)]
    if expanded.defaults:
        facts.append(Fact("defaults taken", _names(expanded.defaults)))
    details = {
        "sections": [safe(key) for key in tree],
        "variables": {
            "needed": [safe(name) for name in named.needed],
            "missing": [safe(name) for name in expanded.missing],
            "unknown": [safe(name) for name in expanded.unknown],
            "defaults": [safe(name) for name in expanded.defaults],
        },
    }
    held = "all that can be checked here hold" if expanded.unknown else "all hold"
    return Preview((*facts, *(problems or [Fact("the service's rules", held)])), details)


def _variables(expanded: Expanded, needed: tuple[str, ...]) -> Iterator[Fact]:
    if expanded.unknown:
        unknown = f"{_names(expanded.unknown)} (the service's environment cannot be read here: not checked)"
        yield Fact("variables needed", unknown, "warn")
    elif needed:
        yield Fact("variables needed", _names(needed))


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(safe(name, 60) for name in names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {count(len(names) - NAMES_SHOWN, 'more', 'more')}"
