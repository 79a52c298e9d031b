"""The one file in an empty environment: no network, no packages, a home that is read-only or full."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from distribution import start
from distribution.build import NAME
from pacs_recover.demo.site_maker import build
from tests.dist.conftest import DISKS, PYTHON, Host
from tests.real_systemd import RealSystemd, needs_systemd, real_systemd
from tests.sources.s3_server import ENVIRONMENT, Bucket, credentials

__all__ = ["real_systemd"]
pytestmark = [
    pytest.mark.xdist_group("systemd"),
    pytest.mark.needs("bwrap", reason="a host without a network and with read-only disks"),
]


def test_it_restores_the_demo_site_with_no_network_and_a_read_only_home(host: Host) -> None:
    done = host.run("demo", str(host.shared / "site"), options=["--remount-ro", "/var/cache", "--remount-ro", "/home"])
    assert done.returncode == 0, done.stderr
    assert "✓ the restore went as it should" in done.stderr
    assert "✓ the rollback went as it should" in done.stderr
    with zipfile.ZipFile(host.one_file) as archive:
        build_id = json.loads(archive.read("needs.json"))["build"]
    logged = next((host.shared / "site").rglob("worker.log")).read_text()
    assert not logged
    site = (host.shared / "site/site.yaml").read_text()
    assert f"/run/pacs-recover/{build_id}" in site, "the demo's own service ran from what was unpacked"


def test_where_every_disk_is_full_it_runs_from_memory(host: Host) -> None:
    done = host.run("--version", full=DISKS[:-1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pacs-recover, version ")


def test_where_there_is_no_place_at_all_it_names_each_with_its_reason(host: Host) -> None:
    done = host.run("--version", full=DISKS)
    assert done.returncode == 5
    assert done.stderr.count("too little room") == 5
    assert "hint: name one with room: PACS_RECOVER_UNPACKED=" in done.stderr
    named = host.run("--version", full=DISKS, PACS_RECOVER_UNPACKED=str(host.shared / "here"))
    assert named.returncode == 0, named.stderr


def test_another_user_runs_it_without_a_home(host: Host) -> None:
    host.shared.chmod(0o777)
    done = host.run("--version", options=["--uid", "1234", "--gid", "1234"], HOME="/nonexistent")
    assert done.returncode == 0, done.stderr


def run(one_file: Path, place: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it here, unpacked there."""
    environment = {**os.environ, start.CHOSEN: str(place), **more}
    return subprocess.run([PYTHON, one_file, *words], capture_output=True, text=True, env=environment, timeout=120, check=False)


def unpacked(place: Path) -> Path:
    """The one directory that was unpacked."""
    (found,) = place.iterdir()
    return found


def test_what_is_damaged_or_half_gone_is_unpacked_again_and_two_may_begin_at_once(built: Path, tmp_path: Path) -> None:
    one_file, place = built / NAME, tmp_path / "place"
    argv, environment = [PYTHON, one_file, "--version"], {**os.environ, start.CHOSEN: str(place)}
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) for _ in range(2)]
    assert [process.communicate(timeout=120)[1] for process in both] == [b"", b""]
    home = unpacked(place)
    (home / "pacs_recover/cli/commands.py").write_text("")
    shutil.rmtree(home / "click")
    assert run(one_file, place, "--version").returncode == 0
    assert unpacked(place) == home
    assert (home / "click").is_dir()


def test_read_only_held_by_the_kernel_and_s3_work_from_it(built: Path, tmp_path: Path) -> None:
    demo = build(tmp_path / "site", datetime.now(UTC), messages=20)
    with credentials(), closing(Bucket()) as bucket:
        bucket.put("config/config_20260101_020000.tar.gz", Path(next(demo.directory.rglob("config_*.gz"))).read_bytes())
        site = yaml.safe_load(demo.site_file.read_text())
        place = {"bucket": bucket.name, "endpoint": bucket.config().endpoint, "addressing": "path"}
        site["sources"] = [{"kind": "s3", "name": "bucket", **place}]
        demo.site_file.write_text(yaml.safe_dump(site))
        words = ("--site", str(demo.site_file), "--state", str(tmp_path / "state"), "--read-only")
        listed = run(built / NAME, tmp_path / "place", *words, "catalog", "--json", **ENVIRONMENT)
        assert listed.returncode == 0, listed.stderr
        (backup,) = json.loads(listed.stdout)["backups"]
        seen = run(built / NAME, tmp_path / "place", *words, "preview", backup["id"], "--json", **ENVIRONMENT)
        assert seen.returncode == 0, seen.stderr


@needs_systemd
def test_its_worker_runs_in_a_scope_of_systemd(built: Path, tmp_path: Path, real_systemd: RealSystemd) -> None:
    tmp_path.chmod(0o755)
    demo = build(tmp_path / "site", datetime.now(UTC), messages=20)
    one_file = ["env", f"{start.CHOSEN}={tmp_path / 'place'}", PYTHON, str(built / NAME)]
    words = [*one_file, "--site", str(demo.site_file), "--state", str(demo.directory / "state")]
    planned = real_systemd.run([*words, "plan", "config", "--json"], check=True)
    armed = ["restore", "--yes", "--plan", json.loads(planned.stdout)["plan_id"], "--json"]
    done = real_systemd.run([*words, *armed], check=False)
    assert done.returncode == 0, done.stderr
    timers = real_systemd.run([*words, "site", "timers"], check=True)
    assert re.search(rf'^ExecStart="\S+" "{re.escape(str(built / NAME))}" ', timers.stdout, re.MULTILINE)


def rewritten(one_file: Path, into: Path, **changed: str) -> Path:
    """A copy that was built for another host."""
    target = into / NAME
    with zipfile.ZipFile(one_file) as old, zipfile.ZipFile(target, "w") as new:
        for name in ("__main__.py", "start.py", "contents.txt", "needs.json"):
            content = old.read(name)
            new.writestr(name, json.dumps({**json.loads(content), **changed}) if name == "needs.json" else content)
    return target


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({"python": "3.99"}, "error: this file needs CPython 3.99; this is cpython 3."),
        ({"machine": "vax"}, "error: this file needs a machine of vax; this is "),
        ({"glibc": "9.99"}, "error: this file needs glibc 9.99 or newer; this host has 2."),
    ],
)
def test_on_another_host_it_says_what_it_needs(built: Path, tmp_path: Path, needs: dict[str, str], said: str) -> None:
    other = tmp_path / "bin/python3.99"
    other.parent.mkdir()
    other.symlink_to(PYTHON)
    path = f"{other.parent}{os.pathsep}{os.environ['PATH']}"
    done = run(rewritten(built / NAME, tmp_path, **needs), tmp_path / "place", "status", PATH=path)
    assert done.returncode == 2
    assert said in done.stderr
    assert (f"hint: this host has it: {other} {tmp_path / NAME}" in done.stderr) is ("python" in needs)
    assert not (tmp_path / "place").exists()


def a_link(place: Path) -> None:
    (place.parent / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(place.parent / "elsewhere")


def readable_by_others(place: Path) -> None:
    place.mkdir(mode=0o700)
    place.chmod(0o750)


def where_others_write(place: Path) -> None:
    place.parent.chmod(0o777)


@pytest.mark.parametrize("prepare", [a_link, readable_by_others, where_others_write])
def test_a_place_that_others_may_have_prepared_is_not_taken(tmp_path: Path, prepare: object) -> None:
    place = tmp_path / "shared/pacs-recover-0"
    place.parent.mkdir(mode=0o755)
    prepare(place)  # type: ignore[operator]
    with pytest.raises(start.Unfit):
        start.private(str(place))


@pytest.mark.needs("root", reason="a directory of another user")
def test_a_place_of_another_user_is_not_taken_and_in_a_sticky_directory_ours_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    start.private(str(tmp_path / "ours"))
    start.private(str(tmp_path / "ours"))
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 1234, 1234)
    with pytest.raises(start.Unfit, match="not a directory of this user alone"):
        start.private(str(tmp_path / "theirs"))


@pytest.mark.needs("root", "unshare", reason="a mount of its own")
def test_a_noexec_mount_is_passed_over(built: Path, tmp_path: Path) -> None:
    mounted = f"mount -t tmpfs -o noexec,mode=755 none {tmp_path} && exec {PYTHON} {built / NAME} --version"
    environment = {**os.environ, start.CHOSEN: str(tmp_path / "place")}
    argv = ["unshare", "--mount", "sh", "-c", mounted]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 5
    assert f"{tmp_path / 'place'} (mounted noexec)" in done.stderr
