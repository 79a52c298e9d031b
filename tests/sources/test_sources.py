"""Which sources a site has."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pacs_recover import catalog
from pacs_recover.site import LocalConfig, Site
from pacs_recover.sources import sources_of
from tests.sources.places import Run, backup_file

TAKEN = datetime(2026, 11, 10, 2, tzinfo=UTC)


def test_a_site_has_its_own_sources_what_was_set_aside_and_files_named_by_path() -> None:
    assert [(source.name, source.kind) for source in sources_of(Site(), [])] == [
        ("local", "local"),
        ("aside", "aside"),
        ("file", "file"),
    ]


def test_each_source_reads_names_in_its_own_time_zone_or_the_sites(tmp_path: Path) -> None:
    for name in ("a", "b"):
        backup_file(tmp_path / name / "queue_20261110_020000.db.gz", TAKEN)
    own = (
        LocalConfig(name="a", path=tmp_path / "a", timezone="Asia/Tokyo"),
        LocalConfig(name="b", path=tmp_path / "b"),
    )
    found = catalog.read(sources_of(Site(timezone="Europe/Berlin", sources=own), []))
    hours = {backup.id: backup.taken_at.strftime("%d %H") for backup in found.backups}
    assert hours == {"queue/20261110_020000@a": "09 17", "queue/20261110_020000@b": "10 01"}
    named = catalog.find(found, str(tmp_path / "b/queue_20261110_020000.db.gz"))
    assert named.taken_at.hour == 1


def test_what_the_journals_set_aside_is_in_the_catalog_with_the_rest(tmp_path: Path) -> None:
    run = Run(tmp_path, "20261110-020000-abcd", TAKEN)
    backup_file(tmp_path / "live/pacs_bridge/config.yaml", TAKEN)
    run.sets_aside("config", tmp_path / "live/pacs_bridge")
    backup_file(tmp_path / "backup/config_20261109_020000.tar.gz", TAKEN)
    site = Site(timezone="UTC", sources=(LocalConfig(name="local", path=tmp_path / "backup"),))
    found = catalog.read(sources_of(site, [run.journal]))
    assert [backup.id for backup in found.backups] == ["config/20261110_020000@aside", "config/20261109_020000@local"]
    newest = catalog.newest(found, "config")
    assert newest
    assert newest.source == "local"
