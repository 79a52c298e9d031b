"""What a bucket does with every object in it: versions, Object Lock, encryption; and what is true of one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pacs_recover.model import Backup, Fact
from pacs_recover.sources.s3 import archive
from pacs_recover.sources.s3.client import connected, telling
from pacs_recover.sources.s3.errors import Unreadable
from pacs_recover.sources.s3.place import Place, place_of
from pacs_recover.text import count, safe, stamp

if TYPE_CHECKING:
    from pacs_recover.sources.s3 import S3Source

FATAL = (
    "NoSuchBucket",
    "InvalidBucketName",
    "PermanentRedirect",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthFailure",
    "InvalidToken",
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "NotAssumed",
    "ServiceUnavailable",
)
"""Answers after which no other request can succeed; any other only means that this one is not allowed or not known."""


def keeps_versions(client: Any, top: Place) -> bool | None:
    """Whether the bucket keeps (or has kept) versions; None where that may not be asked. SourceError."""
    try:
        with telling(Place(top.bucket)):
            answer = client.get_bucket_versioning(Bucket=top.bucket)
    except Unreadable as error:
        if error.is_answer and error.code not in FATAL:
            return None
        raise
    return answer.get("Status") in ("Enabled", "Suspended")


def facts(client: Any, place: Place) -> tuple[Fact, ...]:
    """What holds for all objects, as far as it may be asked: one line."""
    said: list[str] = []
    for ask in (_versions, _lock, _encryption):
        try:
            with telling(Place(place.bucket)):
                said += ask(client, place.bucket)
        except Unreadable:
            continue  # not set, not known to this server, or not allowed: nothing depends on it
    return (Fact("bucket", ", ".join(said)),) if said else ()


def _versions(client: Any, bucket: str) -> list[str]:
    return ["keeps versions"] if client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled" else []


def _lock(client: Any, bucket: str) -> list[str]:
    rule = client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    if rule.get("ObjectLockEnabled") != "Enabled":
        return []
    kept = rule.get("Rule", {}).get("DefaultRetention", {})
    if not kept:
        return ["Object Lock"]
    span = count(kept["Days"], "day") if "Days" in kept else count(kept.get("Years", 0), "year")
    return [f"Object Lock ({safe(kept.get('Mode', ''))}, {span})"]


def _encryption(client: Any, bucket: str) -> list[str]:
    rules = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    kinds = {rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", "") for rule in rules}
    return [f"encrypted ({safe(', '.join(sorted(kinds)))})"] if any(kinds) else []


def facts_of(source: S3Source, backup: Backup) -> tuple[Fact, ...]:
    """What the bucket says of this one object: state in an archive, encryption, Object Lock, version. SourceError."""
    place = place_of(backup.key)
    with connected(source.config) as client:
        with telling(place):
            head = client.head_object(**place.named)
        own = tuple(fact for tell in (_class, _secret, _kept, _which) if (fact := tell(head)))
        return (*own, *facts(client, place))


def _class(head: dict[str, Any]) -> Fact:
    thaw = archive.state_in(head)
    return Fact("storage", thaw.detail, "ok" if thaw.state == "readable" else "warn")


def _secret(head: dict[str, Any]) -> Fact:
    if head.get("SSECustomerAlgorithm"):
        return Fact("encryption", "by a key of the customer's (SSE-C), which is not known here", "warn")
    return Fact("encryption", safe(head.get("ServerSideEncryption") or "none that the bucket tells of"))


def _kept(head: dict[str, Any]) -> Fact | None:
    if head.get("ObjectLockLegalHoldStatus") == "ON":
        return Fact("object lock", "legal hold")
    until = head.get("ObjectLockRetainUntilDate")
    return Fact("object lock", f"{safe(head.get('ObjectLockMode', ''))} until {stamp(until)}") if until else None


def _which(head: dict[str, Any]) -> Fact | None:
    version = head.get("VersionId")
    return Fact("version", f"{safe(version, 80)}, written {stamp(head['LastModified'])}") if version else None
