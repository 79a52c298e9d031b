"""An independent HL7 service for a drill: the ``hl7`` package's own MLLP server, which really writes the queue.

It shares no code with the product. ``--fault`` makes it misbehave in one way; ``--dial`` has it call a peer all the
time, as a bridge with real orders in its queue does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import ssl
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server

TABLES = (
    "CREATE TABLE IF NOT EXISTS message_queue (id TEXT PRIMARY KEY, destination TEXT NOT NULL, payload TEXT NOT NULL,"
    " priority INTEGER DEFAULT 0, state INTEGER DEFAULT 0, created_at TEXT NOT NULL, scheduled_at TEXT NOT NULL,"
    " attempt_count INTEGER DEFAULT 0, last_error TEXT, correlation_id TEXT, message_type TEXT)"
)
INSERT = (
    "INSERT INTO message_queue (id, destination, payload, created_at, scheduled_at, correlation_id, message_type)"
    " VALUES (?, 'RIS_PRIMARY', ?, ?, ?, ?, ?)"
)


def keep(database: str, message: object) -> None:
    """One row for one message."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    control, kind = str(message["MSH.F10"]), str(message["MSH.F9"])  # type: ignore[index]
    with closing(sqlite3.connect(database, timeout=5)) as connection, connection:
        connection.execute(TABLES)
        connection.execute(INSERT, (os.urandom(8).hex(), str(message), now, now, control, kind))


def server(options: argparse.Namespace):  # type: ignore[no-untyped-def]
    async def answer(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        while not writer.is_closing():
            try:
                message = await reader.readmessage()
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if options.fault != "lost":
                keep(options.queue, message)
            if options.fault == "silent":
                continue
            ack = message.create_ack("AE" if options.fault == "ae" else "AA")
            if options.fault == "wrong-id":
                ack["MSA.F2"] = "SOMEBODY-ELSES"
            if options.fault in ("pieces", "half"):
                raw = b"\x0b" + str(ack).encode() + b"\x1c\r"
                for at in range(0, len(raw) if options.fault == "pieces" else len(raw) // 2, 7):
                    writer.write(raw[at : at + 7])
                    await writer.drain()
                    await asyncio.sleep(0.005)
            else:
                writer.writemessage(ack)
                await writer.drain()

    return answer


def health(port: int, code: int) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response({"/health/deep": code, "/health/ready": 200}.get(self.path, 404))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    Thread(target=HTTPServer(("127.0.0.1", port), Answer).serve_forever, daemon=True).start()


async def dial(host: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1)
            writer.close()
        except (OSError, TimeoutError):
            pass
        await asyncio.sleep(0.05)


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("queue", "certs", "dial", "seen"):
        parser.add_argument(f"--{name}", default="")
    for name in ("port", "health"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--fault", default="")
    options = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{options.certs}/server.crt", f"{options.certs}/server.key")
    health(options.health, 503 if options.fault == "unhealthy" else 200)
    if options.seen:
        tell(options)
    calls = [asyncio.create_task(dial(*_address(one))) for one in filter(None, options.dial.split(","))]
    async with await start_hl7_server(server(options), "127.0.0.1", options.port, ssl=context) as listening:
        await listening.serve_forever()
    await asyncio.gather(*calls)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def tell(options: argparse.Namespace) -> None:
    """What it can see and do in here, beside its queue: a file of the sandbox's, which a test has linked to outside."""
    tried: dict[str, object] = {
        "uid": os.getuid(),
        "interfaces": os.listdir("/sys/class/net") if Path("/sys/class/net").exists() else [],
    }
    for path in options.seen.split(","):
        tried[path] = os.path.exists(path)
    Path(options.queue).with_name("seen.json").write_text(json.dumps(tried))


if __name__ == "__main__":
    asyncio.run(main())
