"""``prune`` from outside: what is shown is what goes, only what was judged goes, and what is needed stays."""

from __future__ import annotations

import os
import re
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pacs_recover.audit import checking
from pacs_recover.site import RetentionConfig
from tests.cli.shell import Gate, Shell, edited
from tests.keeping.stock import applied, context, judge, left, local, names, proposed, sited, stock
from tests.runs.small_site import SmallSite

OLD = names("queue", range(91, 101))
YOUNG = names("queue", range(6))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with queue backups of which ten are too old."""
    stock(tmp_path / "backups", names("queue", [*range(6), *range(91, 101)]))
    return tmp_path / "backups"


def test_what_is_shown_goes_with_apply_and_its_manifest_with_it(small: SmallSite, root: Path) -> None:
    shell = sited(small, local(root))
    judge(shell)
    before = {path.name for path in root.rglob("*")}
    shown = shell("prune", code=0)
    assert shown.out.count("✗ goes") == 10
    assert "kept for 90 days" in shown.out
    assert "prune --apply" in shown.err
    assert {path.name for path in root.rglob("*")} == before
    told = shell("prune", "queue", "--json", code=0).json
    assert (told["applied"], told["going"], told["removed"]) == (False, 10, 0)
    done = shell("prune", "--apply", code=0)
    assert done.out.count("✓ removed") == 10
    assert len(left(root)) == 6
    assert len(list(root.rglob("*.manifest.json"))) == 6
    assert shell("prune", "--apply", "--json", code=0).json["removed"] == 0
    records = [one for one in checking.records(context(shell).state.audit.home) if one.what == "prune"]
    assert len(records) == 20, "that it begins, and how it went"
    assert {one.outcome.partition(":")[0] for one in records} == {"began", "removed"}


def test_a11_e10_a_failed_backup_removes_nothing(small: SmallSite, root: Path) -> None:
    shell = sited(small, local(root))
    empty = root / names("queue", [0], datetime.now(UTC) + timedelta(seconds=59))[0]
    empty.write_bytes(b"")
    judge(shell, lambda one: bool(one.size))
    found = shell("prune", "--apply", "--json", code=0).json
    assert (found["going"], found["removed"]) == (0, 0)
    assert {one["rule"] for one in found["decisions"] if one["rule"] not in ("age",)} == {"blocked"}
    empty.unlink()
    assert shell("prune", "--json", code=0).json["going"] == 10
    max(root.rglob("*.db.gz")).unlink()
    found = shell("prune", "--json", code=0).json
    assert found["going"] == 0, "the newest is a day old: what should have come since did not"


def test_e10_a_backup_that_the_audit_says_failed_removes_nothing_until_one_is_stored(
    small: SmallSite, root: Path
) -> None:
    shell = sited(small, local(root))
    judge(shell)
    of = context(shell)
    told = [("began", 10), ("failed: the disk is full", 0), ("stored", 0), ("began", 0), ("stored", 10), ("stored", 10)]
    for said, going in told:
        of.state.audit.note(
            "backup", "queue/20261110_020000@local" if said == "stored" else "queue", said, of.site.name
        )
        assert len(proposed(shell).going) == going, said
    of.state.audit.note("backup", "config", "failed: no such directory", of.site.name)
    assert len(proposed(shell).going) == 10, "of another component"
    of.state.audit.note("backup", "queue", "failed: it is damaged", of.site.name)
    assert "failed: it is damaged" in shell("prune", code=0).out


def test_e1_forty_configurations_leave_thirty(small: SmallSite, tmp_path: Path) -> None:
    """All were written just now, as by a copy: the names' times count, and how many there are."""
    root = tmp_path / "backups"
    stock(root, names("config", [0, *range(40, 79)]))
    shell = with_history(small, root, tmp_path)
    judge(shell)
    shell("prune", "--apply", code=0)
    assert left(root) == set(names_left(root, 30))
    assert len(left(root)) == 30


def with_history(small: SmallSite, root: Path, tmp_path: Path) -> Shell:
    """A site whose Git history has the configuration of a year ago."""
    import subprocess

    home = tmp_path / "history"
    home.mkdir()
    (home / "config.yaml").write_text("name: x\n")
    old = f"{datetime.now(UTC) - timedelta(days=365):%Y-%m-%dT%H:%M:%SZ}"
    env = {**os.environ, "GIT_AUTHOR_DATE": old, "GIT_COMMITTER_DATE": old}
    who = ("-c", "user.name=t", "-c", "user.email=t@example")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(home), *words], check=True, env=env)
    return sited(small, local(root), {"kind": "git", "name": "git", "repository": str(home)})


def names_left(root: Path, number: int) -> list[str]:
    return sorted(left(root))[-number:]


def test_what_changed_since_it_was_judged_stays_and_the_rest_goes(small: SmallSite, root: Path) -> None:
    shell = sited(small, local(root))
    judge(shell)
    proposal = proposed(shell)
    paths = [Path(one.backup.key) for one in proposal.going]
    paths[0].write_bytes(b"another content of it")
    os.replace(shutil.copy(paths[1], root / "other"), paths[1])
    paths[2].unlink()
    paths[3].unlink()
    paths[3].symlink_to(paths[4])
    removed = applied(shell, proposal)
    said = [one.said for one in removed if not one.ok]
    assert [one.ok for one in removed] == [False] * 4 + [True] * 6
    assert ["not what was judged" in one for one in said] == [True, True, False, False]
    assert "was not there" in said[2]
    assert "only a link" in said[3]
    assert [path.exists() for path in paths[:2]] == [True, True]
    assert shell("prune", "--apply", "--json").json["removed"] == 0, "what was exchanged is no longer verified"


@pytest.mark.needs("chattr", reason="it makes a file immutable")
def test_a_file_that_is_locked_stays(small: SmallSite, root: Path) -> None:
    import subprocess

    shell = sited(small, local(root))
    path = root / names("queue", [95])[0]
    path = next(one for one in root.rglob("*.db.gz") if one.name[:14] == path.name[:14])
    if subprocess.run(["chattr", "+i", str(path)], capture_output=True).returncode:
        pytest.skip("this filesystem locks no files")
    try:
        judge(shell)
        done = shell("prune", "--apply", code=0)
        assert "locked: the file is immutable" in done.out
        assert path.exists()
        assert len(left(root)) == 7
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


def test_a_legal_hold_of_the_site_keeps_what_it_names(small: SmallSite, root: Path) -> None:
    held = names("queue", [95])[0].partition("_")[2][:8]
    shell = sited(small, local(root), hold=[f"queue/{held}*"])
    judge(shell)
    found = shell("prune", "--json", code=0).json
    assert found["going"] == 9
    (stays,) = (one for one in found["decisions"] if one["rule"] == "held")
    assert stays["backup"].startswith(f"queue/{held}")
    assert "legal hold" in stays["why"]


def test_what_a_plan_or_an_unfinished_run_names_stays(small: SmallSite, tmp_path: Path) -> None:
    root = tmp_path / "backups"
    shutil.copytree(small.root / "backups", root)
    wanted = Path(small.find(small.demo.good["config"]).key)
    old = root / names("config", [200])[0]
    shutil.copy(wanted, old)
    stock(root, names("config", [0, 0.01, 0.02, *range(201, 206)]))
    gate = Gate(small)
    slow = gate.shell.options[1]
    file = edited(
        small, sources=[local(root)], retention={"config": {"total": "90d", "last": None}}, start_timeout="60s"
    )
    shell = Shell(small, ("--site", str(file), "--state", str(small.root / "state")))
    assert slow
    judge(shell)
    id = next(one.id for one in context(shell).catalog().backups if one.key == str(old))
    plan = shell.plan(backup=id)
    found = shell("prune", "--json", code=0).json
    assert {one["backup"]: one["rule"] for one in found["decisions"]}[id] == "held"
    going = shell.start("restore", "--yes", "--plan", plan, "--json")
    gate.reached()
    found = shell("prune", "--json", code=0).json
    held = next(one for one in found["decisions"] if one["backup"] == id)
    assert "has not ended" in held["why"]
    assert "is going on" in shell("prune", "--apply", "--json", code=5).error["message"]
    assert len(left(root / "config")) > 10
    gate.open()
    going.communicate(timeout=60)
    found = shell("prune", "--apply", "--json", code=0).json
    assert not old.exists(), "nobody needs it any more"
    assert found["removed"] >= 6


def test_what_runs_set_aside_goes_when_it_is_old_and_no_rollback_needs_it(small: SmallSite) -> None:
    shell = Shell(
        small,
        ("--site", str(edited(small, retention={"aside": 0.001, "minimum": 1})), "--state", str(small.root / "state")),
    )
    for _ in range(2):
        shell.restored("config")
    judge(shell)
    found = shell("prune", "config", "--json", code=0).json
    asides = [one for one in found["decisions"] if one["source"] == "aside"]
    assert [one["goes"] for one in asides] == [False, True], asides
    assert "rollback needs it" in asides[0]["why"]
    before = small.fingerprint()
    done = shell("prune", "config", "--apply", code=0)
    assert done.out.count("✓ removed") == 1
    listed = [one for one in shell("catalog", "config", "--json", code=0).json["backups"] if one["source"] == "aside"]
    assert [one["id"] for one in listed] == [asides[0]["backup"]]
    assert not list(small.live.rglob("pruned-*"))
    assert small.fingerprint() == before
    plan = shell("rollback", "latest", "--yes", "--json", code=5).json["plan"]["plan_id"]
    shell("rollback", "latest", "--yes", "--plan", plan, code=0)


def test_a_source_that_cannot_be_read_in_whole_lets_nothing_go(small: SmallSite, root: Path) -> None:
    shell = sited(small, local(root), local(root.parent / "missing", "offsite"))
    judge(shell)
    (root / "queue" / "broken_20260101_020000.db.gz").symlink_to(root / "nowhere")
    done = shell("prune", "--apply", code=3)
    assert "could not be read in whole" in " ".join(done.out.split())
    assert "nothing of it goes" in done.err
    assert len(left(root)) == 16


def test_ctrl_c_says_how_many_are_gone_and_lets_the_site_go(small: SmallSite, root: Path) -> None:
    stock(root, names("queue", [91.01 + n / 24 for n in range(1, 240)]))
    shell = sited(small, local(root))
    judge(shell)
    going = shell.start("prune", "--apply")
    assert going.stdout
    while "✓ removed" not in going.stdout.readline():
        assert going.poll() is None
    going.send_signal(signal.SIGINT)
    _, said = going.communicate(timeout=60)
    assert going.returncode == 130
    gone = int(re.search(r"interrupted: (\d+) backups? removed", said)[1])  # type: ignore[index]
    assert 1 <= gone < 240
    assert abs(len(left(root)) - (6 + 10 + 239 - gone)) <= 1, "but for the one that it was about"
    assert shell("lock", "show", "--json", code=0).json["locks"] == []
    assert shell("prune", "--apply", "--json", code=0).json["removed"] > 0


def test_a_component_that_there_is_not_is_named(small: SmallSite) -> None:
    assert "one of: config" in sited(small)("prune", "confg", "--json", code=2).error["hint"]


def test_a_shorter_tier_here_needs_another_source_that_has_it(small: SmallSite, root: Path) -> None:
    other = root.parent / "offsite"
    shutil.copytree(root, other)
    stock(root, names("queue", range(20, 30)))
    there = [path for path in (root / "queue").iterdir() if not (other / "queue" / path.name).exists()]
    for path in sorted(there)[:8]:
        shutil.copy(path, other / "queue")
    shell = sited(small, local(root), local(other, "offsite"), tiers={"local": "hot"})
    judge(shell)
    found = shell("prune", "--json", code=0).json
    rules = [one["rule"] for one in found["decisions"] if one["source"] == "local"]
    assert rules.count("past") == 10 + 4, "too old for all, and the four that the other source has as well"
    assert rules.count("elsewhere") == 6


def test_two_years_of_real_files_leave_the_guides_table(small: SmallSite, tmp_path: Path) -> None:
    root, guide, now = tmp_path / "backups", RetentionConfig(), datetime.now(UTC)
    every = {
        "config": [*range(50), *range(355, 375), 729],
        "certs": range(0, 730, 7),
        "queue": [age / 2 for age in range(2 * 110)],
        "logs": [0, *range(1, 730, 4), *range(363, 368)],
    }
    for component, ages in every.items():
        for one in names(component, ages, now):
            (root / one).parent.mkdir(parents=True, exist_ok=True)
            (root / one).write_bytes(b"x")
            day = now - timedelta(days=1)
            os.utime(root / one, (day.timestamp(), day.timestamp()))
    shell = with_history(small, root, tmp_path)
    (root / names("logs", [0], now)[0]).touch()
    judge(shell)
    removed = applied(shell, proposed(shell, now=now))
    assert all(one.ok for one in removed)
    edge = now - timedelta(days=365)
    history = [age for age in every["config"] if age >= 365]
    want = {
        *names("config", [*every["config"][:30], *history], now),
        *names("certs", every["certs"], now),
        *names("queue", [age for age in every["queue"] if age < 90], now),
        *names("logs", [age for age in every["logs"] if end_of_day(now - timedelta(days=age, minutes=1)) >= edge], now),
    }
    assert every["certs"][-1] * 86400 < (guide.certs.total or 0)
    assert left(root) == want


def end_of_day(moment: datetime) -> datetime:
    """When a log of that day was ended: its name says no hour, and it was copied since."""
    return moment.replace(hour=23, minute=59, second=59)
