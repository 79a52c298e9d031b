"""The format of age: what its own program writes is read and the other way round; no damage passes."""

from __future__ import annotations

import gzip
import io
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519

from pacs_recover.errors import BadBackup, SourceError, UsageError
from pacs_recover.formats import age
from pacs_recover.formats.openssl_enc import password_from
from pacs_recover.formats.streams import Hashing, chunks
from pacs_recover.formats.suffixes import format_of
from pacs_recover.formats.wrapping import sniff, unwrap

OWN, OTHER = x25519.Identity.generate(), x25519.Identity.generate()
CONTENT = bytes(range(256)) * 1000
STORED = age.encrypting(io.BytesIO(CONTENT), str(OWN)).read()


class Dribble:
    """A reader that gives little at a time and counts what was taken."""

    def __init__(self, data: bytes) -> None:
        self._raw, self.taken = io.BytesIO(data), 0

    def read(self, n: int = -1, /) -> bytes:
        piece = self._raw.read(min(n, 1000) if n >= 0 else 1000)
        self.taken += len(piece)
        return piece


@pytest.mark.needs("age", reason="the format is its")
def test_both_ways_with_its_own_program(tmp_path: Path) -> None:
    identity, stored = tmp_path / "identity", tmp_path / "stored"
    identity.write_text(f"# comment\n{OWN}\n")
    stored.write_bytes(STORED)
    read = subprocess.run(["age", "-d", "-i", identity, stored], capture_output=True, check=True).stdout
    assert read == CONTENT
    made = subprocess.run(["age", "-r", str(OWN.to_public())], input=CONTENT, capture_output=True, check=True).stdout
    assert age.Decrypting(Dribble(made), str(OWN)).read() == CONTENT


def test_others_can_be_let_in_and_nobody_else() -> None:
    stored = age.encrypting(io.BytesIO(CONTENT), str(OWN), [str(OTHER.to_public())]).read()
    for identity in (OWN, OTHER):
        assert age.Decrypting(io.BytesIO(stored), str(identity)).read() == CONTENT
    with pytest.raises(BadBackup, match="another key"):
        age.Decrypting(io.BytesIO(STORED), str(OTHER)).read()
    with pytest.raises(UsageError, match="recipients"):
        age.encrypting(io.BytesIO(b""), str(OWN), ["age1" + "q" * 58])
    with pytest.raises(SourceError, match="checksum"):
        age.encrypting(io.BytesIO(b""), "AGE-SECRET-KEY-1QQQ")


@given(at=st.integers(0, len(STORED) - 1), bit=st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_b12_every_bit_flip_is_found_and_nothing_wrong_is_given_out(at: int, bit: int) -> None:
    damaged = bytearray(STORED)
    damaged[at] ^= 1 << bit
    given_out: list[bytes] = []
    with pytest.raises(BadBackup):
        given_out.extend(chunks(age.Decrypting(io.BytesIO(bytes(damaged)), str(OWN)), 10_000))
    assert CONTENT.startswith(b"".join(given_out))


@pytest.mark.parametrize("length", [0, 1, 30, 150, 0.5, -1])
def test_a_file_that_was_cut_is_refused(length: float) -> None:
    with pytest.raises(BadBackup):
        age.Decrypting(
            io.BytesIO(STORED[: int(len(STORED) * length) if length == 0.5 else int(length)]), str(OWN)
        ).read()
    with pytest.raises(BadBackup):
        age.Decrypting(io.BytesIO(STORED + b"x"), str(OWN)).read()


def test_what_the_source_raises_comes_through_and_it_is_read_by_nobody_else() -> None:
    class Broken:
        def read(self, n: int = -1, /) -> bytes:
            raise SourceError("the share is gone")

    with pytest.raises(SourceError, match="the share is gone"):
        age.Decrypting(Broken(), str(OWN)).read()
    source = Dribble(STORED)
    reader = age.Decrypting(source, str(OWN))
    reader.read(10)
    taken = source.taken
    threading.Event().wait(0.05)
    assert source.taken == taken < len(STORED)
    hashing = Hashing(source)  # as when damage inside was found, and the rest is held against the recorded hash
    hashing.drain()
    assert source.taken == len(STORED)


def test_a_header_that_never_ends_is_refused() -> None:
    class Endless:
        taken = 0

        def read(self, n: int = -1, /) -> bytes:
            piece = (age.MAGIC if not self.taken else b"") + b"-> x " + b"A" * n
            self.taken += n
            return piece[:n]

    source = Endless()
    with pytest.raises(BadBackup, match="does not end"):
        age.Decrypting(source, str(OWN)).read()
    assert source.taken < 2 * age.LONGEST_HEADER


def test_a_reader_that_is_left_leaves_nothing_running() -> None:
    before = threading.active_count()
    for _ in range(20):
        age.Decrypting(io.BytesIO(STORED), str(OWN)).read(10)
    threading.Event().wait(0.1)
    assert threading.active_count() <= before + 1


def test_names_and_first_bytes_tell_it() -> None:
    stored = age.encrypting(io.BytesIO(gzip.compress(b"SQLite format 3\0" + CONTENT)), str(OWN)).read()
    assert format_of("queue_20261110_020000.db.gz.age") == "db.gz.age"
    assert sniff(stored) == "age"
    for format in ("db.gz.age", ""):
        reader = unwrap(io.BytesIO(stored), format, lambda: b"", lambda: str(OWN))
        assert reader.read() == b"SQLite format 3\0" + CONTENT
    with pytest.raises(SourceError, match="no key file is known"):
        unwrap(io.BytesIO(stored), "db.gz.age", lambda: b"")


def test_a_key_file_has_the_password_of_openssl_and_an_identity(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(f"password\n# created: 2026-11-10\n# public key: {OWN.to_public()}\n{OWN}\r\n{OTHER}\n")
    assert age.identity_from(key) == str(OWN)
    assert password_from(key) == b"password"
    key.write_text(f"{OWN}\n")
    assert (age.identity_from(key), password_from(key)) == (str(OWN), str(OWN).encode())
    key.write_text("password\n")
    with pytest.raises(SourceError, match="no identity of age"):
        age.identity_from(key)
    with pytest.raises(SourceError, match="cannot be read"):
        age.identity_from(tmp_path / "none")
