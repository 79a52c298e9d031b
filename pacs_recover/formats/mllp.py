"""MLLP, the framing of HL7 over TCP (HL7 v2.5.1, appendix C): ``0x0b`` message ``0x1c 0x0d``, every wait bounded."""

from __future__ import annotations

import socket
import time

from pacs_recover.errors import RecoverError
from pacs_recover.text import seconds, size

START, END = b"\x0b", b"\x1c\r"
LONGEST = 1 << 20
"""Bytes of one message; an acknowledgement has some hundred."""
CHUNK = 65536


class NoMessage(RecoverError):
    """The other side sent no whole message in time."""


def framed(message: bytes) -> bytes:
    """The message in its frame. RecoverError where it holds a byte that the frame needs."""
    if START in message or b"\x1c" in message:
        raise RecoverError("the message holds a framing byte (0x0b or 0x1c)", "an HL7 message is text: see the file")
    return START + message + END


class Peer:
    """One connection that speaks MLLP; what arrives in pieces, or together, is put right."""

    def __init__(self, connection: socket.socket, longest: int = LONGEST) -> None:
        self.connection = connection
        self.longest = longest
        self._arrived = bytearray()

    def send(self, message: bytes, deadline: float) -> None:
        """Send one message whole, by a moment of the monotonic clock. NoMessage, OSError."""
        self._until(deadline, "the message was not taken")
        try:
            self.connection.sendall(framed(message))
        except TimeoutError:
            raise NoMessage("the message was not taken in time", "") from None

    def receive(self, deadline: float) -> bytes:
        """The next whole message. NoMessage where none comes, the connection ends or it is no MLLP; OSError."""
        began = time.monotonic()
        while (found := self._next()) is None:
            waited = seconds(max(0.0, deadline - began))
            self._until(deadline, f"no answer within {waited}{self._part()}")
            try:
                data = self.connection.recv(CHUNK)
            except TimeoutError:
                raise NoMessage(f"no answer within {waited}{self._part()}", "") from None
            if not data:
                raise NoMessage(f"the connection was closed without an answer{self._part()}", "")
            self._arrived += data
        return found

    def _next(self) -> bytes | None:
        """A whole message that has arrived; line ends between two frames are nothing."""
        text = self._arrived.lstrip(b"\r\n")
        if text and not text.startswith(START):
            raise NoMessage("what answers there does not speak MLLP", "is it the HL7 port that was asked?")
        end = text.find(END)
        if max(end, len(text) if end < 0 else 0) > self.longest:
            raise NoMessage(f"the answer is longer than {size(self.longest)}", "")
        if end < 0:
            return None
        self._arrived = text[end + len(END) :]
        return bytes(text[len(START) : end])

    def _until(self, deadline: float, late: str) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise NoMessage(late, "")
        self.connection.settimeout(left)

    def _part(self) -> str:
        return f" (only {size(len(self._arrived))} of one)" if self._arrived else ""
