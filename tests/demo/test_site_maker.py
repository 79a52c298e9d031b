"""The demo site, looked at with the real programs that an operator would use."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pacs_recover.catalog import read
from pacs_recover.demo.site_maker import MARKER, DemoSite, build
from pacs_recover.errors import Refused
from pacs_recover.site.finding import load
from pacs_recover.sources import sources_of
from tests.demo.conftest import NOW, WAITING

SUFFIXES = {"config": "tar.gz", "certs": "tar.enc", "queue": "db.gz"}
openssl = pytest.mark.needs("openssl", reason="reads the certificates as an operator would")
sqlite = pytest.mark.needs("sqlite3", reason="counts the rows as an operator would")
tar = pytest.mark.needs("tar", reason="reads the archives as the guide does")
gunzip = pytest.mark.needs("gunzip", reason="reads the queue backups as the guide does")


def run(*command: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(word) for word in command], capture_output=True, timeout=60, **options)  # type: ignore[call-overload,no-any-return]


def output(*command: object, **options: object) -> str:
    result = run(*command, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout.decode()


def backup(site: DemoSite, backup_id: str) -> Path:
    component, rest = backup_id.split("/")
    stamp, source = rest.split("@")
    assert source == "local"
    return site.directory / "backups" / component / f"{component}_{stamp}.{SUFFIXES[component]}"


def live(site: DemoSite, path: str) -> Path:
    return site.directory / "live" / path


def unpacked_queue(path: Path, scratch: Path) -> Path:
    database = scratch / "queue.db"
    database.write_bytes(run("gunzip", "-c", path, check=True).stdout)
    return database


def unpacked_certs(site: DemoSite, backup_id: str, scratch: Path) -> Path:
    """The guide's own restore command."""
    command = 'openssl enc -d -aes-256-cbc -pbkdf2 -pass "file:$1" -in "$2" | tar -xf - -C "$3"'
    arguments = (site.key_file, backup(site, backup_id), scratch)
    output("bash", "-o", "pipefail", "-c", command, "guide", *arguments)
    return scratch / "certs"


def ids(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM message_queue")}


@openssl
@pytest.mark.parametrize("name", ["server", "client"])
def test_openssl_verifies_the_live_chain_and_the_key(made: DemoSite, name: str) -> None:
    certs = live(made, "etc/pacs_bridge/certs")
    chain = ("-CAfile", certs / "ca.crt", "-untrusted", certs / "intermediate.crt", certs / f"{name}.crt")
    purpose = "sslserver" if name == "server" else "sslclient"
    at = ("-attime", int(NOW.timestamp()), "-purpose", purpose, "-x509_strict")
    assert output("openssl", "verify", *at, *chain).strip().endswith(": OK")
    public = output("openssl", "x509", "-in", certs / f"{name}.crt", "-noout", "-pubkey")
    assert output("openssl", "pkey", "-in", certs / f"{name}.key", "-pubout") == public


@sqlite
def test_sqlite3_counts_the_live_queue_in_its_different_states(made: DemoSite) -> None:
    database = live(made, "var/lib/pacs_bridge/queue.db")
    counts = output("sqlite3", database, "SELECT state, count(*) FROM message_queue GROUP BY state ORDER BY state")
    by_state = dict(line.split("|") for line in counts.split())
    assert list(by_state) == ["0", "1", "2", "3"]
    assert sum(map(int, by_state.values())) == WAITING
    assert int(output("sqlite3", database, "SELECT count(*) FROM dead_letter_queue")) > 0
    assert output("sqlite3", database, "PRAGMA integrity_check") == "ok\n"


@sqlite
def test_the_queue_is_left_as_after_a_clean_stop(made: DemoSite) -> None:
    database = live(made, "var/lib/pacs_bridge/queue.db")
    assert database.read_bytes()[18:20] == b"\x02\x02", "the header says WAL mode"
    assert os.listdir(database.parent) == ["queue.db"]
    assert output("sqlite3", f"file:{database}?immutable=1", "PRAGMA user_version") == "0\n"


@tar
def test_the_guide_reads_the_configuration_archives_and_finds_no_key(made: DemoSite) -> None:
    names = output("tar", "-tzf", backup(made, made.good["config"])).split()
    assert names[0] == "pacs_bridge/"
    assert "pacs_bridge/config.yaml" in names
    assert "pacs_bridge/mapping/stations.yaml" in names
    assert "pacs_bridge/certs/server.crt" in names
    assert not [name for name in names if name.endswith(".key")]


@tar
def test_the_generations_of_configuration_differ_from_each_other_and_from_the_live_one(made: DemoSite) -> None:
    archives = sorted((made.directory / "backups/config").iterdir())
    texts = [run("tar", "-xzOf", archive, "pacs_bridge/config.yaml").stdout for archive in archives]
    assert len({*texts, live(made, "etc/pacs_bridge/config.yaml").read_bytes()}) == len(texts) + 1


@openssl
@tar
def test_the_guide_decrypts_the_certificates_byte_for_byte(made: DemoSite, tmp_path: Path) -> None:
    certs = unpacked_certs(made, made.good["certs"], tmp_path)
    for path in live(made, "etc/pacs_bridge/certs").iterdir():
        assert (certs / path.name).read_bytes() == path.read_bytes()
        assert stat.S_IMODE((certs / path.name).stat().st_mode) == stat.S_IMODE(path.stat().st_mode)


@gunzip
@sqlite
def test_every_good_queue_backup_is_whole(made: DemoSite, tmp_path: Path) -> None:
    for path in (made.directory / "backups/queue").glob("*.gz"):
        if path != backup(made, made.corrupt):
            assert output("sqlite3", unpacked_queue(path, tmp_path), "PRAGMA integrity_check") == "ok\n"


@gunzip
def test_the_newest_queue_backup_holds_what_was_delivered_since_and_lacks_what_came_since(
    made: DemoSite, tmp_path: Path
) -> None:
    stored = ids(unpacked_queue(backup(made, made.good["queue"]), tmp_path))
    present = ids(live(made, "var/lib/pacs_bridge/queue.db"))
    assert stored - present
    assert present - stored
    assert len(stored & present) > WAITING // 2


@gunzip
def test_the_oldest_queue_backup_is_past_the_messages_time_to_live(made: DemoSite, tmp_path: Path) -> None:
    oldest = min((made.directory / "backups/queue").iterdir())
    with closing(sqlite3.connect(unpacked_queue(oldest, tmp_path))) as database:
        count, newest = database.execute("SELECT count(*), max(created_at) FROM message_queue").fetchone()
    assert count > 0
    assert datetime.fromisoformat(newest + "+00:00") < NOW - timedelta(hours=48)


@gunzip
def test_the_corrupt_queue_backup_fails_its_checksum(made: DemoSite) -> None:
    assert run("gunzip", "-t", backup(made, made.corrupt)).returncode != 0


@tar
def test_the_truncated_archive_is_refused_by_tar(made: DemoSite) -> None:
    assert run("tar", "-tzf", backup(made, made.truncated)).returncode != 0


@openssl
@tar
def test_the_expired_certificate_is_expired_and_nothing_else(made: DemoSite, tmp_path: Path) -> None:
    certs = unpacked_certs(made, made.expired, tmp_path)
    chain = ("-CAfile", certs / "ca.crt", "-untrusted", certs / "intermediate.crt", certs / "server.crt")
    taken = datetime.strptime(made.expired, "certs/%Y%m%d_%H%M%S@local").replace(tzinfo=UTC)
    assert b"certificate has expired" in run("openssl", "verify", "-attime", int(NOW.timestamp()), *chain).stderr
    assert run("openssl", "verify", "-attime", int(taken.timestamp()), *chain).returncode == 0
    public = output("openssl", "x509", "-in", certs / "server.crt", "-noout", "-pubkey")
    assert output("openssl", "pkey", "-in", certs / "server.key", "-pubout") == public


@tar
def test_the_backup_that_rolls_back_is_sound_in_itself(made: DemoSite) -> None:
    text = output("tar", "-xzOf", backup(made, made.fails_in_soak), "pacs_bridge/config.yaml")
    site = yaml.safe_load(made.site_file.read_text())
    assert 0.5 <= yaml.safe_load(text)["demo"]["fail_after"] < float(site["soak"].removesuffix("s"))


@pytest.mark.parametrize("clock", ["00:00:00", "00:04:00", "02:01:00", "03:05:00", "23:59:59"])
def test_names_are_utc_equal_to_the_files_time_and_never_in_the_future(tmp_path: Path, clock: str) -> None:
    now = datetime.fromisoformat(f"2026-03-01T{clock}+00:00")
    site = build(tmp_path / "site", now.astimezone(), messages=20)
    for path in (site.directory / "backups").rglob("*_*"):
        named = datetime.strptime(path.name.split(".")[0].split("_", 1)[1], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
        assert named.timestamp() == path.stat().st_mtime
        assert named <= now
    for component, good in site.good.items():
        there = (site.directory / "backups" / component).iterdir()
        assert backup(site, good) == max(path for path in there if path.suffix != ".json")


def test_everything_is_private_to_the_user(made: DemoSite) -> None:
    for path in (made.directory, *made.directory.rglob("*")):
        allowed = 0o700 if path.is_dir() else 0o644 if path.suffix == ".crt" else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == allowed, path
        assert path.stat().st_uid == os.geteuid()


def test_the_same_seed_makes_the_same_queue(tmp_path: Path, made: DemoSite) -> None:
    again = build(tmp_path / "again", NOW, messages=WAITING)
    other = build(tmp_path / "other", NOW, messages=WAITING, seed=1)
    rows = [list(_rows(live(site, "var/lib/pacs_bridge/queue.db"))) for site in (made, again, other)]
    assert rows[0] == rows[1] != rows[2]


def _rows(database: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT * FROM message_queue ORDER BY id").fetchall()


def test_a_directory_with_anything_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(Refused, match="is not empty"):
        build(tmp_path, NOW)
    assert os.listdir(tmp_path) == ["letter.txt"]


def test_a_second_demo_in_the_same_directory_is_refused_with_the_way_to_open_it(made: DemoSite) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.directory.rglob("*")}
    with pytest.raises(Refused, match="already holds a demo site") as refused:
        build(made.directory, NOW)
    assert f"--site {made.site_file}" in refused.value.hint
    assert {path: path.stat().st_mtime_ns for path in made.directory.rglob("*")} == before


@pytest.mark.parametrize("name", ["a}b", "a$b", "a\nb", 'a"b', "a\x1b[2Jb"])
def test_a_name_that_the_configuration_cannot_carry_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="cannot carry") as refused:
        build(tmp_path / name, NOW)
    assert refused.value.message.isprintable()
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Refused, match="cannot be used"):
        build(tmp_path / "file", NOW)
    with pytest.raises(Refused, match="cannot be used"):
        build(tmp_path / "file" / "below", NOW)


@pytest.mark.parametrize("limit", [1_000, 100_000])
def test_a_disk_that_fills_up_is_a_clear_refusal(tmp_path: Path, limit: int) -> None:
    program = f"""
import resource
from datetime import UTC, datetime
from pathlib import Path
from pacs_recover.demo.site_maker import build
from pacs_recover.errors import Refused
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    build(Path({str(tmp_path / "site")!r}), datetime.now(UTC), messages=500)
except Refused as refused:
    print(refused.message, refused.hint)
"""
    said = output(sys.executable, "-c", program)
    assert said.startswith(f"The demo site could not be made in {tmp_path}")
    assert "Free some space" in said


def test_an_empty_directory_is_taken_and_made_private(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    site = build(tmp_path / "empty", NOW, messages=5)
    assert stat.S_IMODE(site.directory.stat().st_mode) == 0o700
    assert (site.directory / MARKER).exists()


def test_a_path_with_spaces_accents_and_an_emoji_is_carried_faithfully(tmp_path: Path) -> None:
    site = build(tmp_path / "démo of 🏥 x", NOW, messages=5)
    config = yaml.safe_load(live(site, "etc/pacs_bridge/config.yaml").read_text())
    default = re.fullmatch(r"\$\{PACS_BRIDGE_QUEUE_DB:-(.*)\}", config["queue"]["database_path"])
    assert default is not None
    assert Path(default[1]) == live(site, "var/lib/pacs_bridge/queue.db")
    assert yaml.safe_load(site.site_file.read_text())["live"]["queue"] == default[1]


def test_the_site_file_says_what_the_result_says(made: DemoSite) -> None:
    site = yaml.safe_load(made.site_file.read_text())
    service = site["services"][0]
    assert site["name"] == "demo-hospital"
    assert (site["health"]["url"], site["key_file"]) == (made.health_url, str(made.key_file))
    assert tuple(service["start"]) == made.start
    assert service["start"][0] == sys.executable
    assert service["environment"] == made.environment
    assert site["sources"][0]["path"] == str(made.directory / "backups")


def test_making_it_runs_no_program_and_opens_no_connection(tmp_path: Path) -> None:
    program = f"""
import sys
def hook(event, arguments):
    if event.startswith(("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "socket.connect")):
        raise SystemExit("not allowed: " + event)
sys.addaudithook(hook)
from datetime import UTC, datetime
from pathlib import Path
from pacs_recover.demo.site_maker import build
build(Path({str(tmp_path / "site")!r}), datetime.now(UTC), messages=50)
"""
    assert run(sys.executable, "-c", program).returncode == 0
    assert (tmp_path / "site/site.yaml").exists()


def test_a_full_demo_takes_a_few_seconds(tmp_path: Path) -> None:
    begun = datetime.now(UTC)
    site = build(tmp_path / "site", begun)
    assert (datetime.now(UTC) - begun).total_seconds() < 15
    assert len(ids(live(site, "var/lib/pacs_bridge/queue.db"))) == 3000


def test_what_the_program_made_has_a_manifest_and_what_scripts_made_has_none(made: DemoSite) -> None:
    recorded = {path.name.removesuffix(".manifest.json") for path in made.directory.rglob("backups/*/*.manifest.json")}
    assert {backup(made, made.good[component]).name for component in ("queue", "certs")} < recorded
    for id in (made.corrupt, made.truncated, made.expired, made.good["config"], made.fails_in_soak):
        assert backup(made, id).name not in recorded
    site = load(made.site_file)
    found = {one.id: one for one in read(sources_of(site, ())).backups}
    assert found[made.good["queue"]].recorded
    assert not found[made.corrupt].recorded
