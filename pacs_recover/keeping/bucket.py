"""What is changed in a bucket beside a thaw: an object that retention lets go, and the bucket's lifecycle."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pacs_recover.errors import Refused, SourceError
from pacs_recover.formats.suffixes import RECORDS
from pacs_recover.keeping.removing import gone, replaced, written
from pacs_recover.model import Backup
from pacs_recover.site import S3Config
from pacs_recover.sources.s3.client import connected, telling
from pacs_recover.sources.s3.errors import Unreadable
from pacs_recover.sources.s3.place import Place, place_of
from pacs_recover.text import safe, stamp

MARKED = "a delete marker: its bucket keeps the version until its lifecycle removes it"
NONE = "NoSuchLifecycleConfiguration"
Rule = dict[str, Any]


def head(client: Any, one: Backup) -> dict[str, Any]:
    """What the bucket says of the current content of a backup's key. SourceError."""
    place = _current(one)
    with telling(place):
        found: dict[str, Any] = client.head_object(**place.named)
    return found


def _current(one: Backup) -> Place:
    place = place_of(one.key)
    return Place(place.bucket, place.key)


def lock_of(answer: dict[str, Any]) -> str:
    """What locks an object; empty where nothing does."""
    if answer.get("ObjectLockLegalHoldStatus") == "ON":
        return "under a legal hold of its bucket"
    until = answer.get("ObjectLockRetainUntilDate")
    return f"locked by its bucket until {stamp(until)}" if until and until > datetime.now(UTC) else ""


def remove(client: Any, one: Backup) -> tuple[str, int]:
    """Remove an object and its manifest: what is to be said of it, and the bytes that are free now.

    Refused where it is another one than was judged, or locked; SourceError.
    """
    try:
        answer = head(client, one)
    except Unreadable as error:
        raise (gone(one) if error.code == "NoSuchKey" else error) from error
    version = place_of(one.key).version
    if (written(answer), answer["ContentLength"]) != (one.stored, one.size) or version not in (
        "",
        answer.get("VersionId"),
    ):
        raise replaced(one)
    if why := lock_of(answer):
        raise Refused(f"{safe(one.id)} stays: it is {why}", "")
    marked = _delete(client, _current(one))
    for end in RECORDS:
        _delete_beside(client, one, end)
    return (MARKED, 0) if marked else ("", one.size or 0)


def _delete(client: Any, place: Place) -> bool:
    """Whether only a marker was put over it."""
    with telling(place, "remove"):
        return bool(client.delete_object(**place.named).get("DeleteMarker"))


def _delete_beside(client: Any, one: Backup, end: str) -> None:
    """What lies beside it: only where something does, as a marker would be put over nothing too."""
    place = _current(one)
    beside = Place(place.bucket, place.key + end)
    try:
        with telling(beside):
            client.head_object(**beside.named)
    except Unreadable as error:
        if error.code == "NoSuchKey":
            return
        raise SourceError(f"{safe(one.id)} is removed, but not its manifest: {error.message}", error.hint) from error
    _delete(client, beside)


def lifecycle_of(config: S3Config) -> tuple[list[Rule], dict[str, Any]]:
    """The rules that a bucket has, and what else its configuration says. SourceError."""
    place = Place(config.bucket)
    with connected(config) as client:
        try:
            with telling(place):
                found = client.get_bucket_lifecycle_configuration(Bucket=config.bucket)
        except Unreadable as error:
            if error.code == NONE:
                return [], {}
            raise
    kept = {key: found[key] for key in ("TransitionDefaultMinimumObjectSize",) if key in found}
    return list(found.get("Rules", [])), kept


def put_lifecycle(config: S3Config, rules: list[Rule], more: dict[str, Any]) -> None:
    """Give the bucket these rules instead of those it has. SourceError."""
    with connected(config) as client, telling(Place(config.bucket), "write"):
        client.put_bucket_lifecycle_configuration(Bucket=config.bucket, LifecycleConfiguration={"Rules": rules}, **more)
