"""What a site is: its defaults, as data and back, its time zones, the file that is written and shown."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover import site
from pacs_recover.authority import Authority
from pacs_recover.errors import UsageError
from pacs_recover.site import CommandConfig, ContainerConfig, HealthConfig, LocalConfig, Site, SystemdConfig
from pacs_recover.site.checking import check
from pacs_recover.site.durations import duration, text
from pacs_recover.site.zones import HostZone

FULL = """\
name: Hospital Nord
live: {config: /srv/etc, config_file: bridge.yml, certs: /srv/tls, queue: /srv/q/queue.db, logs: /srv/log}
owner: bridge
group: hl7
services:
  - {kind: container, container: litestream, runtime: podman}
  - {kind: systemd, unit: pacs_bridge.service}
  - {kind: command, name: side, start: [/b/up], stop: [/b/down, -f], status: [/b/ok], environment: {A: b}}
validator: [/opt/x/bin/y, --check, "{config}"]
health: {url: "http://127.0.0.1:8081/health/ready", timeout: 2 min}
soak: 1.5
key_file: /root/k
timezone: Europe/Berlin
sources:
  - {name: near, kind: local, path: /b/near}
  - {name: far, kind: local, path: /b/far, timezone: UTC}
objectives: {full: {rto: 1h, rpo: 2d}}
sandbox: /srv/sandbox
staging: [/srv/a, /srv/b]
"""


def test_the_defaults_are_the_guides() -> None:
    default = Site()
    assert default.name == default.owner == default.group == "pacs_bridge"
    assert default.live.config / default.live.config_file == Path("/etc/pacs_bridge/config.yaml")
    assert default.live.queue == Path("/var/lib/pacs_bridge/queue.db")
    assert default.live.logs == Path("/var/log/pacs_bridge")
    assert default.services == (SystemdConfig(unit="pacs_bridge"),)
    assert default.sources == (LocalConfig(name="local", path=Path("/backup/pacs_bridge")),)
    assert default.key_file == Path("/root/.backup_key")
    assert {name: of.rto for name, of in default.objectives.items()} == {
        "config": 300, "certs": 300, "queue": 900, "logs": 1800, "full": 1800,
    }  # fmt: skip


def test_the_written_file_means_exactly_the_defaults() -> None:
    assert check(site.init_text()) == (Site(), [])


def test_the_written_file_names_every_key() -> None:
    tree = yaml.safe_load(site.TEMPLATE)
    assert list(tree) == list(Site.__struct_fields__)
    assert list(tree["live"]) == list(Site().live.__struct_fields__)


def test_its_commented_examples_are_right_too() -> None:
    tree = yaml.safe_load(site.TEMPLATE)
    lines = site.TEMPLATE.splitlines()
    start = lines.index("services:") + 1
    shown = [line.replace("# ", "", 1) for line in lines[start:] if line.startswith("  ")][:8]
    tree["services"] = yaml.safe_load("\n".join(shown))
    assert {service["kind"] for service in tree["services"]} == {"systemd", "container", "command"}
    tree["services"][1]["container"] = "another"
    assert site.problems(yaml.safe_dump(tree)) == []


def test_a_file_that_says_everything_is_read_as_it_says() -> None:
    found, problems = check(FULL)
    assert problems == []
    assert found.services == (
        ContainerConfig(container="litestream", runtime="podman"),
        SystemdConfig(unit="pacs_bridge.service"),
        CommandConfig(name="side", start=("/b/up",), stop=("/b/down", "-f"), status=("/b/ok",), environment={"A": "b"}),
    )
    assert [service.name for service in found.services] == ["litestream", "pacs_bridge", "side"]
    assert found.health == HealthConfig(url="http://127.0.0.1:8081/health/ready", timeout=120.0)
    assert (found.soak, found.validator) == (1.5, ("/opt/x/bin/y", "--check", "{config}"))
    assert found.staging == (Path("/srv/a"), Path("/srv/b"))
    assert found.objectives["full"].rpo == 2 * 86400


@pytest.mark.parametrize("source", ["name: x", FULL])
def test_a_site_goes_through_json_and_comes_back_equal(source: str) -> None:
    found = check(source)[0]
    assert site.from_json(site.to_json(found)) == found
    assert site.from_data(site.to_data(found)) == found
    assert site.from_data(msgspec.json.decode(msgspec.json.encode(site.to_data(found)))) == found
    assert isinstance(site.from_json(site.to_json(found)).live.config, Path)


def test_the_json_of_equal_sites_is_equal() -> None:
    other = FULL.replace("environment: {A: b}", "environment: {B: c, A: b}")
    turned = FULL.replace("environment: {A: b}", "environment: {A: b, B: c}")
    assert site.to_json(check(other)[0]) == site.to_json(check(turned)[0])


def test_data_that_is_no_site_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        site.from_data({"nmae": "x"})
    with pytest.raises(msgspec.ValidationError):
        site.from_data({"key_file": 5})


@pytest.mark.parametrize("source", ["name: x", FULL])
def test_what_is_shown_can_be_read_again(source: str) -> None:
    found = check(source)[0]
    assert check(site.show(found)) == (found, [])


def test_what_is_shown_holds_no_secret_of_a_command() -> None:
    text = "services: [{kind: command, name: x, start: [/a, '--token=hunter2'], stop: [/b],\
 environment: {DB_PASSWORD: hunter2, HOST: h1}}]"
    shown = site.show(check(text)[0])
    assert "hunter2" not in shown
    assert "HOST: h1" in shown


def test_a_written_file_is_private_and_never_replaces_another(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    old = os.umask(0)
    try:
        site.write_init(file, Authority())
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert site.load(file) == Site()
    file.write_text("name: mine\n")
    with pytest.raises(UsageError, match="exists"):
        site.write_init(file, Authority())
    assert file.read_text() == "name: mine\n"
    with pytest.raises(UsageError, match="No such file"):
        site.write_init(tmp_path / "missing" / "site.yaml", Authority())


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(UsageError, match="exists"):
        site.write_init(tmp_path / "link", Authority())
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        *[("30s", 30), ("5m", 300), ("15 min", 900), ("1h", 3600), ("7d", 604800), (45, 45), ("1.5", 1.5), ("0", 0)],
        *[("2 Hours", 7200), ("1 second", 1), (" 90 s ", 90), ("0.5m", 30), (0.25, 0.25), ("1 day", 86400)],
    ],
)
def test_a_duration_is_read_as_a_person_writes_it(written: object, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "s", "5x", "5 m s", "-5s", "1e3", "1_000", "५s", "1h30m", "nan", "inf", None, True, [], "9" * 400]
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"duration|hundred years"):
        duration(written)


@given(st.integers(0, 10**9) | st.decimals(0, 10**6, places=6).map(float))
def test_a_shown_duration_is_read_as_the_same(seconds: float) -> None:
    assert duration(text(float(seconds))) == pytest.approx(float(seconds), abs=1e-6)


@given(st.text() | st.floats() | st.integers())
def test_any_duration_is_seconds_or_refused(written: object) -> None:
    try:
        seconds = duration(written)
    except ValueError:
        return
    assert 0 <= seconds <= 100 * 365 * 86400


def test_a_source_is_read_in_its_own_zone_else_the_sites_else_the_hosts() -> None:
    found = check(FULL)[0]
    near, far = found.sources
    assert found.zone(near) == found.zone() == ZoneInfo("Europe/Berlin")
    assert found.zone(far) == ZoneInfo("UTC")
    assert isinstance(Site().zone(), HostZone)


@pytest.fixture(params=["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"])
def host_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    """The C library made to live in this zone, and the same zone as the time zone database has it."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield ZoneInfo(request.param)
    monkeypatch.undo()
    time.tzset()


def test_the_hosts_zone_is_the_real_one_through_missing_and_doubled_hours(host_zone: ZoneInfo) -> None:
    ours, start = HostZone(), datetime(2026, 1, 1, 0, 10)
    for wall in (start + timedelta(minutes=30 * step) for step in range(2 * 24 * 366)):
        for fold in (0, 1):
            told = wall.replace(tzinfo=ours, fold=fold)
            real = wall.replace(tzinfo=host_zone, fold=fold)
            assert told.utcoffset() == real.utcoffset()
            is_missing = real.astimezone(UTC).astimezone(host_zone).replace(tzinfo=None) != wall
            assert is_missing or told.tzname() == real.tzname()


def test_a_utc_time_is_the_right_wall_clock_time_of_the_host(host_zone: ZoneInfo) -> None:
    start = datetime(2026, 1, 1, 0, 10, 0, 123456, tzinfo=UTC)
    for moment in (start + timedelta(minutes=30 * step) for step in range(2 * 24 * 366)):
        told, real = moment.astimezone(HostZone()), moment.astimezone(host_zone)
        assert (told.replace(tzinfo=None), told.fold) == (real.replace(tzinfo=None), real.fold)
        assert told.astimezone(UTC) == moment
