"""Backups that somebody made to do harm, through the real commands: refused or harmless, in little time and memory."""

from __future__ import annotations

import gzip
import io
import os
import resource
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pacs_recover import extraction, looks
from pacs_recover.authority import Authority
from pacs_recover.errors import BadBackup
from pacs_recover.screens import catalog_view, plan_view, preview_view
from pacs_recover.sources import file
from pacs_recover.widgets.line import Line
from tests.cli.shell import Done, Shell
from tests.formats.queue_files import SYNTHETIC, damage_an_index, execute, many, queue
from tests.runs.small_site import SmallSite

MEMORY, TIME = 768 << 20, 25
"""Bytes of address space (an idle command takes some 250 MB of it), and seconds of processor time, of one command."""
ESCAPES = ("\x1b", "\x9b", "\u202e", "\x07")
EVIL = "\x1b[2J\x1b]0;owned\x07[bold red]\u202eevil[/]"


def limits() -> None:
    """What one command may take."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (TIME, TIME))


def limited(shell: Shell, *words: str, code: int) -> Done:
    """Run a command under these limits; its output may not move a cursor and holds no message."""
    done = shell(*words, code=code, preexec_fn=limits)
    harmless((done.out + done.err).splitlines())
    assert SYNTHETIC not in done.out + done.err
    return done


def harmless(lines: Iterable[str]) -> None:
    """Nothing in these lines moves a cursor."""
    for line in lines:
        assert not any(escape in line for escape in ESCAPES), ascii(line)


def refused(shell: Shell, small: SmallSite, path: Path, component: str, *, unpacks: bool = False) -> str:
    """Bad for every command that judges it, under limits; nothing is left of it: the error of the plan.

    What ``unpacks`` is whole as far as its wrapping goes, and can be extracted to be looked into.
    """
    before = small.fingerprint()
    error = limited(shell, "plan", component, "--backup", str(path), "--json", code=6).error
    backup = file.at(path, component)
    assert looks.preview(small.site, backup, small.state).state == "bad"
    with pytest.raises(BadBackup):
        looks.compare(small.site, backup, small.state)
    if not unpacks:
        with pytest.raises(BadBackup):
            extraction.extract(small.site, backup, path.parent / "out", small.state, Authority())
        assert not list(path.parent.glob("*out*"))
    assert small.fingerprint() == before
    assert small.calls() == []
    assert not [left for left in (small.root / "state").glob("pacs_recover-scratch-*") if any(left.iterdir())]
    return str(error["message"])


Member = tuple[str, bytes, str, bytes]
"""Name, type, target, content."""
FINE: Member = ("pacs_bridge/config.yaml", tarfile.REGTYPE, "", b"name: x\n")


def archive(path: Path, *members: Member) -> Path:
    """A tar.gz of these, the sound configuration file first."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, kind, target, content in (FINE, *members):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(content)
            info.mode = 0o4755 if "setuid" in name else 0o644
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (("/etc/cron.d/evil", tarfile.REGTYPE, "", b"x"), "absolute"),
        (("pacs_bridge/out", tarfile.SYMTYPE, "../../../etc/passwd", b""), "leads out"),
        (("pacs_bridge/hard", tarfile.LNKTYPE, "/etc/shadow", b""), "absolute"),
        (("pacs_bridge/disk", tarfile.BLKTYPE, "", b""), "device"),
        (("pacs_bridge/pipe", tarfile.FIFOTYPE, "", b""), "pipe|fifo|FIFO"),
        (("pacs_bridge/setuid", tarfile.REGTYPE, "", b"x"), "setuid"),
        (("pacs_bridge/giant", tarfile.GNUTYPE_SPARSE, "", b""), "sparse"),
    ],
    ids=lambda value: value[0].split("/")[-1] if isinstance(value, tuple) else "",
)
def test_an_archive_that_escapes_or_links_or_is_no_plain_tree_is_6(
    shell: Shell, small: SmallSite, tmp_path: Path, member: Member, why: str
) -> None:
    message = refused(shell, small, archive(tmp_path / "config_20261110_020000.tar.gz", member), "config")
    assert any(word in message for word in why.split("|")), message


def test_a_bomb_a_giant_and_a_million_members_are_6_in_little_time_and_memory(
    shell: Shell, small: SmallSite, tmp_path: Path
) -> None:
    path = tmp_path / "config_20261110_020000.tar.gz"
    head = tarfile.TarInfo("pacs_bridge/config.yaml")
    head.size = 8 << 30
    zeros = gzip.compress(bytes(64 << 20), 6)
    path.write_bytes(gzip.compress(head.tobuf()) + zeros * 128)  # 8 GiB in 8 MB
    assert "over the" in refused(shell, small, path, "config")
    one = tarfile.TarInfo("pacs_bridge/again")
    one.type = tarfile.DIRTYPE
    path.write_bytes(gzip.compress(one.tobuf() * 10_000, 6) * 100)
    assert "10,000 members" in refused(shell, small, path, "config")
    giant = tmp_path / "queue_20261110_020000.db"
    shutil.copy(small.queue, giant)
    os.truncate(giant, 1 << 40)  # sparse
    assert "goes on after" in refused(shell, small, giant, "queue")
    bomb = tmp_path / "queue_20261110_030000.db.gz"
    bomb.write_bytes(gzip.compress(small.queue.read_bytes()) + zeros * 128)
    assert "goes on after" in refused(shell, small, bomb, "queue")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "a: !!python/object/apply:os.system [id]\n",
        "[" * 100_000,
        "a: " + "{b: " * 5_000,
        "x: 1\n" * 400_000,
        "a: \x1b[2J\n",
    ],
    ids=["aliases", "tag", "deep", "deep-map", "long", "escape"],
)
def test_yaml_that_bombs_or_acts_is_6_in_a_backup_and_2_as_a_site_file(
    shell: Shell, small: SmallSite, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "config_20261110_020000.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("pacs_bridge/config.yaml")
        info.size = len(text.encode())
        tar.addfile(info, io.BytesIO(text.encode()))
    refused(shell, small, path, "config", unpacks=True)
    site = tmp_path / "site.yaml"
    site.write_text(text)
    site.chmod(0o600)
    limited(Shell(small, ("--site", str(site))), "site", "check", code=2)


def test_a_difference_of_hostile_lines_takes_no_time(shell: Shell, small: SmallSite, tmp_path: Path) -> None:
    lines = "".join(f"k{number}: {number % 7}\n" for number in range(1900)) + "password: " + "\\\\" * 200_000 + "\n"
    path = archive(tmp_path / "config_20261110_020000.tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("pacs_bridge/config.yaml")
        info.size = len(lines)
        tar.addfile(info, io.BytesIO(lines.encode()))
    limited(shell, "diff", str(path), code=0)


def test_names_with_escapes_and_markup_reach_neither_the_terminal_nor_the_console_raw(
    shell: Shell, small: SmallSite, tmp_path: Path
) -> None:
    named = [(f"pacs_bridge/{EVIL}{end}", tarfile.REGTYPE, "", b"x") for end in ("", ".key", ".yaml")]
    path = tmp_path / f"config_20261110_020000{EVIL.replace('/', '')}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(small.config / "config.yaml", "pacs_bridge/config.yaml")
        for name, _, _, content in named:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    for command in (["preview", str(path)], ["diff", str(path)], ["plan", "config", "--backup", str(path)]):
        assert "evil" in " ".join(limited(shell, *command, code=0).out.split())
    backup = file.at(path)
    seen = looks.preview(small.site, backup, small.state)
    compared = looks.compare(small.site, backup, small.state)
    made = small.plan(str(path), words=["config"])
    on_screen([
        Line(catalog_view.row(backup, datetime.now(UTC), 80, False).text),
        *catalog_view.pane(backup, seen, "", ""),
        *preview_view.lines(backup, seen, "", "", compared, ""),
        *plan_view.lines(made, False),
    ])  # fmt: skip


def on_screen(lines: list[Line]) -> None:
    """What the widgets draw of these lines: no escapes, and markup is only text."""
    rows = [row for line in lines for row in line.wrapped(78)]
    harmless(rows)
    assert any("[bold red]" in row for row in rows)


def identity(subject: str, start: datetime, end: datetime) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject, _validate=False)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(*plain)


def certificates(path: Path, files: dict[str, bytes]) -> Path:
    """A bare tar of a certificate directory."""
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"certs/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_certificates_of_absurd_dates_and_names_and_huge_chains_are_answered(
    shell: Shell, small: SmallSite, tmp_path: Path
) -> None:
    path, now = tmp_path / "certs_20261110_020000.tar", datetime.now(UTC)
    far = identity(EVIL, datetime(1950, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    certificates(path, {"server.crt": far[0], "server.key": far[1], f"{EVIL.replace('/', '')}.pem": far[0]})
    limited(shell, "preview", str(path), code=0)
    limited(shell, "plan", "certs", "--backup", str(path), code=0)
    on_screen(preview_view.lines(
        file.at(path), looks.preview(small.site, file.at(path), small.state), "", "", None, "why"
    ))  # fmt: skip
    old = identity("x", now - timedelta(days=9), now - timedelta(days=8))
    refused(shell, small, certificates(path, {"server.crt": old[0], "server.key": old[1]}), "certs", unpacks=True)
    good = identity("pacs.example", now, now + timedelta(days=300))
    chain = {"server.crt": good[0] * 1500, "server.key": good[1]}
    limited(shell, "preview", str(certificates(path, chain)), code=0)
    refused(shell, small, certificates(path, {**chain, "chain.pem": good[0] * 1000}), "certs", unpacks=True)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "virtual table": lambda path: execute(path, "CREATE VIRTUAL TABLE v USING fts4(x)"),
    "generated column": lambda path: execute(path, "CREATE TABLE g (a, b AS (zeroblob(1000000000)))"),
    "computed index": lambda path: execute(path, "CREATE TABLE g (a); CREATE INDEX i ON g (abs(a))"),
    "corrupt index": damage_an_index,
    "lying schema": lambda path: execute(
        path, "PRAGMA writable_schema=ON; UPDATE sqlite_master SET rootpage = 999999 WHERE name = 'message_queue'"
    ),
    "many columns": lambda path: execute(path, f"CREATE TABLE wide ({','.join(f'c{n}' for n in range(1900))})"),
    "corrupt page": lambda path: overwrite(path, 4096 + 8),
    "corrupt first page": lambda path: overwrite(path, 100),
}


def overwrite(path: Path, at: int) -> None:
    """Put noise over the beginning of a page."""
    data = bytearray(path.read_bytes())
    data[at : at + 64] = b"\xa5" * 64
    path.write_bytes(data)


@pytest.mark.parametrize("how", HOSTILE)
def test_databases_that_compute_or_lie_are_6(shell: Shell, small: SmallSite, tmp_path: Path, how: str) -> None:
    path = queue(tmp_path / "queue_20261110_020000.db", many(50))
    HOSTILE[how](path)
    refused(shell, small, path, "queue", unpacks=True)


def test_triggers_and_views_lie_still_and_escapes_in_values_are_shown_safely(
    shell: Shell, small: SmallSite, tmp_path: Path
) -> None:
    path = queue(tmp_path / "queue_20261110_020000.db", many(5))
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE VIEW endless AS {endless}")
        database.execute(f'CREATE VIEW "{EVIL}" AS SELECT 1')
        database.execute("CREATE TRIGGER t AFTER UPDATE ON message_queue BEGIN DELETE FROM message_queue; END")
        database.execute(f'CREATE TABLE "{EVIL}table" (a)')
        database.execute(
            "INSERT INTO message_queue (id, destination, payload, created_at, scheduled_at, message_type)"
            " VALUES (?, ?, ?, '2026-11-10 02:00:00.000', '2026-11-10 02:00:00.000', ?)",
            (EVIL, EVIL, f"{SYNTHETIC}\x1b[2J{EVIL}", EVIL),
        )
    for command in (["preview", str(path)], ["diff", str(path)], ["plan", "queue", "--backup", str(path)]):
        for more in ([], ["--json"]):
            out = limited(shell, *command, *more, code=0).out
            assert "evil" in " ".join(out.split()) or command[0] == "plan"
    backup = file.at(path)
    seen = looks.preview(small.site, backup, small.state)
    lines = preview_view.lines(backup, seen, "", "", looks.compare(small.site, backup, small.state), "")
    on_screen([*lines, *plan_view.lines(small.plan(str(path), words=["queue"]), False)])
    assert not any(SYNTHETIC in line.text for line in lines)
