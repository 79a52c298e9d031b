"""The blocks that only a drill's report has."""

from __future__ import annotations

from collections.abc import Iterator

from pacs_recover.report.appendix import CAVEAT, MAPPING, SIGN_OFF
from pacs_recover.report.blocks import Block, Facts, List, Row, Table
from pacs_recover.report.contract import Age, DrillReport
from pacs_recover.text import seconds

SANDBOXES = {
    "process": "a process of its own: copies for live files, a network of nothing but its own loopback",
    "container": "a container of its own: copies for live files, no network",
    "root": "a directory: files only, the service was not started",
}


def opening(drill: DrillReport) -> Iterator[Block]:
    """What comes before the times: who, where, and what was found."""
    yield Facts("Drill", tuple(_facts(drill)))
    findings = tuple(Row(f.state, (), f.label, f.value) for f in drill.findings)
    yield Table("Findings", ("State", "What", "Finding"), findings or (Row("ok", (), "none", ""),))


def _facts(drill: DrillReport) -> Iterator[tuple[str, str]]:
    yield "Restored into", SANDBOXES[drill.sandbox] + (f" ({drill.why})" if drill.why else "")
    yield "Participants", ", ".join(drill.participants) or "unattended: none recorded"
    equal = {True: "as it was", False: "NOT as it was", None: "not compared"}[drill.production_equal]
    yield "Production", f"{equal}: {drill.production}" if drill.production else equal
    yield "Afterwards", drill.removed or "the sandbox was not removed yet"


def closing(drill: DrillReport) -> Iterator[Block]:
    """What comes after the checks and backups."""
    results = tuple(Row(note.state, (), note.title, note.evidence) for note in drill.results)
    yield Table("Functional validation", ("State", "What", "Evidence"), results)
    yield Table("Age of the data against RPO", ("State", "Component", "Evidence"), tuple(map(_age, drill.ages)))
    yield List("Observations", drill.observations or ("none recorded",))
    yield List("Improvement actions", drill.actions or ("none recorded",))
    yield Facts("Sign-off", SIGN_OFF)
    yield Facts("Appendix: where an auditor finds what", (*MAPPING, CAVEAT))


def _age(age: Age) -> Row:
    old = f"{seconds(age.age_seconds)} when a loss of the site was assumed"
    if age.rpo_seconds is None:
        return Row("ok", (), age.component, f"{old}; no RPO is set")
    word = "met" if age.met else "MISSED"
    return Row("ok" if age.met else "warn", (), age.component, f"{old}; RPO {seconds(age.rpo_seconds)} {word}")
