"""The guide's tiers as lifecycle rules of a bucket, in the form and within the limits of S3 and of Google's storage.

Limits: Amazon S3 User Guide, "Lifecycle configuration elements" and "Constraints and considerations for transitions";
Cloud Storage, "Object Lifecycle Management" and "Storage classes".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil
from typing import Any

from msgspec import Struct

from pacs_recover.keeping.deciding import DAY
from pacs_recover.model import COMPONENTS, Fact
from pacs_recover.site import Ages, BucketConfig, LitestreamConfig, S3Config, Site
from pacs_recover.sources.s3.archive import is_archived, needs_thaw
from pacs_recover.text import count, safe

Rule = dict[str, Any]
INFREQUENT = ("STANDARD_IA", "ONEZONE_IA")
WARM, COLD = "STANDARD_IA", "GLACIER"
"""The classes of the guide's tiers."""
BEFORE_INFREQUENT = 30
"""Days that an object lies in S3 before it may go to an infrequent class."""
BETWEEN = 30
"""Days from an infrequent class to an archive, in one rule."""
CHARGED = {"STANDARD_IA": 30, "ONEZONE_IA": 30, "GLACIER_IR": 90, "GLACIER": 90, "DEEP_ARCHIVE": 180}
"""Days that are charged in any case."""
SMALL = "objects below 128 KiB are left where they are (S3's default), which is cheaper for them"
MOST_RULES = 1000
LONGEST_ID = 255
LONGEST_PREFIX = 1024
NONCURRENT = 30
"""Days for which a version that was deleted or overwritten can be had back."""
UNFINISHED = 7
"""Days after which the parts of an upload that was never completed go."""
OURS = "pacs-recover."
"""What the ids of our rules begin with."""
GOOGLE = {WARM: "NEARLINE", COLD: "COLDLINE"}
"""The same tiers there; both can be read at once."""
GOOGLE_CHARGED = {"NEARLINE": 30, "COLDLINE": 90}


class Tiers(Struct, frozen=True):
    """The rules of one bucket, and what they cannot do of what the site declares."""

    rules: tuple[Rule, ...]
    findings: tuple[Fact, ...]


def days(age: float) -> int:
    """Whole days of an age: never fewer."""
    return ceil(age / DAY)


def own_id(site: Site, source: str, component: str = "") -> str:
    """A rule's id; without a component what all of this source begin with."""
    names = (re.sub(r"[^A-Za-z0-9_-]", "_", name) for name in (site.name, source, component))
    return f"{OURS}{'.'.join(names)}"


def tiers(site: Site, source: S3Config) -> Tiers:
    """The rules of what lies in one source. The bucket's own expiry is what the total is; it knows no minimum."""
    rules, findings = [], []
    for component in COMPONENTS:
        prefix = f"{source.prefix}{component}/"
        ages: Ages = getattr(site.retention, component)
        if replica := _replica_in(site, source, prefix):
            said = f"no rule below {prefix}: the Litestream replica {replica} lies there, and would be torn; move one"
            findings.append(Fact(component, said, "bad"))
            continue
        steps, notes = _steps(ages, site.objectives[component].rto)
        findings += [Fact(component, note, "warn") for note in notes]
        rules.append(_rule(own_id(site, source.name, component), prefix, steps, _expiry(site, source, ages)))
    if any(rule.get("Expiration") for rule in rules):
        findings.append(Fact("expiration", BLIND, "warn"))
    return Tiers(tuple(rules), tuple(findings))


BLIND = (
    "a bucket removes by age alone, also while new backups fail; a version stays "
    f"{NONCURRENT} days longer where the bucket keeps versions: turn that on"
)


def _expiry(site: Site, source: S3Config, ages: Ages) -> float | None:
    """The age at which this bucket removes a backup; None: never."""
    tier = site.retention.tiers.get(source.name)
    if ages.total is None or ages.last is not None:
        return None  # how many there are is no question that a bucket can answer
    return None if tier else ages.total  # a shorter tier needs another source that has it, which only prune can see


def _steps(ages: Ages, rto: float) -> tuple[list[tuple[int, str]], list[str]]:
    """When objects change their class, as far as S3 allows it, and what was left out or costs more than it seems."""
    steps: list[tuple[int, str]] = []
    notes: list[str] = []
    warm = days(ages.hot) if ages.hot is not None and ages.warm is not None else None
    cold = days(ages.warm) if ages.warm is not None and ages.archive is not None else None
    if warm is not None:
        begins = max(warm, BEFORE_INFREQUENT)
        if begins > warm:
            notes.append(f"hot for {warm} days, but S3 takes nothing into {WARM} before {BEFORE_INFREQUENT} days")
        if cold is not None and cold < begins + BETWEEN:
            notes.append(f"no {WARM}: {COLD} begins at {cold} days, less than {BETWEEN} after {begins}")
        else:
            steps.append((begins, WARM))
    if cold is not None:
        steps.append((cold, COLD))
        notes.append(f"from {cold} days on {needs_thaw(COLD, rto)}")
    notes += _charges(steps, ages)
    return steps, notes


def _charges(steps: Sequence[tuple[int, str]], ages: Ages) -> Iterator[str]:
    ends = [*(when for when, _ in steps[1:]), days(ages.total) if ages.total else None]
    for (begins, storage), end in zip(steps, ends, strict=False):
        if end is not None and end - begins < CHARGED[storage]:
            yield f"{storage} is charged for {CHARGED[storage]} days, and holds it for {end - begins}"


def _rule(id: str, prefix: str, steps: Iterable[tuple[int, str]], expiry: float | None) -> Rule:
    rule: Rule = {"ID": id, "Status": "Enabled", "Filter": {"Prefix": prefix}}
    if transitions := [{"Days": when, "StorageClass": storage} for when, storage in steps]:
        rule["Transitions"] = transitions
    if expiry is not None:
        rule["Expiration"] = {"Days": days(expiry)}
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": NONCURRENT}
    return {**rule, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED}}


def _replica_in(site: Site, source: BucketConfig, prefix: str) -> str:
    """The Litestream replica that a rule for this prefix would take files from; empty where there is none."""
    for one in site.sources:
        if isinstance(one, LitestreamConfig) and one.s3 and _same_bucket(one.s3, source):
            root = f"{one.s3.prefix.strip('/')}/"
            if root == "/" or root.startswith(prefix) or prefix.startswith(root):
                return one.name
    return ""


def _same_bucket(one: BucketConfig, other: BucketConfig) -> bool:
    return (one.bucket, one.endpoint) == (other.bucket, other.endpoint)


def problems(rules: Sequence[Rule]) -> Iterator[str]:
    """What S3 would refuse of a bucket's rules, ours and others'."""
    if len(rules) > MOST_RULES:
        yield f"{len(rules):,} rules; S3 takes {MOST_RULES:,} for a bucket"
    ids = [str(rule.get("ID", "")) for rule in rules]
    for id in sorted({id for id in ids if id and ids.count(id) > 1}):
        yield f"two rules have the id {safe(id)}"
    for rule in rules:
        for problem in _refused(rule):
            yield f"rule {safe(rule.get('ID', 'without an id'))}: {problem}"


def _refused(rule: Rule) -> Iterator[str]:
    if len(str(rule.get("ID", ""))) > LONGEST_ID:
        yield f"its id is longer than {LONGEST_ID} characters"
    if len(prefix_of(rule).encode()) > LONGEST_PREFIX:
        yield f"its prefix is longer than {LONGEST_PREFIX} bytes"
    steps = [(int(one["Days"]), str(one["StorageClass"])) for one in rule.get("Transitions", ()) if "Days" in one]
    for when, storage in steps:
        if storage in INFREQUENT and when < BEFORE_INFREQUENT:
            yield f"{storage} after {when} days: S3 wants {BEFORE_INFREQUENT}"
    for (begins, before), (when, storage) in pairwise(sorted(steps)):
        if before in INFREQUENT and is_archived(storage) and when - begins < BETWEEN:
            yield f"{storage} {when - begins} days after {before}: S3 wants {BETWEEN}"
    expires = rule.get("Expiration", {}).get("Days")
    if expires is not None and steps and expires <= max(steps)[0]:
        yield f"it expires after {expires} days, before its last transition"


def prefix_of(rule: Rule) -> str:
    """What a rule is for; empty for a whole bucket. Rules of old have it outside of a filter."""
    inside = rule.get("Filter", {})
    return str(inside.get("Prefix") or inside.get("And", {}).get("Prefix") or rule.get("Prefix") or "")


def others_findings(site: Site, source: S3Config, others: Iterable[Rule]) -> Iterator[Fact]:
    """Where rules of somebody else remove backups, or a replica, earlier than the site declares."""
    for rule in others:
        expires = rule.get("Expiration", {}).get("Days")
        if rule.get("Status") != "Enabled" or expires is None:
            continue
        id, prefix = safe(rule.get("ID", "without an id")), prefix_of(rule)
        for component in COMPONENTS:
            total, own = getattr(site.retention, component).total, f"{source.prefix}{component}/"
            if (own.startswith(prefix) or prefix.startswith(own)) and (total is None or expires < days(total)):
                kept = "for ever" if total is None else f"for {count(days(total), 'day')}"
                yield Fact(component, f"rule {id} of somebody else removes it after {expires} days; kept {kept}", "bad")
        if replica := _replica_in(site, source, prefix):
            yield Fact("queue", f"rule {id} of somebody else removes files of the replica {replica}", "bad")


def google(site: Site, source: S3Config) -> tuple[dict[str, Any], tuple[Fact, ...]]:
    """The same for Cloud Storage (``gcloud storage buckets update --lifecycle-file``), whose classes are all online."""
    rules: list[Rule] = []
    findings: list[Fact] = []
    for component in COMPONENTS:
        prefix, ages = f"{source.prefix}{component}/", getattr(site.retention, component)
        if replica := _replica_in(site, source, prefix):
            findings.append(Fact(component, f"no rule below {prefix}: the replica {replica} lies there", "bad"))
            continue
        steps = _google_steps(ages)
        ends = [*(when for when, _ in steps[1:]), days(ages.total) if ages.total else None]
        for (begins, storage), end in zip(steps, ends, strict=False):
            if end is not None and end - begins < GOOGLE_CHARGED[storage]:
                said = f"{storage} is charged for {GOOGLE_CHARGED[storage]} days, and holds it for {end - begins}"
                findings.append(Fact(component, said, "warn"))
        rules += _google_rules(prefix, steps, _expiry(site, source, ages))
    return {"lifecycle": {"rule": rules}}, tuple(findings)


def _google_steps(ages: Ages) -> list[tuple[int, str]]:
    steps = []
    if ages.hot is not None and ages.warm is not None:
        steps.append((days(ages.hot), GOOGLE[WARM]))
    if ages.warm is not None and ages.archive is not None:
        steps.append((days(ages.warm), GOOGLE[COLD]))
    return steps


def _google_rules(prefix: str, steps: Iterable[tuple[int, str]], expiry: float | None) -> Iterator[Rule]:
    def rule(action: dict[str, Any], **condition: Any) -> Rule:
        return {"action": action, "condition": {**condition, "matchesPrefix": [prefix]}}

    for when, storage in steps:
        yield rule({"type": "SetStorageClass", "storageClass": storage}, age=when, isLive=True)
    if expiry is not None:
        yield rule({"type": "Delete"}, age=days(expiry), isLive=True)
        yield rule({"type": "Delete"}, daysSinceNoncurrentTime=NONCURRENT, isLive=False)
    yield rule({"type": "AbortIncompleteMultipartUpload"}, age=UNFINISHED)
