"""A small site whose backups lie in a bucket, for tests through the real command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pacs_recover.formats.suffixes import RECORDS
from tests.cli.shell import Shell, with_site
from tests.runs.small_site import SmallSite
from tests.sources.s3_proxy import Fault, Meddle, Request
from tests.sources.s3_server import Bucket

LIVE = ("config", "certs", "queue")


def stored(small: SmallSite, component: str) -> Path:
    """The file of the newest good backup of a component."""
    home = Path(yaml.safe_load(small.demo.site_file.read_text())["sources"][0]["path"])
    said = small.demo.good[component].partition("/")[2].partition("@")[0]
    there = (path for path in (home / component).iterdir() if not path.name.endswith(RECORDS))
    return next(path for path in there if said in path.name)


def upload(small: SmallSite, bucket: Bucket, *components: str, **how: Any) -> dict[str, str]:
    """Put the good backups into the bucket as the guide does; their keys by component."""
    keys = {}
    for name in components or LIVE:
        path = stored(small, name)
        keys[name] = f"site-a/{name}/{path.name}"
        bucket.put(keys[name], path.read_bytes(), **how)
    return keys


def section(bucket: Bucket, name: str = "s3", **more: Any) -> dict[str, Any]:
    """How the site file names it."""
    own = {"kind": "s3", "name": name, "bucket": bucket.name, "prefix": "site-a/", "endpoint": bucket.proxy.url}
    return {**own, "addressing": "path", **more}


def on(small: SmallSite, *sources: dict[str, Any]) -> Shell:
    """``pacs-recover`` on the site with these sources alone."""
    return with_site(small, sources=list(sources))


def of_downloads(bucket: Bucket, key: str, after: int, fault: Meddle) -> Meddle:
    """Do this to every download of an object but the first ones: those of the plan and of its check."""
    seen: list[Request] = []

    def meddle(request: Request) -> Fault | None:
        if request.method != "GET" or not request.path.partition("?")[0].endswith(key):
            return None
        seen.append(request)
        return fault(request) if len(seen) > after else None

    return meddle


@contextmanager
def untouched(small: SmallSite) -> Iterator[None]:
    """Nothing live changes, and nothing is asked of the service."""
    before = small.fingerprint()
    yield
    assert small.fingerprint() == before
    assert small.calls() == []
    assert small.running()
