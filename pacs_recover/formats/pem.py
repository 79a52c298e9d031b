"""PEM: the blocks of a file, found in one pass whatever lies around or instead of them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

BEGIN, END, DASHES = b"-----BEGIN ", b"-----END ", b"-----"


class Block(Struct, frozen=True):
    """One ``-----BEGIN LABEL-----`` block; ``text`` is all of it, ready for a parser."""

    label: str
    text: bytes
    whole: bool = True
    """False where the end is missing or belongs to another label."""

    @property
    def is_certificate(self) -> bool:
        """Whether it says that it is a certificate."""
        return self.label in ("CERTIFICATE", "X509 CERTIFICATE")

    @property
    def is_key(self) -> bool:
        """Whether it says that it is a private key, of any kind."""
        return self.label.endswith("PRIVATE KEY")


def blocks(data: bytes) -> Iterator[Block]:
    """Every block of a file in its order; a last one that is cut off is not whole."""
    start = data.find(BEGIN)
    while start >= 0:
        label_end = data.find(DASHES, start + len(BEGIN), start + 100)
        if label_end < 0:
            start = data.find(BEGIN, start + 1)
            continue
        label = data[start + len(BEGIN) : label_end]
        stop = data.find(END, label_end)
        closing = END + label + DASHES
        whole = stop >= 0 and data.startswith(closing, stop)
        end = stop + len(closing) if whole else len(data) if stop < 0 else stop
        yield Block(label.decode("ascii", "replace"), data[start:end] + b"\n", whole)
        start = data.find(BEGIN, end)
