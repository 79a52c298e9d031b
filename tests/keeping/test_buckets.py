"""``prune``, ``retention`` and ``lifecycle`` against a real S3 server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pacs_recover.authority import Authority
from pacs_recover.errors import Refused
from pacs_recover.keeping import lifecycle, tiers
from pacs_recover.site import Ages, BucketConfig, LitestreamConfig, RetentionConfig, S3Config, Site
from tests.cli.offsite import section
from tests.cli.shell import Shell
from tests.cli.test_json_documented import check
from tests.keeping.stock import CONTENT, applied, context, judge, names, proposed, sited
from tests.runs.small_site import SmallSite
from tests.sources.s3_proxy import Fault
from tests.sources.s3_server import Bucket

AGES = [*range(4), *range(91, 97)]


def stocked(small: SmallSite, bucket: Bucket) -> Shell:
    """A site whose queue backups are in this bucket, six of them too old, with manifests."""
    for name in names("queue", AGES):
        bucket.put(f"site-a/{name}", CONTENT)
        bucket.put(f"site-a/{name}.manifest.json", b"{}")
    return sited(small, section(bucket))


def keys(bucket: Bucket) -> list[str]:
    """What is there, versions that are only kept aside."""
    return [one["Key"] for one in bucket.client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]


def test_objects_go_with_their_manifests_and_free_what_they_had(small: SmallSite, plain: Bucket) -> None:
    shell = stocked(small, plain)
    judge(shell)
    found = shell("prune", "--apply", "--json", code=0).json
    check(found, "Prune")
    assert (found["going"], found["removed"], found["freed_bytes"]) == (6, 6, 6 * len(CONTENT))
    assert len(keys(plain)) == 4 * 2
    assert shell("prune", "--apply", "--json", code=0).json["removed"] == 0


def test_a_bucket_that_keeps_versions_gets_markers_and_what_it_locks_stays(small: SmallSite, versioned: Bucket) -> None:
    shell = stocked(small, versioned)
    held, locked = sorted(key for key in keys(versioned) if key.endswith(".gz"))[:2]
    versioned.client.put_object_legal_hold(Bucket=versioned.name, Key=held, LegalHold={"Status": "ON"})
    until = datetime.now(UTC) + timedelta(days=30)
    versioned.client.put_object_retention(
        Bucket=versioned.name, Key=locked, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until}
    )
    judge(shell)
    done = shell("prune", "--apply", code=0)
    assert "under a legal hold of its bucket" in done.out
    assert "locked by its bucket until" in done.out
    assert done.out.count("a delete marker") == 4
    assert "4 backups removed, 0 Bytes free now" in done.err
    assert {held, locked} <= set(keys(versioned))
    assert len(keys(versioned)) == (4 + 2) * 2
    kept = versioned.client.list_object_versions(Bucket=versioned.name)
    assert len(kept["DeleteMarkers"]) == 8
    assert len(kept["Versions"]) == 20, "nothing is really gone"
    listed = shell("catalog", "queue", "--json", code=0).json["backups"]
    assert sum(not one["current"] for one in listed) == 4


def test_a_denied_or_exchanged_object_stays_and_the_others_go(small: SmallSite, plain: Bucket) -> None:
    shell = stocked(small, plain)
    judge(shell)
    proposal = proposed(shell)
    first, second, third = (one.backup.key.partition("?")[0].partition("site-a/")[2] for one in proposal.going[:3])
    plain.put(f"site-a/{first}", b"another content")
    plain.delete(f"site-a/{second}")

    def deny(request: Any) -> Fault | None:
        return Fault("AccessDenied") if request.method == "DELETE" and third in request.path else None

    with plain.proxy.meddling(deny):
        removed = applied(shell, proposal)
    said = [one.said for one in removed if not one.ok]
    assert [one.ok for one in removed] == [False] * 3 + [True] * 3
    assert "not what was judged" in said[0]
    assert "was not there" in said[1]
    assert "it may not be removed" in said[2]


def test_a_lock_that_cannot_be_asked_for_counts_as_one(small: SmallSite, plain: Bucket) -> None:
    shell = stocked(small, plain)
    judge(shell)
    with plain.proxy.meddling(lambda request: Fault("AccessDenied") if request.method == "HEAD" else None):
        found = shell("prune", "--apply", "--json", code=0).json
    assert found["removed"] == 0
    assert sum("whether it is locked is not known" in one["why"] for one in found["decisions"]) == 6


OTHERS: list[dict[str, Any]] = [
    {"ID": "somebody", "Status": "Enabled", "Filter": {"Prefix": "site-a/queue/"}, "Expiration": {"Days": 30}},
    {"ID": "elsewhere", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}},
]


def rules(bucket: Bucket) -> list[dict[str, Any]]:
    found = bucket.client.get_bucket_lifecycle_configuration(Bucket=bucket.name)["Rules"]
    return sorted(found, key=lambda rule: rule["ID"])


def test_the_tiers_are_shown_diffed_and_applied_beside_the_rules_of_others(small: SmallSite, plain: Bucket) -> None:
    shell = sited(small, section(plain))
    plain.client.put_bucket_lifecycle_configuration(Bucket=plain.name, LifecycleConfiguration={"Rules": OTHERS})
    shown = shell("lifecycle", code=0)
    made = json.loads(shown.out)["Rules"]
    assert [rule["Filter"]["Prefix"] for rule in made] == [f"site-a/{c}/" for c in ("config", "certs", "queue", "logs")]
    before = rules(plain)
    found = shell("lifecycle", "--diff", "--json", code=0).json
    check(found, "LifecycleChange")
    assert (found["differs"], found["applied"], found["others"]) == (True, False, 2)
    assert any("rule somebody of somebody else removes it after 30 days" in f["value"] for f in found["findings"])
    assert shell("lifecycle", "--apply", "--json", code=5).error["hint"]
    assert rules(plain) == before
    assert shell("lifecycle", "--apply", "--yes", "--json", code=0).json["applied"]
    assert [rule for rule in rules(plain) if not rule["ID"].startswith("pacs-recover.")] == before
    assert {rule["ID"] for rule in rules(plain)} == {rule["ID"] for rule in (*OTHERS, *made)}
    assert "nothing differs" in shell("lifecycle", "--diff", code=0).err
    shorter = sited(small, section(plain), queue={"archive": "60d", "total": "60d"})
    assert '-        "Days": 90' in shorter("lifecycle", "--diff", code=0).out
    shorter("lifecycle", "--apply", "--yes", code=0)
    queue = next(rule for rule in rules(plain) if rule["ID"].endswith(".queue"))
    assert queue["Expiration"] == {"Days": 60}
    assert len(rules(plain)) == 6
    assert "s3://" in shell("audit", "show", code=0).out


def test_a_terminal_has_to_confirm_a_lifecycle(small: SmallSite, plain: Bucket) -> None:
    with sited(small, section(plain)).terminal("lifecycle", "--apply") as terminal:
        terminal.expect("Type yes: ")
        terminal.type("no\n")
        assert terminal.ends() == 5
    with pytest.raises(plain.client.exceptions.ClientError):
        rules(plain)


def test_a_lifecycle_that_changed_meanwhile_or_is_denied_is_left_alone(small: SmallSite, plain: Bucket) -> None:
    of = context(sited(small, section(plain)))
    change = lifecycle.compare(of.site, lifecycle.buckets(of.site)[0])
    plain.client.put_bucket_lifecycle_configuration(Bucket=plain.name, LifecycleConfiguration={"Rules": OTHERS})
    with pytest.raises(Refused, match="changed since it was shown"):
        lifecycle.apply(of.site, change, of.state, Authority())
    assert rules(plain) == sorted(OTHERS, key=lambda rule: str(rule["ID"]))
    with pytest.raises(Refused, match="READ-ONLY"):
        lifecycle.apply(of.site, change, of.state, Authority(read_only=True))
    with plain.proxy.meddling(lambda request: Fault("AccessDenied") if request.method == "PUT" else None):
        error = sited(small, section(plain))("lifecycle", "--apply", "--yes", "--json", code=3).error
    assert "may not be changed" in error["message"]
    assert "s3:PutLifecycleConfiguration" in error["hint"]


def test_retention_tells_what_a_bucket_does_otherwise_than_declared(small: SmallSite, plain: Bucket) -> None:
    shell = stocked(small, plain)
    for name in names("queue", [40]):
        plain.put(f"site-a/{name}", CONTENT, StorageClass="GLACIER")
    plain.client.put_bucket_lifecycle_configuration(Bucket=plain.name, LifecycleConfiguration={"Rules": OTHERS})
    found = shell("retention", "--json", code=0).json
    (row,) = (one for one in found["rows"] if one["component"] == "queue")
    assert (row["backups"], row["verified_good"], found["state"]) == (11, 0, "bad")
    assert len(row["holes"]) == 2
    assert any(fact["label"] == "archived" and "3 to 5 hours" in fact["value"] for fact in row["findings"])
    said = " ".join(fact["value"] for fact in found["findings"])
    assert "removes it after 30 days; kept for 90 days" in said
    assert "does not have the declared tiers" in said
    text = shell("retention", code=0).out
    assert "verified good of at least 3" in " ".join(text.split())


def bucketed(**more: Any) -> tuple[Site, S3Config]:
    """A site with the guide's bucket."""
    source = S3Config(name="s3", bucket="pacs-bridge-backup")
    return Site(sources=(source,), **more), source


def test_e5_no_rule_that_s3_refuses_is_made_of_any_tiers() -> None:
    site, source = bucketed()
    found = tiers.tiers(site, source)
    queue = next(rule for rule in found.rules if rule["ID"].endswith(".queue"))
    assert queue["Transitions"] == [{"Days": 30, "StorageClass": "GLACIER"}], "the guide's 7 days are refused"
    assert any("before 30 days" in fact.value for fact in found.findings if fact.label == "queue")
    for days in (1, 7, 29, 30, 31, 59, 60, 90, 365):
        for more in (1, 10, 29, 30, 31, 400):
            hot, warm, end = (86400.0 * (days + n * more) for n in range(3))
            ages = Ages(hot=hot, warm=warm, archive=end, total=end)
            of, bucket = bucketed(retention=RetentionConfig(queue=ages))
            assert list(tiers.problems(tiers.tiers(of, bucket).rules)) == [], (days, more)
    guides = {
        "ID": "queue_lifecycle",
        "Transitions": [{"Days": 7, "StorageClass": "STANDARD_IA"}, {"Days": 30, "StorageClass": "GLACIER"}],
        "Expiration": {"Days": 90},
    }
    assert [problem.partition(": ")[2] for problem in tiers.problems([guides])] == [
        "STANDARD_IA after 7 days: S3 wants 30",
        "GLACIER 23 days after STANDARD_IA: S3 wants 30",
    ]


def test_e6_an_archive_that_is_slower_than_the_rto_is_told() -> None:
    site, source = bucketed()
    (told,) = (f.value for f in tiers.tiers(site, source).findings if f.label == "queue" and "thaw" in f.value)
    assert "3 to 5 hours (Standard)" in told
    assert "slower than the RTO of 15:00" in told


def test_the_limits_of_s3_are_looked_at_before_anything_is_sent() -> None:
    many = [{"ID": f"r{n}", "Filter": {"Prefix": f"{n}/"}} for n in range(1001)]
    assert "1,001 rules" in next(tiers.problems(many))
    said = list(tiers.problems([{"ID": "x" * 256}, {"ID": "a"}, {"ID": "a", "Filter": {"Prefix": "p" * 1025}}]))
    assert [any(word in problem for problem in said) for word in ("two rules", "255", "1024")] == [True] * 3
    early = {"ID": "e", "Transitions": [{"Days": 90, "StorageClass": "GLACIER"}], "Expiration": {"Days": 90}}
    assert list(tiers.problems([early])) == ["rule e: it expires after 90 days, before its last transition"]


def test_a_replica_below_a_prefix_is_never_given_a_rule() -> None:
    replica = LitestreamConfig(name="replica", s3=BucketConfig(bucket="pacs-bridge-backup", prefix="queue"))
    source = S3Config(name="s3", bucket="pacs-bridge-backup")
    site = Site(sources=(source, replica))
    found = tiers.tiers(site, source)
    assert not any(rule["Filter"]["Prefix"].startswith("queue") for rule in found.rules)
    assert any(fact.state == "bad" and "replica" in fact.value for fact in found.findings)
    whole = {"ID": "all", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 3650}}
    assert any("removes files of the replica" in fact.value for fact in tiers.others_findings(site, source, [whole]))
    made, findings = tiers.google(site, source)
    assert "queue/" not in json.dumps(made)
    assert findings


def test_the_same_tiers_for_google_have_the_guides_days(small: SmallSite) -> None:
    shown = json.loads(sited(small)("lifecycle", "--gcs", code=0).out)["lifecycle"]["rule"]
    queue = [rule for rule in shown if rule["condition"]["matchesPrefix"] == ["queue/"]]
    does = [rule["action"].get("storageClass", rule["action"]["type"]) for rule in queue]
    assert does == ["NEARLINE", "COLDLINE", "Delete", "Delete", "AbortIncompleteMultipartUpload"]
    assert [rule["condition"].get("age") for rule in queue] == [7, 30, 90, None, 7]
    assert sited(small)("lifecycle", "--gcs", "--apply", "--json", code=2).error
    assert "no S3 source" in sited(small)("lifecycle", "--apply", "--yes", "--json", code=2).error["message"]


def test_rules_of_old_are_kept_in_the_form_that_filters_allow(small: SmallSite, plain: Bucket) -> None:
    of = context(sited(small, section(plain)))
    old = {"ID": "old", "Status": "Enabled", "Prefix": "tmp/", "Expiration": {"Days": 3}}
    plain.client.put_bucket_lifecycle_configuration(Bucket=plain.name, LifecycleConfiguration={"Rules": [old]})
    lifecycle.apply(of.site, lifecycle.compare(of.site, lifecycle.buckets(of.site)[0]), of.state, Authority())
    (kept,) = (rule for rule in rules(plain) if rule["ID"] == "old")
    assert tiers.prefix_of(kept) == "tmp/"
    assert kept["Expiration"] == {"Days": 3}
