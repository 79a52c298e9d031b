"""The format of ``openssl enc -aes-256-cbc -pbkdf2``: ``Salted__``, 8 bytes of salt, AES-256-CBC with PKCS#7 padding.

The format carries no MAC. A wrong key and damaged bytes cannot be told apart, and damage that leaves the last block
whole decrypts without an error: it garbles 16 bytes and flips bits in the next 16. Only what the content itself can
prove (a gzip CRC, tar headers, a key that matches its certificate, a recorded hash) finds it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.formats.streams import CHUNK, Pieces, Reader, exactly
from pacs_recover.text import safe

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

MAGIC = b"Salted__"
SALT = 8
BLOCK = 16
"""Bytes of an AES block."""
ROUNDS = 10_000
"""openssl's default for ``-pbkdf2``, with SHA-256 as the digest (apps/enc.c)."""
LONGEST_PASSWORD = 1023
"""openssl reads at most this many bytes of the line and ignores the rest (APP_PASS_LEN in apps/include/apps.h)."""
LONGEST_KEY_FILE = 16 << 10
"""Bytes of a key file that are looked at."""
WRONG_KEY = (
    "The format cannot tell a wrong key from damage. Check that the key file is the one the backup was made with "
    "(`openssl enc -aes-256-cbc -pbkdf2`); if it is, take another backup."
)


def password_from(key_file: Path) -> bytes:
    """The password as ``openssl -pass file:`` takes it: the first line, at most 1,023 bytes, cut at a NUL, CR kept.

    Raises SourceError where the file is missing, unreadable or gives no password.
    """
    name = safe(key_file)
    password = content_of(key_file)[:LONGEST_PASSWORD].split(b"\n")[0].split(b"\0")[0]
    if not password:
        raise SourceError(
            f"The key file {name} holds no key: its first line is empty",
            "The first line of the file is the key; put the key there that the backup was made with.",
        )
    return password


def content_of(key_file: Path) -> bytes:
    """What a key file says. SourceError where it is missing or unreadable."""
    try:
        return _head(key_file)
    except OSError as error:
        raise SourceError(
            f"The key file {safe(key_file)} cannot be read: {error.strerror}",
            "Put the backup key there again, or name its place in the site file; the key must not be kept "
            "only on the host that is to be recovered.",
        ) from error


def _head(key_file: Path) -> bytes:
    fd = os.open(key_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a fifo must not hang
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a regular file")
        return file.read(LONGEST_KEY_FILE)


class Decrypting(Pieces):
    """The plain bytes of an encrypted reader; reads raise BadBackup for a wrong key or damage, where that shows."""

    def __init__(self, raw: Reader, password: bytes) -> None:
        super().__init__(_decrypted(raw, password))


def _decrypted(raw: Reader, password: bytes) -> Iterator[bytes]:
    decryptor = _cipher(password, _salt(raw)).decryptor()
    buffer = bytearray(CHUNK + BLOCK)
    held = b""  # the last block so far, as it may be the padded one
    while chunk := exactly(raw, CHUNK):
        if len(chunk) % BLOCK:  # only ever the last chunk
            raise BadBackup(
                "The encryption layer is damaged: it ends inside a block", "It was cut short or changed: take another."
            )
        size = decryptor.update_into(chunk, buffer)
        yield held + buffer[: size - BLOCK]
        held = bytes(buffer[size - BLOCK : size])
    yield _unpadded(held)


def _salt(raw: Reader) -> bytes:
    header = exactly(raw, len(MAGIC) + SALT)
    if not header:
        raise BadBackup("The encryption layer is missing: the file is empty", "Take another backup.")
    if not header.startswith(MAGIC):
        raise BadBackup(
            "The encryption layer is missing: the file does not begin with Salted__",
            "It is damaged, or it was not made with `openssl enc` and a password.",
        )
    if len(header) < len(MAGIC) + SALT:
        raise BadBackup("The encryption layer is cut short: it ends inside its header", "Take another backup.")
    return header[len(MAGIC) :]


def _unpadded(block: bytes) -> bytes:
    if not block:
        raise BadBackup("The encryption layer is cut short: nothing follows its header", "Take another backup.")
    count = block[-1]
    if not 1 <= count <= BLOCK or block[-count:] != bytes([count]) * count:
        raise BadBackup("The encryption layer cannot be read to its end: wrong key, or damaged", WRONG_KEY)
    return block[:-count]


def encrypting(raw: Reader, password: bytes) -> Reader:
    """A reader of ``raw`` encrypted under a fresh salt, as ``openssl enc -d -aes-256-cbc -pbkdf2`` reads it."""
    return Pieces(_encrypted(raw, password))


def _encrypted(raw: Reader, password: bytes) -> Iterator[bytes]:
    salt = os.urandom(SALT)
    yield MAGIC + salt
    encryptor = _cipher(password, salt).encryptor()
    buffer = bytearray(CHUNK + 2 * BLOCK)
    full = True
    while full:
        chunk = exactly(raw, CHUNK)
        full = len(chunk) == CHUNK
        if not full:
            count = BLOCK - len(chunk) % BLOCK
            chunk += bytes([count]) * count
        yield bytes(buffer[: encryptor.update_into(chunk, buffer)])


def _cipher(password: bytes, salt: bytes) -> Cipher[modes.CBC]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # ``--help`` does not load it

    derived = hashlib.pbkdf2_hmac("sha256", password, salt, ROUNDS, 32 + BLOCK)
    return Cipher(algorithms.AES(derived[:32]), modes.CBC(derived[32:]))
