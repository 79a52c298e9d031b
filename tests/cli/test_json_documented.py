"""docs/cli-json.md is the whole truth: real output has no key and no type that it does not name."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import Shell, risky, until, with_site
from tests.runs.small_site import SmallSite
from tests.sources.make_replica import VERSIONS, golden

TEXT = (Path(__file__).parents[2] / "docs/cli-json.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| .*\|$")


def tables() -> dict[str, dict[str, str]]:
    """Type by key, by table."""
    found: dict[str, dict[str, str]] = {}
    for line in TEXT.splitlines():
        if line.startswith("#"):
            name = line.lstrip("# ")
            found[name] = {}
        elif row := ROW.match(line):
            found[name][row[1]] = row[2]
    return found


TABLES = tables()


def check(value: Any, table: str, *more: str) -> None:
    """Whether an object is as its table (and the ones beside it) say."""
    rows = {key: kind for name in (table, *more) for key, kind in TABLES[name].items()}
    assert value.keys() <= rows.keys(), (table, value.keys() - rows.keys())
    missing = {key for key in rows.keys() - value.keys() if "optional" not in rows[key]}
    assert not missing, (table, missing)
    for key, inside in value.items():
        of(inside, rows[key].removesuffix(", optional"), f"{table}.{key}")


def of(value: Any, kind: str, where: str) -> None:
    """Whether a value is of this type."""
    if " or " in kind:
        first, _, second = kind.partition(" or ")
        return of(value, second if value and isinstance(value[0], dict) else first, where)
    if kind.endswith("?"):
        return None if value is None else of(value, kind[:-1], where)
    if kind.startswith("["):
        assert isinstance(value, list), where
        for item in value:
            of(item, kind[1:-1], where)
        return None
    if kind.startswith("{"):
        assert isinstance(value, dict), where
        for item in value.values():
            of(item, kind[1:-1], where)
        return None
    if kind in TABLES:
        return check(value, kind)
    return plain(value, kind, where)


def plain(value: Any, kind: str, where: str) -> None:
    """Whether a value is of this simple type."""
    types: dict[str, Any] = {"text": str, "time": str, "integer": int, "boolean": bool}
    types |= dict.fromkeys(("seconds", "number"), (int, float))
    assert kind in types, (where, kind)
    assert isinstance(value, types[kind]), (where, kind, value)
    assert kind == "boolean" or not isinstance(value, bool), where
    if kind == "time":
        assert datetime.fromisoformat(value).utcoffset() is not None, where


def check_lines(lines: list[dict[str, Any]]) -> set[str]:
    """Every line of a followed run; its kinds."""
    for line in lines:
        kind = line["kind"].capitalize()
        check(line, kind, *(() if kind in ("Report", "Detached") else ("Line",)))
    return {line["kind"] for line in lines}


def test_documents_that_look(shell: Shell, small: SmallSite) -> None:
    risky(small)
    check(shell("catalog", "--json").json, "Catalog")
    backups = [*small.demo.good.values(), small.demo.corrupt]
    backups += [shell("catalog", "logs", "--json").json["backups"][0]["id"]]
    for backup in backups:
        check(shell("preview", backup, "--json").json, "Preview")
    check(shell("diff", small.demo.good["queue"], "--json").json, "Diff")
    check(shell("catalog", "--sets", "--json").json, "Sets")
    check(shell("plan", "full", "--json").json, "Plan")
    check(shell("plan", "full", "--carry-over", "--json").json, "Plan")
    check(shell("plan", "config", "--json").json, "Plan")
    check(shell("status", "--json").json, "Status")
    check(shell("site", "check", "--json").json, "Check")
    check(shell("preview", "nonsense", "--json").json, "Error")
    check(shell("verify", small.demo.good["queue"], small.demo.corrupt, "--json", code=6).json, "Verification")
    check(shell("prune", "--json").json, "Prune")
    check(shell("retention", "--json").json, "Retention")
    check(shell("audit", "show", "--json").json, "Audit")
    check(shell("audit", "verify", "--json").json, "AuditVerified")
    (small.root / "state/audit/000000000000.jsonl").write_text("no record\n")
    check(shell("audit", "verify", "--json", code=6).json, "AuditVerified")


def test_backups_that_are_made_and_that_fail(small: SmallSite, tmp_path: Path) -> None:
    shell = with_site(small, sources=[{"kind": "local", "name": "own", "path": str(tmp_path)}])
    small.queue.unlink()
    check(shell("backup", "config", "queue", "--json", code=3).json, "Made")


def test_who_holds_the_site(shell: Shell, small: SmallSite) -> None:
    (held,) = held_by(shell, small)
    assert held["what"] == "sh"


def held_by(shell: Shell, small: SmallSite) -> list[dict[str, Any]]:
    """The holders while a command has the site."""
    os.mkfifo(small.root / "fifo")
    process = shell.start("lock", "exec", "--", "sh", "-c", f"touch {small.root}/has; read _ <{small.root}/fifo")
    until((small.root / "has").exists)
    found = shell("lock", "show", "--json").json
    check(found, "Locks")
    check(shell("status", "--json").json, "Status")
    (small.root / "fifo").write_text("\n")
    process.communicate(timeout=60)
    (small.root / "fifo").unlink()
    (small.root / "has").unlink()
    return list(found["locks"])


def test_documents_of_a_site_in_trouble(small: SmallSite, tmp_path: Path) -> None:
    shell = with_site(
        small, sources=[{"kind": "local", "name": "gone", "path": str(tmp_path / "gone")}], owner="nobody-such"
    )
    check(shell("catalog", "--json").json, "Catalog")
    check(shell("status", "--json").json, "Status")
    check(shell("site", "check", "--json").json, "Check")
    check(with_site(small, soak="soon")("site", "check", "--json").json, "Check")


def test_documents_of_a_site_with_a_replica(small: SmallSite, tmp_path: Path) -> None:
    roots = [golden(version, make_dir(tmp_path / version))[0] for version in VERSIONS]
    for path in roots[0].glob("generations/*/snapshots/*"):
        path.unlink()
    sources = [{"kind": "litestream", "name": root.parent.name, "path": str(root)} for root in roots]
    shell = with_site(small, sources=sources)
    found = shell("points", "--json", code=0).json
    check(found, "Points")
    check(shell("litestream", "lag", "--json", code=1).json, "Lags")
    check(shell("retention", "--json").json, "Retention")
    (tmp_path / "litestream.yml").write_text("dbs: []\n")
    checked = shell("litestream", "config", "--check", str(tmp_path / "litestream.yml"), "--json", code=1).json
    check(checked, "LitestreamCheck")
    assert found["points"]
    assert found["lost"]
    check(shell("catalog", "--json").json, "Catalog")
    made = shell("plan", "queue", "--at", found["points"][1]["at"], "--json", code=0).json
    check(made, "Plan")
    assert made["backups"][0]["id"] == found["points"][1]["id"]
    assert found["points"][1]["at"] in made["backups"][0]["reached"]


def make_dir(path: Path) -> Path:
    path.mkdir()
    return path


def test_runs_their_lines_and_reports(shell: Shell, small: SmallSite) -> None:
    risky(small)
    good = shell("restore", "--yes", "--plan", shell.plan("full"), "--json", code=0).lines
    seen = check_lines(good)
    check(shell("rollback", "latest", "--json", code=5).json, "Unarmed")
    (small.control / "refuse-start").touch()
    seen |= check_lines(shell("restore", "--yes", "--plan", shell.plan("config"), "--json", code=4).lines)
    check(shell("report", "--json").json, "Report")
    check(shell("status", "--json").json, "Status")
    (small.control / "refuse-start").unlink()
    seen |= check_lines(shell("rollback", "latest", "--json", code=0).lines)
    seen |= check_lines(shell("attach", "--json", code=1).lines)
    check(shell("report", "--json").json, "Report")
    check(shell("runs", "--json").json, "Runs")
    kinds = "planned resumed began asked answered passed failed effect sealed undone ended report"
    assert set(kinds.split()) <= seen


def test_lines_of_a_run_that_takes_its_time(small: SmallSite) -> None:
    shell = with_site(small, soak="2.5s")
    assert "progress" in check_lines(shell("restore", "--yes", "--plan", shell.plan("config"), "--json", code=0).lines)


@pytest.mark.parametrize("name", ["Detached", "Progress", "Damage", "Takeover"])
def test_the_tables_were_read(name: str) -> None:
    assert TABLES[name]
