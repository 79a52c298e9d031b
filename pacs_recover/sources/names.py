"""What a backup's file name says: which component, when it was taken, how it is wrapped, and its id."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from urllib.parse import quote

from msgspec import Struct

from pacs_recover.formats.suffixes import RECORDS, format_of
from pacs_recover.model import Fact
from pacs_recover.text import count, stamp

SKEW = timedelta(minutes=5)
"""How far two hosts' clocks may differ before a time counts as one in the future."""
NEAR = timedelta(hours=1)
"""How near a file's mtime must be to one reading of a doubtful hour to settle it."""
FAR = timedelta(days=1)
"""How far a file's mtime may be from its name."""

DIGITS = re.compile(
    r"(?<!\d)(?P<date>\d{4}-?\d\d-?\d\d)(?:[T_.-]?(?P<time>\d\d[:-]?\d\d[:-]?\d\d)(?P<utc>Z)?)?(?!\d)", re.ASCII
)
WORD = re.compile(r"(?:^|[._-])(config|certs|queue|logs)[_-]$")
LOG = re.compile(r"\.log(?:$|[.-])")
USUAL_DIGITS = len("YYYYmmdd_HHMMSS")
USUAL = {"config": "tar.gz", "certs": "tar.enc", "queue": "db.gz"}
"""How the guide's scripts wrap each component: the part of a name that its id leaves out."""
WITH_AGE = re.compile(r"(?:\.tar|\.db)?(?:\.gz)?\.age$")
"""The same of what is encrypted with age, of which the id says just that."""
CONTENTS = {"config": ("tar",), "certs": ("tar",), "queue": ("db", "tar")}
BESIDE = (*RECORDS, ".sha512", ".md5", ".asc", ".sig", ".part", ".tmp")
"""Ends of names that lie beside backups and are none."""
UNQUOTED = "/._-+~,=:"
PLAIN = re.compile(r"[A-Za-z0-9/._~+,=:-]*")


class Name(Struct, frozen=True, gc=False):
    """What one file name says."""

    component: str
    format: str
    label: str
    """Its part of an id: the name's own digits, or the whole name where the guide would not have called it so."""
    digits: str = ""
    """``YYYYmmdd_HHMMSS``, ``YYYYmmdd`` or nothing."""
    utc: bool = False
    """Whether the digits end in ``Z``."""


def read(name: str, home: str = "") -> Name | None:
    """What the name of a file says that lies in (or below) the directory of the component ``home``; None for no backup.

    A component that the name itself gives goes before the directory's.
    """
    found = DIGITS.search(name)
    if not found:
        format = format_of(name)
        component = _component(name, format, "", home)
        return Name(component, format, name) if component else None
    component, format, rest = _around(name[: found.start()], name[found.end() :], home)
    if not component:
        return None
    digits, utc = _digits(found), found["utc"] is not None
    label = name if rest is None else f"{digits}{'Z' if utc else ''}{rest}"
    return Name(component, format, label, digits, utc)


@lru_cache(maxsize=4096)
def _around(head: str, tail: str, home: str) -> tuple[str, str, str | None]:
    """What a name says by all but its digits, which is the same in every name that one script gives.

    The component (empty for no backup), the format, and what its id has after the digits; None where the guide would
    not have called it so.
    """
    word = WORD.search(head)
    named, format = word[1] if word else "", format_of(f"0{tail}")
    component = _component(f"{head}0{tail}", format, named, home)
    usual = component == named and head.startswith(named)
    rest = WITH_AGE.sub(".age", tail).removesuffix("." + USUAL.get(component, "/"))
    return component, format, rest if usual else None


def recorded(key: str, is_there: Callable[[str], object]) -> str:
    """The key of the manifest or checksum that lies beside a backup's; empty where there is none."""
    return next((key + end for end in RECORDS if is_there(key + end)), "")


def _component(name: str, format: str, named: str, home: str) -> str:
    """Which component a file of this name belongs to; empty for a file that is no backup."""
    content = format.split(".")[0]
    if name.startswith(".") or name.endswith(BESIDE):
        return ""
    if named in CONTENTS and (content in CONTENTS[named] or content in ("gz", "enc", "age")):
        return named
    if home in CONTENTS and content in CONTENTS[home] and not named:
        return home
    is_log = LOG.search(name) or (format and "logs" in (named, home)) or (home == "logs" and ".log" in name)
    return "logs" if is_log and named in ("", "logs") else ""


def _digits(found: re.Match[str]) -> str:
    date, time = found.group("date", "time")
    text = f"{date}_{time}" if time else date
    return text if len(text) == USUAL_DIGITS else text.replace("-", "").replace(":", "")


def backup_id(name: Name, parts: tuple[str, ...], source: str) -> str:
    """The id of a file that lies in the directories ``parts`` of a source: typable, and a function of its path alone.

    What is not plain is %-encoded, as names are data: they may hold line ends, escape sequences or markup.
    """
    return f"{_where(name.component, parts)}{_quoted(name.label)}@{source}"


@lru_cache(maxsize=4096)
def _where(component: str, parts: tuple[str, ...]) -> str:
    """What the ids of one component's files in one directory begin with."""
    own = parts.index(component) if component in parts else len(parts)
    return _quoted("".join(f"{part}/" for part in (component, *parts[:own], *parts[own + 1 :])))


def _quoted(label: str) -> str:
    return label if PLAIN.fullmatch(label) else quote(os.fsencode(label), safe=UNQUOTED)


class Ids:
    """The ids given so far: another file whose name says the same gets one of its own, made from its path."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def unique(self, wanted: str, path: str) -> str:
        """The id, with the first digits of the path's hash where it is taken."""
        if wanted in self._given:
            head, _, source = wanted.rpartition("@")
            digest = hashlib.sha256(os.fsencode(path)).hexdigest()
            tries = (f"{head}~{digest[:length]}@{source}" for length in range(6, len(digest)))
            wanted = next(one for one in tries if one not in self._given)
        self._given.add(wanted)
        return wanted


def taken(name: Name, status: os.stat_result, zone: tzinfo, now: datetime) -> tuple[datetime, tuple[Fact, ...]]:
    """When a file was taken (UTC), by its name as read in ``zone``, else by its mtime, and what is odd about it."""
    mtime, facts = _mtime(status)
    span = _span(name, mtime, zone)
    if span is None:
        facts += (Fact("time", f"{name.digits} is no date: the time is the file's own", "warn"),)
        span = mtime, mtime, ()
    first, last, doubts = span
    moment = first if first is last else min(max(mtime, first), last)
    return moment, facts + doubts + _odd(moment, mtime, now) + _empty(name, status)


def _mtime(status: os.stat_result) -> tuple[datetime, tuple[Fact, ...]]:
    try:
        return datetime.fromtimestamp(status.st_mtime, UTC), ()
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC), (Fact("time", "the file's own time is no date", "warn"),)


def _span(name: Name, mtime: datetime, zone: tzinfo) -> tuple[datetime, datetime, tuple[Fact, ...]] | None:
    """The first and last moment that a name can mean: one and the same, or a whole day; None where it is no date."""
    digits, zone = name.digits, UTC if name.utc else zone
    if not digits:
        return mtime, mtime, ()
    day, time = digits[:8], digits[9:]
    try:
        if not time:
            begin = datetime.fromisoformat(day)
            end = begin.replace(hour=23, minute=59, second=59)
            return _readings(begin, zone)[0], _readings(end, zone)[-1], ()
        if time > "24":  # which some versions of Python take for the next day
            return None
        wall, offset = datetime.fromisoformat(f"{digits}Z"), _offset(day, zone)
        if offset is not None:
            return (moment := wall - offset), moment, ()
        moment, doubts = _settled(wall.replace(tzinfo=None), mtime, zone)
    except (ValueError, OverflowError):
        return None
    return moment, moment, doubts


@lru_cache(maxsize=4096)
def _offset(day: str, zone: tzinfo) -> timedelta | None:
    """How far a zone is from UTC on a whole day; None where that changes on it. ValueError, OverflowError.

    It is the same where it is the same at both ends: no zone of the tz database changes twice within four days but
    one, in 1939.
    """
    first = datetime.fromisoformat(day).replace(tzinfo=zone)
    offset = first.utcoffset()
    last = first.replace(hour=23, minute=59, second=59, fold=1)
    return offset if offset == last.utcoffset() else None


def _readings(wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """The moments that a wall clock's time can mean: two in an hour that comes twice or is left out. OverflowError."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return (first,) if first == second else (first, second)


def _settled(wall: datetime, mtime: datetime, zone: tzinfo) -> tuple[datetime, tuple[Fact, ...]]:
    """What a wall clock's time means, as far as the file's own time tells. OverflowError."""
    readings = _readings(wall, zone)
    if len(readings) == 1:
        return readings[0], ()
    nearest = min(readings, key=lambda reading: abs(reading - mtime))
    if abs(nearest - mtime) <= NEAR:
        return nearest, ()
    twice = readings[0].astimezone(zone).replace(tzinfo=None) == wall
    what = "came twice" if twice else "did not exist"
    where = getattr(zone, "key", "this host's time zone")
    doubt = f"{wall} {what} in {where}: {' or '.join(map(stamp, readings))}, and the file's own time does not tell"
    return readings[0], (Fact("ambiguous time", doubt, "warn"),)


def _odd(moment: datetime, mtime: datetime, now: datetime) -> tuple[Fact, ...]:
    facts: tuple[Fact, ...] = ()
    if moment - now > SKEW:
        facts += (Fact("time", "in the future: are the source's time zone and this host's clock right?", "warn"),)
    if (apart := abs(moment - mtime)) > FAR:
        written = f"the file was written {stamp(mtime)}, {count(apart.days, 'day')} from what its name says"
        facts += (Fact("time", written, "warn"),)
    return facts


def _empty(name: Name, status: os.stat_result) -> tuple[Fact, ...]:
    if status.st_size or name.component == "logs":
        return ()
    return (Fact("size", "an empty file, no backup", "warn"),)
