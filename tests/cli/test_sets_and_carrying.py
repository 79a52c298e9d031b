"""Recovery sets, carrying over and predicted times from the command line."""

from __future__ import annotations

from datetime import datetime

from tests.cli.shell import Shell, risky
from tests.runs.small_site import SmallSite, rows


def test_sets_are_proposed_and_plan_at_takes_one(shell: Shell, small: SmallSite) -> None:
    proposed = shell("catalog", "--sets", "--json", code=0).json["sets"]
    assert 1 < len(proposed) <= 5
    newest = [backup["id"] for backup in shell("plan", "full", "--json", code=0).json["backups"]]
    assert newest == [member["backup"] for member in proposed[0]["members"]]
    corrupt = small.demo.corrupt  # at some hours of the day it is in one of them
    second = next(one for one in proposed[1:] if corrupt not in [member["backup"] for member in one["members"]])
    plan = shell("plan", "full", "--at", second["anchor"], "--json", code=0).json
    assert [backup["id"] for backup in plan["backups"]] == [member["backup"] for member in second["members"]]
    assert [backup["skew_seconds"] for backup in plan["backups"]] == [m["skew_seconds"] for m in second["members"]]
    assert plan["anchor"] == second["anchor"]
    for member in second["members"]:
        taken, anchor = datetime.fromisoformat(member["taken_at"]), datetime.fromisoformat(second["anchor"])
        assert member["skew_seconds"] == (anchor - taken).total_seconds() >= 0
    text = shell("catalog", "--sets", code=0).out
    assert all(member["backup"] in text for one in proposed for member in one["members"])
    assert "before the set's time" in shell("plan", "full", code=0).out
    shell("catalog", "config", "--sets", "--json", code=2)


def test_what_only_the_live_queue_has_is_carried_over_unattended(shell: Shell, small: SmallSite) -> None:
    risky(small)
    assert "--carry-over" in shell("plan", "--help", code=0).out
    without = shell("plan", "queue", "--json", code=0).json
    assert (without["carry_over"], without["carry_over_seconds"], without["predicted_seconds"]) == (False, None, None)
    plan = shell("plan", "queue", "--carry-over", "--json", code=0).json
    assert plan["carry_over"] is True
    assert plan["carry_over_seconds"] >= 0
    assert (plan["replay_risk"]["lost_since"], plan["replay_risk"]["carried"]) == (
        0,
        without["replay_risk"]["lost_since"],
    )
    assert "would be carried over" in shell("plan", "queue", "--carry-over", code=0).out
    shell("plan", "config", "--carry-over", "--json", code=2)
    shell("restore", "--carry-over", "--yes", "--plan", without["plan_id"], "--json", code=2)
    lines = shell("restore", "--carry-over", "--yes", "--plan", plan["plan_id"], "--json", code=0).lines
    assert lines[-1]["carry_over_seconds"] > 0
    assert small.calls() == ["stopped", "started"]
    total = sum(rows(small.queue).values())
    backup = sum(t["rows"] for t in shell("preview", plan["backups"][0]["id"], "--json", code=0).json["tables"])
    assert total == backup + plan["replay_risk"]["carried"]
    assert "carrying messages over" in shell("report", code=0).out


def test_a_second_plan_says_how_long_it_will_take_by_the_first_run(shell: Shell, small: SmallSite) -> None:
    small.on_start("sleep 0.2\n")  # or it is down for less than is told
    assert "is unknown: no such run went well yet" in shell("plan", "certs", code=0).out
    shell.restored("certs")
    plan, report = shell("plan", "certs", "--json", code=0).json, shell("report", "--json", code=0).json
    asked = {step["title"] for step in plan["steps"] if step["kind"] == "ask"}
    before = [s for s in report["steps"] if s["title"] not in asked and "stays up" not in s["title"]]
    assert plan["predicted_seconds"] == round(sum(step["seconds"] for step in before), 1)
    assert 0 < plan["predicted_downtime_seconds"] <= plan["predicted_seconds"]
    assert "by earlier runs" in shell("plan", "certs", code=0).out
    assert shell("plan", "queue", "--json", code=0).json["predicted_seconds"] is None
