"""The variables of a unit, compared with what its process really gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real_systemd import RealSystemd, needs_systemd
from tests.services.conftest import MakeUnit

FOREVER = "ExecStart=/bin/sleep 1000"


@needs_systemd
def test_the_environment_is_what_the_service_really_gets(
    make_unit: MakeUnit, real_systemd: RealSystemd, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    (tmp_path / "first.env").write_text("# a comment\nFROM_FILE='single $quoted'\nDB=\"first\"\nexport NO=1\n")
    (tmp_path / "second.env").write_text("DB=second \\\n  line  \nODD=a\\ b\\\n; not a comment\n")
    real_systemd.run(["systemctl", "set-environment", "SITE=Radiology 'North' $5"], check=True)
    unit = make_unit(
        f"Type=oneshot\nExecStart=/usr/bin/env -0\nStandardOutput=truncate:{seen}\nUser=daemon\n"
        'Environment=PLAIN=1 "WITH SPACE=no" "SPACED=a b\\t\\"c\\" `d` \\\\ $$e" EMPTY= UNICODE=Zürich GONE=1 KEPT=2\n'
        f"Environment=HASH=a#b;c\nEnvironmentFile={tmp_path}/first.env\nEnvironmentFile=-{tmp_path}/none.env\n"
        f"EnvironmentFile={tmp_path}/sec*.env\nUnsetEnvironment=GONE KEPT=3"
    )
    unit.start()
    real_systemd.run(["systemctl", "unset-environment", "SITE"], check=True)
    got = dict(entry.split("=", 1) for entry in seen.read_text().split("\0") if entry)
    known = unit.environment()
    assert known is not None
    ours = {"INVOCATION_ID", "SYSTEMD_EXEC_PID", "JOURNAL_STREAM", "SITE"}
    assert known == {name: value for name, value in got.items() if name not in ours}
    assert known["SPACED"] == 'a b\t"c" `d` \\ $$e'
    assert known["DB"].startswith("second ")
    assert "GONE" not in known
    assert known["KEPT"] == "2"


@needs_systemd
def test_variables_of_systemd_itself_are_known_too(make_unit: MakeUnit, real_systemd: RealSystemd) -> None:
    unit = make_unit(FOREVER)
    value = "Radiology 'North' $5 \"x\" \\ \t\nnext"
    real_systemd.run(["systemctl", "set-environment", f"SITE={value}"], check=True)
    known = unit.environment()
    real_systemd.run(["systemctl", "unset-environment", "SITE"], check=True)
    assert known is not None
    assert known["SITE"] == value


@needs_systemd
@pytest.mark.parametrize(
    "setting", ["EnvironmentFile=/no/such/file", "EnvironmentFile=-/proc/self", "PassEnvironment=NOBODY_KNOWS"]
)
def test_an_environment_that_cannot_be_read_in_full_is_unknown(make_unit: MakeUnit, setting: str) -> None:
    assert make_unit(f"{FOREVER}\n{setting}\nEnvironment=A=1").environment() is None
