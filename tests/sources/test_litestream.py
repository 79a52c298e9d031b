from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import certifi
import pytest

from pacs_recover.errors import BadBackup, RecoverError, SourceError
from pacs_recover.formats.lz4_frame import Foreign
from pacs_recover.formats.streams import Reader
from pacs_recover.model import Backup
from pacs_recover.sources import Problem, litestream_vendor
from pacs_recover.sources.litestream import KEPT, LitestreamSource, Restored
from pacs_recover.sources.litestream_store import Entry, FileStore, Vanished
from tests.formats.frames import framed, ltx
from tests.sources import s3_server
from tests.sources.make_replica import VERSIONS, Made, binary, golden, make, state_of

Expected = dict[str, str]


@pytest.fixture(params=VERSIONS)
def old_and_new(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Expected]:
    """A small replica of either format, and what Litestream itself restored of each of its points."""
    return golden(request.param, tmp_path)


@pytest.fixture
def new(tmp_path: Path) -> tuple[Path, Expected]:
    return golden("0.5", tmp_path)


@pytest.fixture
def old(tmp_path: Path) -> tuple[Path, Expected]:
    return golden("0.3", tmp_path)


def source(root: Path) -> LitestreamSource:
    return LitestreamSource("replica", FileStore(root), Path("/srv/queue.db"))


def points(root: Path) -> list[Backup]:
    return [found for found in source(root).listing() if isinstance(found, Backup)]


def problems(root: Path) -> list[Problem]:
    return [found for found in source(root).listing() if isinstance(found, Problem)]


def restored(root: Path, backup: Backup, scratch: Path) -> str:
    with source(root).open(backup, scratch) as file:
        return hashlib.sha256(file.read()).hexdigest()


def failure(root: Path, backup: Backup, scratch: Path) -> RecoverError:
    """How the restore of a point fails; it leaves nothing in scratch."""
    before = set(scratch.iterdir())
    with pytest.raises(RecoverError) as raised:
        restored(root, backup, scratch)
    assert set(scratch.iterdir()) == before
    assert raised.value.hint
    return raised.value


def a_file(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


# ---- what can be restored


def test_every_point_of_a_replica_is_byte_for_byte_what_litestream_itself_restores(
    old_and_new: tuple[Path, Expected], tmp_path: Path
) -> None:
    root, expected = old_and_new
    found = points(root)
    assert {backup.key for backup in found} == expected.keys()
    assert not problems(root)
    assert {backup.key: restored(root, backup, tmp_path) for backup in found} == expected


def test_points_come_newest_first_with_ids_made_from_their_times(old_and_new: tuple[Path, Expected]) -> None:
    found = points(old_and_new[0])
    assert [one.taken_at for one in found] == sorted((one.taken_at for one in found), reverse=True)
    for one in found:
        at = one.taken_at
        assert one.id == f"queue/{at:%Y%m%d_%H%M%S}.{at.microsecond // 1000:03}@replica"
        assert (one.component, one.format, one.findings) == ("queue", "db", ())


def test_a_bucket_that_was_copied_to_disk_is_the_same_replica(new: tuple[Path, Expected], tmp_path: Path) -> None:
    root, expected = new
    for level in (root / "ltx").iterdir():
        level.rename(root / f"{int(level.name):04x}")
    (root / "ltx").rmdir()
    assert {one.key: restored(root, one, tmp_path) for one in points(root)} == expected


def test_a_replica_that_was_upgraded_in_place_gives_the_points_of_both(tmp_path: Path) -> None:
    for version in VERSIONS:
        (tmp_path / version).mkdir()
    (root, expected), (other, more) = (golden(version, tmp_path / version) for version in VERSIONS)
    shutil.copytree(other / "ltx", root / "ltx", copy_function=shutil.copy2)
    assert {one.key: restored(root, one, tmp_path) for one in points(root)} == {**expected, **more}


def test_the_point_really_reached_is_there_as_evidence(old_and_new: tuple[Path, Expected], tmp_path: Path) -> None:
    root, _ = old_and_new
    backup = points(root)[0]
    with source(root).open(backup, tmp_path) as file:
        assert isinstance(file, Restored)
        said = str(file.reached)
    assert said.startswith("reached transaction 0" if backup.key.startswith(KEPT) else "reached generation ")
    assert f"{backup.taken_at:%Y-%m-%dT%H:%M:%S}" in said
    assert "all checksums right" in said


# ---- 0.3: which snapshot is safe


def test_a_snapshot_serves_no_point_before_a_segment_that_was_written_after_it(old: tuple[Path, Expected]) -> None:
    root, expected = old
    snapshots = sorted(root.rglob("*.snapshot.lz4"))
    segments = {path: path.stat().st_mtime for path in root.rglob("*.wal.lz4")}
    generation = snapshots[0].parent.parent
    of_it = {path: at for path, at in segments.items() if path.is_relative_to(generation)}
    late = sorted(of_it.values())[1]
    for snapshot in generation.rglob("*.snapshot.lz4"):
        os.utime(snapshot, (late, late))
    kept = {str(path.relative_to(root)) for path, at in of_it.items() if at > late}
    found = {one.key for one in points(root)}
    assert {key for key in found if key.startswith(f"generations/{generation.name}/")} == kept & found
    assert len(found) < len(expected)


def test_where_a_copy_lost_the_times_each_point_is_still_right_and_says_so(
    old: tuple[Path, Expected], tmp_path: Path
) -> None:
    root, expected = old
    newest = max(root.rglob("*.wal.lz4"), key=lambda path: path.stat().st_mtime)
    generation = newest.parent.parent
    for number, path in enumerate(sorted(generation.rglob("*.wal.lz4"), reverse=True)):
        os.utime(path, (2_000_000_000 + number, 2_000_000_000 + number))
    found = [one for one in points(root) if generation.name in one.key]
    assert found
    assert all("lost" in one.findings[0].value for one in found)
    assert all(restored(root, one, tmp_path) == expected[one.key] for one in found)


def test_of_segments_with_one_time_only_the_last_is_a_point(old: tuple[Path, Expected]) -> None:
    root, _ = old
    generation = max(root.glob("generations/*"), key=lambda path: len(list(path.rglob("*.wal.lz4"))))
    segments = sorted(generation.rglob("*.wal.lz4"))
    last = max(path.stat().st_mtime for path in segments)
    for path in segments:
        os.utime(path, (last, last))
    found = [one.key for one in points(root) if generation.name in one.key]
    assert found == [str(segments[-1].relative_to(root))]


def test_a_time_belongs_to_the_generation_that_ends_last(old: tuple[Path, Expected]) -> None:
    root, _ = old
    ends = {path: max(one.stat().st_mtime for one in path.rglob("*.lz4")) for path in root.glob("generations/*")}
    first, last = sorted(ends, key=lambda path: ends[path])
    for path in last.rglob("*.snapshot.lz4"):
        os.utime(path, (0, 0))  # as if it had begun before the other
    assert first != last
    assert {one.key.split("/")[1] for one in points(root)} == {last.name}


# ---- damage


def test_a_flipped_bit_in_any_file_is_an_error_that_names_it(
    old_and_new: tuple[Path, Expected], tmp_path: Path
) -> None:
    root, expected = old_and_new
    listed = points(root)
    for path in [path for path in root.rglob("*.l*") if path.is_file()]:
        whole, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 4]) + whole[-19:])
        os.utime(path, ns=times)
        key = str(path.relative_to(root))
        assert {outcome(root, backup, tmp_path, key, expected) for backup in listed} <= {"right", "names it"}
        path.write_bytes(whole)
        os.utime(path, ns=times)


def outcome(root: Path, backup: Backup, scratch: Path, key: str, expected: Expected) -> str:
    """What a point that may need a damaged file comes to."""
    try:
        return "right" if restored(root, backup, scratch) == expected[backup.key] else "wrong"
    except BadBackup as error:
        return "names it" if key in error.message and error.hint else error.message


@pytest.mark.parametrize("length", [0, 1, 50, -1], ids=["emptied", "one byte", "50 bytes", "last byte lost"])
def test_a_truncated_file_is_an_error_that_names_it(
    old_and_new: tuple[Path, Expected], tmp_path: Path, length: int
) -> None:
    root, _ = old_and_new
    backup = points(root)[0]
    path = root / backup.key if not backup.key.startswith(KEPT) else whole_before(root, backup)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes()[:length])
    os.utime(path, ns=times)
    error = failure(root, backup, tmp_path)
    assert isinstance(error, BadBackup)
    assert str(path.relative_to(root)) in error.message


def whole_before(root: Path, backup: Backup) -> Path:
    """The snapshot of 0.5 that the restore of a point begins with."""
    ends = {int(path.stem.split("-")[1], 16): path for path in root.rglob("9/*.ltx")}
    return ends[max(end for end in ends if end <= int(backup.key.removeprefix(KEPT), 16))]


def test_a_missing_segment_is_an_error_that_names_what_is_missing(old: tuple[Path, Expected], tmp_path: Path) -> None:
    root, expected = old
    listed = points(root)
    segments = sorted(root.rglob("*.wal.lz4"))
    lost = next(
        path
        for path, after in pairwise(segments)
        if not path.name.endswith("_00000000.wal.lz4") and path.name.split("_")[0] == after.name.split("_")[0]
    )
    index, key = lost.name.split("_")[0], str(lost.relative_to(root))
    after = [one for one in listed if one.key.startswith(f"{Path(key).parent}/{index}_") and one.key > key]
    assert after
    lost.unlink()
    for backup in after:
        error = failure(root, backup, tmp_path)
        assert isinstance(error, BadBackup)
        assert "a file is missing" in error.message
        assert f"write-ahead log {index}" in error.message
    for backup in listed:
        if backup.key < key:
            assert restored(root, backup, tmp_path) == expected[backup.key]
    assert "is not in the replica" in failure(root, next(one for one in listed if one.key == key), tmp_path).message


def test_a_missing_log_is_shown_as_a_gap_and_nothing_behind_it_is_offered(
    old: tuple[Path, Expected], tmp_path: Path
) -> None:
    root, expected = old
    generation = max(root.glob("generations/*"), key=lambda path: len(list(path.rglob("*.wal.lz4"))))
    indexes = sorted({path.name.split("_")[0] for path in generation.rglob("*.wal.lz4")})
    assert len(indexes) > 2
    for path in generation.glob(f"wal/{indexes[1]}_*"):
        path.unlink()
    for path in sorted(generation.glob("snapshots/*"))[1:]:
        path.unlink()
    assert any(f"no write-ahead log {indexes[1]}" in one.reason for one in problems(root))
    found = [one for one in points(root) if generation.name in one.key]
    assert all(indexes[0] in one.key for one in found)
    assert all(restored(root, one, tmp_path) == expected[one.key] for one in found)


def test_a_generation_without_snapshots_is_shown_and_never_replaced_by_an_older_one(old: tuple[Path, Expected]) -> None:
    root, _ = old
    newest = points(root)[0].key.split("/")[1]
    for path in root.glob(f"generations/{newest}/snapshots/*"):
        path.unlink()
    assert any(f"generation {newest} has no snapshot" in one.reason for one in problems(root))
    assert not any(newest in one.key for one in points(root))


def test_a_hole_in_the_chain_is_shown_and_nothing_behind_it_is_offered(
    new: tuple[Path, Expected], tmp_path: Path
) -> None:
    root, expected = new
    listed = points(root)
    for path in [*sorted(root.rglob("9/*.ltx"))[1:], *root.rglob("[123]/*.ltx")]:
        path.unlink()
    assert any("a file is missing: transactions" in one.reason for one in problems(root))
    found = points(root)
    assert len(found) < len(listed)
    assert all(restored(root, one, tmp_path) == expected[one.key] for one in found)
    error = failure(root, listed[0], tmp_path)
    assert isinstance(error, BadBackup)
    assert "a file is missing" in error.message


def test_a_header_that_contradicts_its_name_is_an_error_that_names_the_file(
    new: tuple[Path, Expected], tmp_path: Path
) -> None:
    root, _ = new
    backup = points(root)[0]
    path = sorted(root.rglob(f"*-{backup.key.removeprefix(KEPT)}.ltx"))[0]
    shutil.copy(a_file(root, "9/*.ltx"), path)
    assert "its header is not that of its name" in failure(root, backup, tmp_path).message
    assert any("its header is not that of its name" in one.reason for one in problems(root))


def test_a_header_time_that_was_altered_is_noticed(new: tuple[Path, Expected], tmp_path: Path) -> None:
    root, _ = new
    listed = points(root)
    transaction = listed[2].key.removeprefix(KEPT)
    paths = list(root.rglob(f"*-{transaction}.ltx"))
    for path in paths:
        data = bytearray(path.read_bytes())
        data[36] ^= 0x80  # of the milliseconds: 9 hours
        path.write_bytes(data)
    assert any("headers may be damaged" in fact.value for one in points(root) for fact in one.findings)
    moved = next(one for one in points(root) if one.key == listed[2].key)
    assert "its checksum is wrong" in failure(root, moved, tmp_path).message


def test_a_page_that_no_file_holds_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "replica/ltx/9"
    root.mkdir(parents=True)
    (root / f"{1:016x}-{1:016x}.ltx").write_bytes(ltx([(1, b"a" * 512), (3, b"b" * 512)]))
    error = failure(tmp_path / "replica", points(tmp_path / "replica")[0], tmp_path)
    assert "page 2 of 3 is in no file" in error.message


def test_a_header_that_names_a_huge_database_fills_no_disk(tmp_path: Path) -> None:
    root = tmp_path / "replica/ltx/9"
    root.mkdir(parents=True)
    (root / f"{1:016x}-{1:016x}.ltx").write_bytes(ltx([(1, b"a" * 512)], commit=0xFFFFFFFF))
    error = failure(tmp_path / "replica", points(tmp_path / "replica")[0], tmp_path)
    assert "more pages than the files can hold" in error.message


def test_unknown_flags_are_refused_with_the_command_to_run_instead(new: tuple[Path, Expected], tmp_path: Path) -> None:
    root, _ = new
    backup = points(root)[0]
    path = whole_before(root, backup)
    data = bytearray(path.read_bytes())
    data[7] |= 0x10
    path.write_bytes(data)
    error = failure(root, backup, tmp_path)
    transaction = backup.key.removeprefix(KEPT)
    assert isinstance(error, Foreign)
    assert f"litestream restore -o queue.db -txid {transaction} '{root.as_uri()}'" in error.hint


def test_age_encryption_is_refused_with_the_command_to_run_instead(old: tuple[Path, Expected], tmp_path: Path) -> None:
    root, _ = old
    backup = points(root)[0]
    path = root / backup.key
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(b"age-encryption.org/v1\n-> X25519 synthetic\n" + bytes(99))
    os.utime(path, ns=times)
    error = failure(root, backup, tmp_path)
    at = backup.taken_at + timedelta(milliseconds=1)
    assert isinstance(error, Foreign)
    assert f"-timestamp {at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z /srv/queue.db" in error.hint


def test_a_snapshot_that_is_no_database_is_an_error_that_names_it(old: tuple[Path, Expected], tmp_path: Path) -> None:
    root, _ = old
    backup = points(root)[0]
    for path in root.rglob("*.snapshot.lz4"):
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        path.write_bytes(framed(b"no database" * 1000))
        os.utime(path, ns=times)
    assert "snapshot.lz4 is damaged: it holds no SQLite database" in failure(root, backup, tmp_path).message


def test_a_replica_that_is_not_there_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no directory"):
        points(tmp_path / "not mounted")


# ---- a replica that changes while it is read


class Changing:
    """A store in which files vanish: ``before`` is called with every key that is opened in whole."""

    parallel = 4

    def __init__(self, root: Path, before: Callable[[str], None]) -> None:
        self.files = FileStore(root)
        self.url = self.files.url
        self.before = before

    def list(self, prefix: str) -> Iterator[Entry]:
        return self.files.list(prefix)

    def open(self, key: str, length: int | None = None) -> AbstractContextManager[Reader]:
        if length is None:
            self.before(key)
        return self.files.open(key, length)


def test_files_that_vanish_meanwhile_lead_to_another_plan(new: tuple[Path, Expected], tmp_path: Path) -> None:
    root, expected = new
    backup = points(root)[0]
    gone: list[str] = []

    def retention(key: str) -> None:
        if "/9/" in key and not gone:
            gone.append(key)
            (root / key).unlink()

    changing = LitestreamSource("replica", Changing(root, retention))
    with changing.open(backup, tmp_path) as file:
        assert hashlib.sha256(file.read()).hexdigest() == expected[backup.key]
    assert gone


def test_a_replica_that_never_stands_still_is_given_up_after_three_plans(
    new: tuple[Path, Expected], tmp_path: Path
) -> None:
    root, _ = new
    asked: list[str] = []

    def never(key: str) -> None:
        asked.append(key)
        raise Vanished(f"{key} is gone")

    changing = LitestreamSource("replica", Changing(root, never))
    with (
        pytest.raises(SourceError, match="changes faster than it can be read"),
        changing.open(points(root)[0], tmp_path),
    ):
        pass
    assert len(asked) == 3


def test_a_store_that_reads_side_by_side_lists_the_same_points(old_and_new: tuple[Path, Expected]) -> None:
    root, _ = old_and_new
    side_by_side = LitestreamSource("replica", Changing(root, lambda key: None))
    assert list(side_by_side.listing()) == list(source(root).listing())


def test_a_scratch_directory_that_cannot_be_written_is_an_error_with_a_hint(
    new: tuple[Path, Expected], tmp_path: Path
) -> None:
    with (
        pytest.raises(SourceError, match="cannot write into") as raised,
        source(new[0]).open(points(new[0])[0], tmp_path / "missing"),
    ):
        pass
    assert raised.value.hint


# ---- the real binaries, under load


@pytest.fixture(
    scope="session", params=[(version, place) for version in VERSIONS for place in ("file", "s3")], ids="-".join
)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A replica that the real program makes now, while somebody writes as fast as a busy site and faster."""
    version, where = request.param
    program = binary(version, tmp_path_factory.getbasetemp().parent)
    place = tmp_path_factory.mktemp("replica")
    if where == "file":
        yield make(program, version, place, 14, rate=60, points=25)
        return
    with s3_server.credentials(), closing(s3_server.Bucket()) as bucket:
        yield make(program, version, place, 25, rate=60, points=25, bucket=bucket.config(prefix="queue"))


@pytest.mark.slow
def test_under_load_every_point_is_what_the_binary_restores_and_was_really_committed(
    loaded: Made, tmp_path: Path
) -> None:
    found = list(loaded.source().listing())
    assert len(found) >= 20
    assert all(isinstance(one, Backup) for one in found)
    for number, backup in enumerate(found[:: len(found) // 20]):
        assert isinstance(backup, Backup)
        out = tmp_path / f"{number}.db"
        with loaded.source().open(backup, tmp_path) as file:
            out.write_bytes(file.read())
        assert state_of(out) in loaded.states
        theirs = loaded.vendor_restore(backup, tmp_path / f"{number}-theirs.db")
        assert hashlib.sha256(out.read_bytes()).hexdigest() == theirs
        out.unlink()


@pytest.mark.slow
def test_the_newer_binary_restores_the_same_of_any_replica_without_a_key_in_sight(
    loaded: Made, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = litestream_vendor.program(str(binary("0.5", tmp_path_factory.getbasetemp().parent)))
    monkeypatch.setenv("AWS_CA_BUNDLE", certifi.where())  # 0.5.17 fails wherever that is set
    source, found = loaded.source(), [one for one in loaded.source().listing() if isinstance(one, Backup)]
    for backup in (found[0], found[len(found) // 2], found[-1]):
        with source.open(backup, tmp_path) as file:
            ours = hashlib.sha256(file.read()).hexdigest()
        assert litestream_vendor.restored(source, backup, program, tmp_path) == ours
    assert list(tmp_path.iterdir()) == []


def test_the_time_of_a_point_is_utc_and_that_of_the_replica_s_files(old: tuple[Path, Expected]) -> None:
    root, _ = old
    for backup in points(root):
        written = datetime.fromtimestamp((root / backup.key).stat().st_mtime, UTC)
        assert timedelta(0) <= written - backup.taken_at < timedelta(milliseconds=2)
