"""The gap report, and what ``status`` tells of it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pacs_recover.keeping.reporting import contradictions
from pacs_recover.site import Ages, GitConfig, RetentionConfig, Site
from tests.cli.test_json_documented import check
from tests.keeping.stock import judge, local, names, sited, stock
from tests.runs.small_site import SmallSite
from tests.sources.make_replica import golden


def row(found: dict[str, Any], component: str, source: str = "local") -> dict[str, Any]:
    """One component in one source."""
    (wanted,) = (one for one in found["rows"] if (one["component"], one["source"]) == (component, source))
    return dict(wanted)


def test_what_is_kept_against_what_is_declared(small: SmallSite, tmp_path: Path) -> None:
    root = tmp_path / "backups"
    ages = [0, 1, 2, 3, 10, 11, 40]
    stock(root, names("queue", ages))
    shell = sited(small, local(root))
    judge(shell, lambda one: None if (datetime.now(UTC) - one.taken_at).days == 40 else True)
    found = shell("retention", "--json", code=0).json
    check(found, "Retention")
    queue = row(found, "queue")
    assert (queue["backups"], queue["verified_good"], queue["keeps_seconds"]) == (7, 6, 90 * 86400)
    assert [one["after"] < one["before"] for one in queue["holes"]] == [True, True]
    days = datetime.fromisoformat(queue["lost_at"]) - datetime.fromisoformat(queue["oldest"])
    assert days.days == 90
    assert queue["next_lost"].startswith("queue/")
    assert {fact["label"]: fact["value"] for fact in found["findings"]}["certs"] == "no backup in any source"
    assert found["state"] == "bad"
    text = " ".join(shell("retention", code=0).out.split())
    assert "2 holes, the longest of 29 days" in text
    assert "no backup in any source" in text


def test_the_newest_that_is_late_is_told_with_what_it_keeps_from_going(small: SmallSite, tmp_path: Path) -> None:
    stock(tmp_path / "backups", names("config", [3, 4, 5, 6]))
    shell = sited(small, local(tmp_path / "backups"))
    judge(shell)
    said = {fact["label"]: fact for fact in row(shell("retention", "--json").json, "config")["findings"]}
    assert said["newest"]["state"] == "bad"
    assert "nothing is pruned" in said["newest"]["value"]


def test_e2_a_replica_that_does_not_reach_back_as_declared_is_told(small: SmallSite, tmp_path: Path) -> None:
    root, _ = golden("0.5", tmp_path)
    ages = {"hot": "20000d", "warm": "20001d", "archive": "20002d", "total": "20002d"}
    shell = sited(small, {"kind": "litestream", "name": "replica", "path": str(root)}, queue=ages)
    (fact,) = row(shell("retention", "--json", code=0).json, "queue", "replica")["findings"]
    assert fact["state"] == "warn"
    assert "of 20,000 days" in fact["value"]
    assert "litestream config --check" in fact["value"]


def test_e1_what_a_number_of_backups_means_is_said_in_days() -> None:
    bare = {fact.label: (fact.state, fact.value) for fact in contradictions(Site())}
    assert bare["config"][1] == "the newest 30 are a number: at one every 24 h they reach back 30 days"
    every = [fact for fact in contradictions(Site()) if fact.label == "config"]
    assert [fact.state for fact in every] == ["warn", "ok"]
    assert "no Git source" in every[0].value
    git = Site(sources=(GitConfig(name="git", repository="/x"),))
    assert [fact.state for fact in contradictions(git) if fact.label == "config"] == ["ok"]
    few = Site(retention=RetentionConfig(certs=Ages(total=10 * 86400.0)))
    assert any(fact.label == "certs" and "fewer than the minimum of 3" in fact.value for fact in contradictions(few))


def test_site_check_has_the_policys_own_contradictions(small: SmallSite) -> None:
    found = sited(small)("site", "check", "--json", code=0).json["host"]
    assert any(fact["label"] == "config" and "the newest 30 are a number" in fact["value"] for fact in found)


def test_status_tells_of_a_source_in_which_none_arrive_any_more(small: SmallSite, tmp_path: Path) -> None:
    root, other = tmp_path / "backups", tmp_path / "offsite"
    stock(root, names("config", [0, 9, 10]))
    shutil.copytree(root, other)
    shell = sited(small, local(root), local(other, "offsite"))
    assert not [fact for fact in shell("status", "--json").json["findings"] if "offsite" in fact["label"]]
    max(other.rglob("*.tar.gz")).unlink()
    (fact,) = (fact for fact in shell("status", "--json").json["findings"] if "offsite" in fact["label"])
    assert (fact["label"], fact["state"]) == ("config in offsite", "warn")
    assert "none arrive there" in fact["value"]
