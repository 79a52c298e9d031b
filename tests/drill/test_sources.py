"""A drill of a site whose backups lie in a bucket and in a replica that the real Litestream made."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.drill.conftest import Drilled
from tests.sources.make_replica import GOLDEN, VERSIONS
from tests.sources.s3_server import Bucket, credentials


@contextmanager
def kept_elsewhere(drilled: Drilled, into: Path) -> Iterator[tuple[str, str]]:
    """The site's backups lie in a bucket and a replica meanwhile, which do not change; the ids of certs and config."""
    with tarfile.open(GOLDEN / f"litestream-{VERSIONS['0.5']}.tar.xz") as packed:
        packed.extractall(into, filter="data")
    replica = next(path for path in (into, *into.rglob("*")) if (path / "ltx").is_dir())
    with credentials(), closing(Bucket()) as bucket:
        for path in (drilled.small.root / "backups").rglob("c*_*.tar.*"):
            bucket.put(str(path.relative_to(drilled.small.root / "backups")), path.read_bytes())
        before = bucket.state()
        s3 = msgspec.to_builtins(bucket.config()) | {"kind": "s3", "addressing": "path"}
        drilled.settings = {"sources": [s3, {"kind": "litestream", "name": "replica", "path": str(replica)}]}
        drilled.configure()
        certs, config = (drilled.small.demo.good[name].replace("@local", "@s3") for name in ("certs", "config"))
        yield certs, config
        assert bucket.state() == before


@pytest.mark.needs("bwrap", "setpriv", reason="a real sandbox")
def test_a_site_with_s3_and_litestream_is_drilled(drilled: Drilled, tmp_path: Path) -> None:
    with kept_elsewhere(drilled, tmp_path) as backups:
        code, report = drilled.run(drilled.arm(backups=backups))
    assert code == 0, report.failure
    assert {backup.source for backup in report.backups} == {"s3", "replica"}
    assert report.drill is not None
    assert any(finding.label == "Age of queue" for finding in report.drill.findings), "the replica is an old one"
