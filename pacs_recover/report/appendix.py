"""How a drill's report can be read by an auditor: which provision asks for what, and where it is answered here."""

from __future__ import annotations

MAPPING = (
    (
        "45 CFR 164.308(a)(7)(ii)(D)",
        "Testing and revision of contingency plans: this report is a record of one test of the recovery procedures "
        "(Run, Steps, Functional validation) and of what is to be revised (Findings, Improvement actions). Whether "
        "tests are periodic is shown by the history of reports, not by one of them.",
    ),
    (
        "45 CFR 164.312(b)",
        "Audit controls: each step, its time and its evidence were written to the run's journal before the next one "
        "began (Steps); every line has a checksum. It covers this recovery tool, not the activity of other systems.",
    ),
    (
        "45 CFR 164.312(c)(1), (2)",
        "Integrity: the backups are named with the SHA-256 of what was read (Backups); the checks are those of the "
        "formats, the database and the certificates (Checks). A hash made at the drill cannot show what happened to a "
        "backup before it.",
    ),
    (
        "NIST SP 800-34 Rev. 1, 3.5.1",
        "Test areas: recovery on another platform from backup (Steps), connectivity of the interfaces that were tried "
        "(Functional validation), performance (Times). Notification and the return to normal operation "
        "were not tested.",
    ),
    (
        "NIST SP 800-84, after-action report",
        "Background (Run, Drill), observations of those who took part (Observations), recommendations for the plan "
        "(Improvement actions), by whom and until when (Sign-off).",
    ),
)
"""Provisions by their reference. Sources: 45 CFR Part 164 Subpart C; NIST SP 800-34 Rev. 1 (2010); SP 800-84 (2006)."""
CAVEAT = (
    "For orientation",
    "This page is meant to support an assessment. It is no statement of compliance: that depends on the organisation's "
    "own risk analysis, plans and records.",
)
SIGNATURE = "Name: ____________________  Date: ____________  Signature: ____________________"
SIGN_OFF = (("Led by", SIGNATURE), ("Reviewed by", SIGNATURE), ("Actions due", "____________________"))
