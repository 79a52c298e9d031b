"""The stand-in's HL7 listener: MLLP, over TLS where configured; a message is acknowledged once it is kept.

Its framing is its own: a drill that tries this listener shares no code with it.
"""

from __future__ import annotations

import secrets
import socket
import sqlite3
import ssl
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

from pacs_recover.demo.messages import Message
from pacs_recover.demo.queue import WAITING, waiting_row
from pacs_recover.demo.reading import Unusable

IDLE = 120.0
"""Seconds after which a silent sender is hung up on, as ``idle_timeout`` says."""
LARGEST = 10 << 20
START, END = b"\x0b", b"\x1c\r"
"""Around every message."""


@dataclass(frozen=True)
class Route:
    """Where messages of one type go."""

    destination: str
    priority: int


class Listener(ThreadingTCPServer):
    """The HL7 port."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], context: ssl.SSLContext | None, database: Path, routes: Mapping[str, Route]
    ) -> None:
        self.context = context
        self.database = database
        self.routes = routes
        try:
            super().__init__(address, Session)
        except OSError as error:
            raise Unusable(f"HL7 port {address[1]} cannot be used: {error.strerror}") from None
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that hung up, or speaks no TLS, is no concern of the service's."""

    def close(self) -> None:
        """Stop listening and free the port."""
        self.shutdown()
        self.server_close()


class Session(BaseRequestHandler):
    """One sender's connection."""

    server: Listener
    request: socket.socket

    def handle(self) -> None:
        """Acknowledge one message after another until the sender hangs up."""
        self.request.settimeout(IDLE)
        connection = self.request
        if self.server.context is not None:
            connection = self.server.context.wrap_socket(self.request, server_side=True)
        with closing(connection), suppress(OSError):
            arrived = b""
            while len(arrived) < LARGEST and (data := connection.recv(65536)):
                *whole, arrived = (arrived + data).split(END)
                for message in whole:
                    connection.sendall(START + self._answer(message.lstrip(b"\r\n" + START)) + END)

    def _answer(self, message: bytes) -> bytes:
        """The acknowledgement: AA once the message is committed, AR for a type without a destination, AE otherwise."""
        fields = message.split(b"\r", 1)[0].decode(errors="replace").split("|")
        if len(fields) < 12 or fields[0] != "MSH":
            return _acknowledgement(["MSH", "^~\\&", *[""] * 10], "AE")
        route = self.server.routes.get(kind := _kind(fields))
        if route is None:
            return _acknowledgement(fields, "AR")
        try:
            self._keep(message, kind, fields[9], route)
        except sqlite3.Error:
            return _acknowledgement(fields, "AE")
        return _acknowledgement(fields, "AA")

    def _keep(self, message: bytes, kind: str, control: str, route: Route) -> None:
        now = datetime.now(UTC)
        kept = Message(
            id=f"{int(now.timestamp() * 1000):012x}{secrets.token_hex(6)}",
            serial=0,
            destination=route.destination,
            payload=message.decode(errors="replace"),
            priority=route.priority,
            created_at=now,
            correlation_id=control,
            message_type=kind,
        )
        with closing(sqlite3.connect(self.server.database, timeout=5)) as database, database:
            database.execute(WAITING, waiting_row(kept))


def _kind(fields: list[str]) -> str:
    return "^".join(fields[8].split("^")[:2])


def _acknowledgement(fields: list[str], code: str) -> bytes:
    event = fields[8].split("^")[1:2] or [""]
    stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
    head = [*fields[:2], *fields[4:6], *fields[2:4], stamp, "", f"ACK^{event[0]}", secrets.token_hex(8), "T", "2.5.1"]
    return "".join(f"{'|'.join(segment)}\r" for segment in (head, ["MSA", code, fields[9]])).encode()


def routes(tree: Mapping[str, Any]) -> dict[str, Route]:
    """Destination by message type, as the outbound destinations of a configuration take them."""
    return {
        kind: Route(str(target["name"]), int(target.get("priority", 0)))
        for target in tree["hl7"].get("outbound", ())
        for kind in target.get("message_types", ())
    }
