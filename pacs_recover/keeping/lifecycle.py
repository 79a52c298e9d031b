"""A bucket's lifecycle against what the site declares: what differs, and giving it our rules beside those of others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from pacs_recover.authority import Authority
from pacs_recover.errors import RecoverError, Refused, UsageError
from pacs_recover.keeping import bucket
from pacs_recover.keeping.tiers import Rule, others_findings, own_id, problems, tiers
from pacs_recover.model import Fact
from pacs_recover.site import S3Config, Site
from pacs_recover.state import State
from pacs_recover.text import safe

GUIDE = S3Config(name="guide", bucket="pacs-bridge-backup")
"""Stands for a bucket where the site names none: the guide's."""


@dataclass(frozen=True)
class Change:
    """What a bucket has, what it would have, and what is to be known of both."""

    source: S3Config
    now: tuple[Rule, ...]
    wanted: tuple[Rule, ...]
    findings: tuple[Fact, ...]
    """What our rules cannot do of what is declared."""
    others_findings: tuple[Fact, ...]
    """What the rules of others do against it."""
    mine: str
    """What the ids of this source's own rules begin with."""
    more: dict[str, Any]
    """What else the bucket's configuration says, which is given back as it is."""

    @property
    def others(self) -> int:
        """How many of the rules are somebody else's, which stay as they are."""
        return sum(not str(rule.get("ID", "")).startswith(self.mine) for rule in self.wanted)

    @property
    def diff(self) -> tuple[str, ...]:
        """Lines of a unified diff; none where nothing differs."""
        return tuple(unified_diff(_lines(self.now), _lines(self.wanted), "in the bucket", "declared", lineterm="", n=2))


def buckets(site: Site, name: str | None = None) -> tuple[S3Config, ...]:
    """The S3 sources of a site, or the one of this name. UsageError where there is none of it."""
    found = tuple(one for one in site.sources if isinstance(one, S3Config))
    wanted = tuple(one for one in found if name in (None, one.name))
    if name is not None and not wanted:
        known = ", ".join(one.name for one in found) or "the site has none"
        raise UsageError(f"there is no S3 source {safe(name)}", known)
    return wanted


def compare(site: Site, source: S3Config) -> Change:
    """A bucket's rules as they are and as they would be: ours exchanged, all others as they stand. SourceError."""
    now, more = bucket.lifecycle_of(source)
    made, mine = tiers(site, source), own_id(site, source.name)
    others = [rule for rule in now if not str(rule.get("ID", "")).startswith(mine)]
    against = tuple(others_findings(site, source, others))
    return Change(source, tuple(now), (*others, *made.rules), made.findings, against, mine, more)


def apply(site: Site, change: Change, state: State, authority: Authority) -> str:
    """Give the bucket what was shown, and see that it has it; what was done.

    Refused where it has changed since it was shown or S3 would refuse it; SourceError, RecoverError.
    """
    authority.must_allow("lifecycle --apply")
    if found := list(problems(change.wanted)):
        raise Refused(f"S3 would refuse that: {found[0]}", "correct retention in the site file, or the bucket's rules")
    with state.audit.noting("lifecycle", f"s3://{safe(change.source.bucket)}", site.name) as entry:
        if _key(bucket.lifecycle_of(change.source)[0]) != _key(change.now):
            raise Refused("the bucket's lifecycle was changed since it was shown", "look again: pacs-recover lifecycle")
        bucket.put_lifecycle(change.source, [_modern(rule) for rule in change.wanted], change.more)
        if _key(bucket.lifecycle_of(change.source)[0]) != _key(change.wanted):
            raise RecoverError("the bucket has other rules than it was given", "look: pacs-recover lifecycle --diff")
        entry.outcome = f"{len(change.wanted)} rules, {len(change.wanted) - change.others} of them ours"
    return entry.outcome


def _modern(rule: Rule) -> Rule:
    """A rule whose prefix stands outside of a filter, as of old, in the form that S3 takes beside filters."""
    if "Filter" in rule or "Prefix" not in rule:
        return rule
    return {**{key: value for key, value in rule.items() if key != "Prefix"}, "Filter": {"Prefix": rule["Prefix"]}}


def _key(rules: Sequence[Rule]) -> list[str]:
    """What two sets of rules are compared by: their order does not matter."""
    return sorted(json.dumps(_modern(rule), sort_keys=True, default=str) for rule in rules)


def _lines(rules: Sequence[Rule]) -> list[str]:
    ordered = sorted((_modern(rule) for rule in rules), key=lambda rule: str(rule.get("ID", "")))
    return json.dumps({"Rules": ordered}, indent=2, sort_keys=True, default=str).splitlines()


def as_json(rules: Sequence[Rule]) -> dict[str, Any]:
    """As ``aws s3api put-bucket-lifecycle-configuration --lifecycle-configuration`` takes it."""
    return {"Rules": list(rules)}
