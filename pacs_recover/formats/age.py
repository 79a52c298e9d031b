"""The format of age (age-encryption.org/v1): one X25519 stanza per reader, then ChaCha20-Poly1305 in pieces of 64 KiB.

Each piece is authenticated before it is given out and the last one says that it is the last, so a changed, shortened or
foreign file is told from a good one while it is read, in constant memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

from pacs_recover.errors import BadBackup, SourceError, UsageError
from pacs_recover.formats import openssl_enc
from pacs_recover.formats.streams import Pieces, Reader
from pacs_recover.text import safe

MAGIC = b"age-encryption.org/v1\n"
"""The first line of every such file (C2SP age, "Header")."""
IDENTITY = re.compile(rb"^AGE-SECRET-KEY-1[0-9A-Z]+[ \t\r]*$", re.MULTILINE)
RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
"""A public key in Bech32 (C2SP age, "The X25519 recipient type")."""
LONGEST_HEADER = 1 << 20
"""Bytes that are read before anything can be given out; the library would hold a header of any size in memory."""
NO_KEY = "make one and keep what is in the file: age-keygen >> KEY_FILE (its first line stays the password of openssl)"
OTHER_KEY = (
    "Check that the key file has the identity (AGE-SECRET-KEY-1…) that the backup was made for; else take another."
)
DAMAGED = "It was damaged or cut short since it was made: take another backup."


def identity_from(key_file: Path) -> str:
    """The first line of a key file that is an identity of age. SourceError where it cannot be read or has none."""
    found = IDENTITY.search(openssl_enc.content_of(key_file))
    if found is None:
        raise SourceError(f"the key file {safe(key_file)} has no identity of age", NO_KEY)
    return found[0].decode().strip()


class Decrypting(Pieces):
    """The plain bytes of an encrypted reader; reads raise BadBackup for another key's file and for any damage."""

    def __init__(self, raw: Reader, identity: str) -> None:
        super().__init__(_decrypted(raw, identity))


def encrypting(raw: Reader, identity: str, recipients: Iterable[str] = ()) -> Reader:
    """A reader of ``raw`` encrypted to an identity's own public key and to others, as ``age -d -i`` reads it.

    Raises SourceError for an identity, UsageError for a recipient that is none.
    """
    import pyrage

    own = _identity(identity)
    try:
        to = [own.to_public(), *(pyrage.x25519.Recipient.from_str(text) for text in recipients)]
    except pyrage.RecipientError as error:
        raise UsageError(
            f"one of the recipients is none: {safe(error)}", "write what age-keygen calls the public key"
        ) from None
    return Pieces(_Pump(raw, lambda source, sink: pyrage.encrypt_io(source, sink, to)).pieces())


def _identity(text: str) -> Any:
    import pyrage  # 12 MB, which nothing but an encrypted backup needs

    try:
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError:
        raise SourceError("the identity of age in the key file is damaged: its checksum is wrong", NO_KEY) from None


def _decrypted(raw: Reader, identity: str) -> Iterator[bytes]:
    import pyrage

    own = _identity(identity)
    try:
        yield from _Pump(raw, lambda source, sink: pyrage.decrypt_io(source, sink, [own])).pieces()
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise BadBackup("It is encrypted for another key than the key file's", OTHER_KEY) from None
        raise BadBackup(f"The encryption layer is damaged: {safe(error, 80)}", DAMAGED) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise BadBackup("The encryption layer is damaged: a piece of it is not what was encrypted", DAMAGED) from None


class _Pump:
    """Turns the library's copying, which calls us, into pieces that are asked for: it runs only while we wait for one.

    So nobody else reads the source meanwhile, and nothing is read ahead.
    """

    def __init__(self, source: Reader, work: Callable[[Any, Any], None]) -> None:
        self._source, self._work = source, work
        self._go, self._come = Semaphore(0), Semaphore(0)
        self._piece: bytes | None = None
        self._ahead = 0
        """Bytes read since something was last handed over."""
        self._error: BaseException | None = None
        self._closed = False

    def pieces(self) -> Iterator[bytes]:
        """What the work writes, piece by piece. Raises what the source or the work raised."""
        Thread(target=self._run, daemon=True, name="age").start()
        try:
            while (piece := self._next()) is not None:
                yield piece
            if self._error:
                raise self._error
        finally:
            self._closed = True
            self._go.release()

    def _next(self) -> bytes | None:
        self._go.release()
        self._come.acquire()
        piece, self._piece = self._piece, None
        return piece

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._work(self, self)
        except BaseException as error:
            self._error = self._error or error
        self._come.release()

    def read(self, n: int = -1, /) -> bytes:
        """What the work asks for; what goes wrong there is kept as it is, as the library would only quote it."""
        try:
            piece = self._source.read(n)
            self._ahead += len(piece)
            if self._ahead > LONGEST_HEADER:
                raise BadBackup("The encryption layer is damaged: its header does not end", DAMAGED)
            return piece
        except BaseException as error:
            self._error = error
            raise

    def write(self, piece: bytes, /) -> int:
        """Hand a piece over, and wait until the next one is wanted."""
        if piece and not self._closed:
            self._piece, self._ahead = bytes(piece), 0
            self._come.release()
            self._go.acquire()
        if self._closed:  # the library writes what it still holds even after an error
            raise BrokenPipeError
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""
