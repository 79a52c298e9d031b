from __future__ import annotations

import io
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.formats.openssl_enc import Decrypting, encrypting, password_from
from pacs_recover.formats.streams import CHUNK, chunks
from tests.formats.samples import Dribble, refusal, unhurried

needs_openssl = pytest.mark.needs("openssl", reason="the backups are made with it")
ENC = ["openssl", "enc", "-aes-256-cbc", "-salt", "-pbkdf2", "-pass"]
LENGTHS = [0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK - 16, 2 * CHUNK + 5]


def openssl(content: bytes, key_file: Path, *more: str) -> bytes:
    return subprocess.run([*ENC, f"file:{key_file}", *more], input=content, capture_output=True, check=True).stdout


def decrypted(content: bytes, password: bytes = b"secret") -> bytes:
    return Decrypting(io.BytesIO(content), password).read()


def encrypted(content: bytes, password: bytes = b"secret") -> bytes:
    return encrypting(io.BytesIO(content), password).read()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "backup_key"
    file.write_bytes(b"secret\n")
    return file


@needs_openssl
@pytest.mark.parametrize("length", LENGTHS)
def test_what_openssl_encrypts_is_decrypted_byte_for_byte(length: int, key_file: Path) -> None:
    content = os.urandom(length)
    assert decrypted(openssl(content, key_file)) == content


@needs_openssl
@pytest.mark.parametrize("length", LENGTHS)
def test_openssl_decrypts_what_is_encrypted_here(length: int, key_file: Path) -> None:
    content = os.urandom(length)
    stored = encrypted(content)
    assert len(stored) == len(openssl(content, key_file))
    assert openssl(stored, key_file, "-d") == content


@unhurried
@given(st.binary(max_size=300), st.integers(min_value=1, max_value=40), st.integers(min_value=1, max_value=40))
def test_a_round_trip_works_over_readers_that_dribble(content: bytes, most: int, size: int) -> None:
    stored = encrypting(Dribble(content, most), b"k").read()
    assert b"".join(chunks(Decrypting(Dribble(stored, most), b"k"), size)) == content


def test_two_encryptions_of_the_same_bytes_share_nothing() -> None:
    assert encrypted(b"same")[8:] != encrypted(b"same")[8:]


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (b"", "is empty"),
        (b"Salted_", "does not begin with Salted__"),
        (b"\x1f\x8b\x08" + bytes(60), "does not begin with Salted__"),
        (b"Salted__1234", "ends inside its header"),
        (b"Salted__12345678", "nothing follows its header"),
        (b"Salted__12345678" + bytes(15), "ends inside a block"),
        (b"Salted__12345678" + bytes(33), "ends inside a block"),
    ],
)
def test_what_is_no_encrypted_backup_is_refused_with_the_reason(stored: bytes, why: str) -> None:
    with pytest.raises(BadBackup, match=why) as caught:
        decrypted(stored)
    assert "encryption layer" in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 6


def test_a_wrong_key_is_said_to_be_wrong_key_or_damaged() -> None:
    stored = encrypted(b"content" * 9)
    refusals = [refusal(partial(decrypted, stored, b"wrong%d" % number)) for number in range(64)]
    said = [(refused.message, refused.hint) for refused in refusals if refused]
    assert len(said) > 48  # 1 wrong key in 256 leaves a padding that looks right
    assert all("wrong key, or damaged" in message and "key file" in hint for message, hint in said)


@needs_openssl
@pytest.mark.parametrize("end", [b"\0", b"\x11", b"\xff", b"\1\2", b"\x0f" * 14 + b"\x10", b"\2\3\3"])
def test_a_padding_that_is_none_is_refused_as_openssl_refuses_it(end: bytes, key_file: Path) -> None:
    stored = openssl(b"x" * (32 - len(end)) + end, key_file, "-nopad")
    with pytest.raises(subprocess.CalledProcessError):
        openssl(stored, key_file, "-d")
    with pytest.raises(BadBackup, match="wrong key, or damaged"):
        decrypted(stored)


def test_a_backup_cut_at_a_block_is_refused() -> None:
    stored = encrypted(b"x" * 160)
    with pytest.raises(BadBackup, match="wrong key, or damaged"):
        decrypted(stored[:-16])


@unhurried
@given(st.integers(min_value=16, max_value=16 + 160 - 1), st.integers(min_value=0, max_value=7))
def test_b12_a_bit_flip_in_the_middle_garbles_one_block_and_flips_one_bit_as_cbc_has_no_mac(at: int, bit: int) -> None:
    content = bytes(range(200)) + bytes(15)
    stored = bytearray(encrypted(content))
    stored[at] ^= 1 << bit
    damaged = decrypted(bytes(stored))
    block = (at - 16) // 16
    same = [damaged[i : i + 16] == content[i : i + 16] for i in range(0, len(content), 16)]
    assert [i for i, equal in enumerate(same) if not equal] == [block, block + 1]
    assert damaged[at] ^ content[at] == 1 << bit


KEY_FILES = {
    "one line": b"secret\n",
    "no newline": b"secret",
    "two lines": b"secret\nother\n",
    "CRLF": b"secret\r\n",
    "only CR": b"secret\rother",
    "spaces": b"  secret \t\n",
    "a byte order mark": b"\xef\xbb\xbfsecret\n",
    "bytes that are no text": b"\xff\xfe\x01\n",
    "NUL inside": b"sec\0ret\n",
    "1,022 bytes": b"k" * 1021 + b"!\n",
    "1,023 bytes": b"k" * 1022 + b"!\n",
    "1,024 bytes": b"k" * 1022 + b"!?\n",
    "5,000 bytes": b"k" * 1022 + b"!" + b"?" * 4000,
}


@needs_openssl
@pytest.mark.parametrize("content", KEY_FILES.values(), ids=KEY_FILES)
def test_the_password_is_the_one_that_openssl_reads(content: bytes, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(content)
    assert decrypted(openssl(b"content", key_file), password_from(key_file)) == b"content"


@pytest.mark.parametrize("content", [b"", b"\n", b"\nsecret\n", b"\0secret\n"])
def test_a_key_file_without_a_first_line_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(content)
    with pytest.raises(SourceError, match="first line is empty") as caught:
        password_from(key_file)
    assert str(key_file) in caught.value.message
    assert "secret" not in caught.value.message + caught.value.hint


def test_a_key_file_that_cannot_be_read_is_named_with_the_reason_and_a_hint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, why in {"missing": "No such file", ".": "directory", "fifo": "not a regular file"}.items():
        with pytest.raises(SourceError, match=why) as caught:
            password_from(tmp_path / name)
        assert str(tmp_path / name) in caught.value.message
        assert "site file" in caught.value.hint
