"""MLLP over real sockets: whole, in pieces, too long, too late, and what is no MLLP at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.errors import RecoverError
from pacs_recover.formats.mllp import NoMessage, Peer, framed

ACK = b"MSH|^~\\&|A|B|C|D|2026||ACK|1|T|2.5.1\rMSA|AA|X\r"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Peer]]:
    """The other side, and ours."""
    one, other = socket.socketpair()
    with one, other:
        yield one, Peer(other, longest=1000)


def soon(seconds: float = 5.0) -> float:
    """A deadline."""
    return time.monotonic() + seconds


def test_a_message_is_framed_and_one_that_holds_a_framing_byte_is_refused(ends: tuple[socket.socket, Peer]) -> None:
    other, peer = ends
    peer.send(b"MSH|...\r", soon())
    assert other.recv(100) == b"\x0bMSH|...\r\x1c\r"
    for bad in (b"a\x0bb", b"a\x1cb"):
        with pytest.raises(RecoverError, match="framing byte"):
            framed(bad)


@given(cuts=st.lists(st.integers(1, 60), max_size=12))
def test_answers_are_put_together_however_they_are_cut_and_told_apart_when_they_come_together(cuts: list[int]) -> None:
    one, other = socket.socketpair()
    with one, other:
        data = framed(ACK) + b"\r\n" + framed(b"second")

        def feed() -> None:
            rest = data
            for cut in [*cuts, len(data)]:
                one.sendall(rest[:cut])
                rest = rest[cut:]
            one.sendall(rest)

        thread = threading.Thread(target=feed)
        thread.start()
        peer = Peer(other)
        assert [peer.receive(soon()), peer.receive(soon())] == [ACK, b"second"]
        thread.join()


def test_no_answer_ends_at_its_deadline_and_half_of_one_is_said(ends: tuple[socket.socket, Peer]) -> None:
    other, peer = ends
    began = time.monotonic()
    with pytest.raises(NoMessage, match=r"^no answer within 0\.2 s$"):
        peer.receive(soon(0.2))
    other.sendall(framed(ACK)[:20])
    with pytest.raises(NoMessage, match=r"no answer within 0\.2 s \(only 20 Bytes of one\)"):
        peer.receive(soon(0.2))
    assert time.monotonic() - began < 2


def test_a_trickle_does_not_move_the_deadline(ends: tuple[socket.socket, Peer]) -> None:
    other, peer = ends
    stop = threading.Event()

    def trickle() -> None:
        other.sendall(b"\x0b")
        while not stop.wait(0.02):
            other.sendall(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    with pytest.raises(NoMessage, match="no answer within"):
        peer.receive(soon(0.4))
    assert 0.3 < time.monotonic() - began < 2
    stop.set()
    thread.join()


def test_an_end_without_an_answer_is_said(ends: tuple[socket.socket, Peer]) -> None:
    other, peer = ends
    other.shutdown(socket.SHUT_WR)
    with pytest.raises(NoMessage, match="closed without an answer"):
        peer.receive(soon())


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01", b"MSH|no frame\r"])
def test_b15_what_speaks_no_mllp_is_told_as_such(ends: tuple[socket.socket, Peer], said: bytes) -> None:
    other, peer = ends
    other.sendall(said)
    with pytest.raises(NoMessage, match="does not speak MLLP"):
        peer.receive(soon())


@pytest.mark.parametrize("end", [b"", b"\x1c\r"])
def test_an_answer_without_end_is_not_read_without_end(ends: tuple[socket.socket, Peer], end: bytes) -> None:
    other, peer = ends
    other.sendall(b"\x0b" + b"x" * 2000 + end)
    with pytest.raises(NoMessage, match="longer than"):
        peer.receive(soon())


def test_a_receiver_that_does_not_read_does_not_hold_the_sender_up(ends: tuple[socket.socket, Peer]) -> None:
    _, peer = ends
    with pytest.raises(NoMessage, match="not taken"):
        peer.send(b"x" * (8 << 20), soon(0.3))
    with pytest.raises(NoMessage, match="not taken"):
        peer.send(b"x", time.monotonic() - 1)
