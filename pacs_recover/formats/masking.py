"""Secrets in configuration text: recognised by their names and shapes, and never shown, not even in a difference."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import suppress

from pacs_recover.formats.yaml_marks import SIZE_LIMIT, Document, Fault
from pacs_recover.text import count, safe

MASK = "<secret>"
CHANGED = "  # changed (secret)"
LINE_LIMIT = 2_000
"""Lines that are compared one by one; comparing takes time with their square."""
WIDTH = 300

SECRET = re.compile(
    "auth(orization)?|bearer|community|cookie|credentials?|keys?|pass(code|phrase|wd|words?)?|pin|pw|pwd|salt"
    "|secrets?|tokens?"
)
"""Words that make a name a secret's, with others before or after them."""
GLUED = re.compile(r"passw|passphrase|secret|apikey|token|credential|privatekey", re.IGNORECASE)
"""The same where words are run together: ``dbpassword``."""
HARMLESS = re.compile("path|file|filename|dir|directory|url|uri|type|size|length|name|enabled|expiry|ttl|timeout")
"""Last words that say that a name is about a secret and its value is none: ``key_path``."""
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

KEY_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
USER_INFO = re.compile(r"(?<=://)[^/\s:@]{0,200}:[^/\s@]{1,200}(?=@)")
DEFAULT = re.compile(r"(?<=\$\{)(?P<name>[^}:\n]{1,200}):-(?P<value>[^}\n]+)")
INDENT = re.compile(r"[ \t]*(?:- +)*")
HEAD = re.compile(r"""(?<![\w.-])(?<!\$\{)(?P<name>[\w.-]+)["']?[ \t]*[:=][ \t]*""")
VALUE = re.compile(MASK + r"""|"(?:[^"\\]|\\.)*"|'[^']*'|.*""")
NO_VALUE = re.compile(r"[|>{\[]?[-+0-9]*\s*")
"""What only begins a value that stands on the lines below."""


def is_secret(name: str) -> bool:
    """Whether a value of this name (a key, a variable) must not be shown."""
    words = [word.lower() for word in WORD.findall(name)]
    if not words or HARMLESS.fullmatch(words[-1]):
        return False
    return any(map(SECRET.fullmatch, words)) or bool(GLUED.search(name))


def masked(text: str) -> str:
    """The text with every secret replaced, line for line; where in doubt, more is replaced."""
    text = text.removeprefix("\ufeff")
    for start, end in sorted(_spans(text), reverse=True):
        text = text[:start] + _blank(text[start:end]) + text[end:]
    text = KEY_BLOCK.sub(lambda match: _blank(match[0]), text)
    text = USER_INFO.sub(MASK, text)
    text = DEFAULT.sub(lambda match: f"{match['name']}:-{MASK}" if is_secret(match["name"]) else match[0], text)
    return "\n".join(_lines(text.split("\n")))


def _spans(text: str) -> list[tuple[int, int]]:
    """Where the values of secret names stand, as far as the text is YAML (or JSON)."""
    if len(text) > SIZE_LIMIT:
        return []
    document = Document(text)
    with suppress(Fault):  # what was read before it counts; the rest is left to the lines
        document.read()
    return [
        (mark.start, mark.end)
        for where, mark in document.marks.items()
        if where and is_secret(str(where[-1])) and not any(is_secret(str(part)) for part in where[:-1])
    ]


def _blank(value: str) -> str:
    """As many lines as the value has, each with its indentation."""
    return re.sub(r"(?m)^([ \t]*)\S.*$", rf"\1{MASK}", value)


def _lines(lines: list[str]) -> Iterator[str]:
    """Line by line, for what is no YAML and for comments; what is indented below a secret name belongs to it."""
    below: int | None = None
    for line in lines:
        stripped = line.lstrip(" \t")
        depth = len(line) - len(stripped)
        if not stripped.strip():
            yield line
        elif below is not None and (depth > below or (depth == below and stripped.startswith("- "))):
            yield line[:depth] + MASK
        else:
            shown, found = _settings(line)
            below = _column(line) if found and not stripped.startswith("#") else None
            yield shown


def _column(line: str) -> int:
    found = INDENT.match(line)
    return found.end() if found else 0


def _settings(line: str) -> tuple[str, bool]:
    """A line with the values of secret names replaced, and whether there were such names."""
    at, found = 0, False
    while head := HEAD.search(line, at):
        at = head.end()
        if is_secret(head["name"]):
            found, value = True, VALUE.match(line, at)
            if value and not NO_VALUE.fullmatch(value[0]):
                line = line[:at] + MASK + line[value.end() :]
                at += len(MASK)
    return line, found


def diff(old: str, new: str, name: str) -> list[str]:
    """A unified difference with secrets masked on both sides; that one changed is said, never into what."""
    if old == new:
        return []
    before, after = old.split("\n"), new.split("\n")
    if max(len(before), len(after)) > LINE_LIMIT:
        return [f"{safe(name)}: too long to compare ({count(len(before), 'line')} and {count(len(after), 'line')})"]
    shown = masked(old).split("\n"), _told(before, after, masked(old).split("\n"), masked(new).split("\n"))
    groups = difflib.SequenceMatcher(None, before, after).get_grouped_opcodes(3)
    lines = [line for group in groups for line in _hunk(group, *shown)]
    return [f"--- {safe(name)} (live)", f"+++ {safe(name)} (backup)", *(safe(line, WIDTH) for line in lines)]


def _told(before: list[str], after: list[str], masked_before: list[str], masked_after: list[str]) -> list[str]:
    """The new lines, saying so where one looks like an old line and is none."""
    old, looks = set(before), set(masked_before)
    return [
        look + CHANGED if MASK in look and look in looks and line not in old else look
        for line, look in zip(after, masked_after, strict=True)
    ]


def _hunk(group: list[tuple[str, int, int, int, int]], before: list[str], after: list[str]) -> Iterator[str]:
    (_, old, _, new, _), (_, _, old_end, _, new_end) = group[0], group[-1]
    yield f"@@ -{old + 1},{old_end - old} +{new + 1},{new_end - new} @@"
    for kind, i, i_end, j, j_end in group:
        if kind == "equal":
            yield from (f" {line}" for line in before[i:i_end])
        else:
            yield from (f"-{line}" for line in before[i:i_end])
            yield from (f"+{line}" for line in after[j:j_end])


NO_SECRET = re.compile(
    r"""\s*(?:[\w.-]+\s*:)?\s*["']?"""
    r"(?:\$\{[^}:\n]+\}|\$[A-Z_]\w*|none|optional|required|true|false|yes|no|on|off|null|~)?"
    r"""["']?\s*(?:#.*)?""",
    re.IGNORECASE,
)
"""What stands for a secret's value and is none: a variable, a switch, also of a setting below a secret's name."""


def secret_lines(text: str) -> list[int]:
    """The numbers of the lines that hold a secret itself, and not just the name of a variable that does."""
    shown = masked(text).split("\n")
    lines = text.removeprefix("\ufeff").split("\n")
    return [n for n, (line, look) in enumerate(zip(lines, shown, strict=True), 1) if _holds_one(line, look)]


def _holds_one(line: str, look: str) -> bool:
    if MASK not in look:
        return False
    found = re.fullmatch("(.*?)".join(map(re.escape, look.split(MASK))), line)
    return found is None or not all(map(NO_SECRET.fullmatch, found.groups()))
