"""Variables as systemd writes and reads them: environment files, and what ``systemctl`` prints.

The rules are those of systemd's src/basic/env-file.c and src/basic/escape.c (``man systemd.exec``, EnvironmentFile=).
"""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SPACE = " \t\n\r"
ESCAPED_IN_QUOTES = '"\\`$'

_PRINTED = re.compile(
    r"""(?P<space>\s+) | \$'(?P<posix>(?:[^'\\]|\\.)*)' | "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<plain>[^\s"$]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"s": b" "}


def printed(line: str) -> dict[str, str]:
    """The assignments of a line that ``systemctl show`` or ``show-environment`` prints."""
    words = [""]
    for part in _PRINTED.finditer(line):
        if part["space"]:
            words.append("")
        else:
            quoted = part["posix"] if part["posix"] is not None else part["quoted"]
            words[-1] += part["plain"] or "" if quoted is None else _unescaped(quoted)
    return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}


def _unescaped(text: str) -> str:
    def meaning(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if len(code) == 1:
            return _LETTERS.get(code, code)
        return bytes([int(code[1:], 16) if code.startswith(b"x") else int(code, 8)])

    return _ESCAPE.sub(meaning, text.encode(errors="surrogateescape")).decode(errors="surrogateescape")


def environment_file(text: str) -> dict[str, str]:
    """The assignments of an environment file; lines that are none are skipped, as systemd does."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        position = _entry(text, position, found)
    return found


def _entry(text: str, position: int, found: dict[str, str]) -> int:
    """Read one entry from ``position``; where the next begins."""
    char = text[position]
    if char in SPACE:
        return position + 1
    if char in "#;":
        return _after_comment(text, position)
    end = next((at for at in range(position + 1, len(text)) if text[at] in "=\n\r"), len(text))
    if end == len(text) or text[end] != "=":
        return end + 1
    value, after = _value(text, end + 1)
    name = text[position:end].rstrip(SPACE)
    if NAME.fullmatch(name):
        found[name] = value
    return after


def _after_comment(text: str, position: int) -> int:
    while position < len(text) and text[position] not in "\n\r":
        position += 2 if text[position] == "\\" and text[position + 1 : position + 2] not in "\n\r" else 1
    return position + 1


def _value(text: str, position: int) -> tuple[str, int]:
    """The value that begins at ``position`` and where the line after it begins.

    Quoted parts may span lines; before one and between two, blanks do not count; after a plain part they do, and so
    do quotes.
    """
    parts: list[str] = []
    while position < len(text):
        char = text[position]
        if char in "\n\r":
            return "".join(parts), position + 1
        if char == "'":
            position = _single_quoted(text, position + 1, parts)
        elif char == '"':
            position = _double_quoted(text, position + 1, parts)
        elif char in SPACE:
            position += 1
        else:
            plain, position = _plain(text, position)
            return "".join(parts) + plain, position
    return "".join(parts), position


def _single_quoted(text: str, position: int, parts: list[str]) -> int:
    end = text.find("'", position)
    end = len(text) if end < 0 else end
    parts.append(text[position:end])
    return end + 1


def _double_quoted(text: str, position: int, parts: list[str]) -> int:
    while position < len(text) and text[position] != '"':
        if text[position] == "\\":
            position += 1
            following = text[position : position + 1]
            parts.append("" if following == "\n" else following if following in ESCAPED_IN_QUOTES else "\\" + following)
        else:
            parts.append(text[position])
        position += 1
    return position + 1


def _plain(text: str, position: int) -> tuple[str, int]:
    """An unquoted rest of a line; blanks at its end are dropped unless they were escaped."""
    kept = value = ""
    while position < len(text) and text[position] not in "\n\r":
        if text[position] == "\\":
            position += 1
            following = text[position : position + 1]
            value += "" if following in "\n\r" else following
            kept = value
        else:
            value += text[position]
            kept = kept if text[position] in SPACE else value
        position += 1
    return kept, position + 1
