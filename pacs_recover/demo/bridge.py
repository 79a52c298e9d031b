"""The demo's stand-in for the bridge itself: one process that works on the queue and answers for its health."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import IO, NoReturn

from pacs_recover.demo.listener import Listener, routes
from pacs_recover.demo.messages import synthetic
from pacs_recover.demo.queue import DELIVERED, PENDING, PROCESSING, SCHEMA, WAITING, timestamp, waiting_row
from pacs_recover.demo.reading import Configuration, Unusable, configuration

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
CLEANUP_EVERY = 300.0
"""Seconds between two clean-ups of what is past its time to live, as in the real service."""
EXPIRE = (
    "INSERT INTO dead_letter_queue SELECT id, destination, payload, priority, created_at, attempt_count,"
    " 'Message expired (TTL exceeded)', ?, NULL, correlation_id, message_type FROM message_queue"
    " WHERE created_at < ? AND state != ?"
)
NEXT = "SELECT id FROM message_queue WHERE state = ? ORDER BY priority, scheduled_at LIMIT 1"


class Queue:
    """The queue database, as the service uses it. Raises sqlite3.Error, and Unusable for a damaged one."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path, timeout=5, isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        verdict = self.database.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise Unusable("the queue database is damaged")
        self.database.executescript(SCHEMA)
        self._random = Random()  # noqa: S311 - synthetic data, not secrets
        self._serial = int(time.time())

    def recover(self) -> int:
        """Give back what a worker had in hand when the service ended; how many."""
        change = "UPDATE message_queue SET state = ?, scheduled_at = ? WHERE state = ?"
        return self.database.execute(change, (PENDING, timestamp(datetime.now(UTC)), PROCESSING)).rowcount

    def accept(self) -> None:
        """Take in one new synthetic message, committed before it would be acknowledged to its sender."""
        self._serial += 1
        message = synthetic(self._random, self._serial, datetime.now(UTC))
        self.database.execute(WAITING, waiting_row(message))

    def deliver(self) -> None:
        """Send the next pending message: into a worker's hands, then gone once its receiver acknowledged it."""
        found = self.database.execute(NEXT, (PENDING,)).fetchone()
        if found is not None:
            self.database.execute("UPDATE message_queue SET state = ? WHERE id = ?", (PROCESSING, found[0]))
            self.database.execute("DELETE FROM message_queue WHERE id = ?", found)

    def expire(self, before: datetime) -> None:
        """Move what was created before ``before`` to the dead letters, delivered rows apart."""
        cutoff = (timestamp(before), DELIVERED)
        self.database.execute("BEGIN IMMEDIATE")
        self.database.execute(EXPIRE, (timestamp(datetime.now(UTC)), *cutoff))
        self.database.execute("DELETE FROM message_queue WHERE created_at < ? AND state != ?", cutoff)
        self.database.execute("COMMIT")

    def depth(self) -> int:
        """How many messages wait."""
        return int(self.database.execute("SELECT count(*) FROM message_queue").fetchone()[0])

    def close(self) -> None:
        """Close cleanly: the last connection's close checkpoints and removes the ``-wal`` file."""
        self.database.close()


class Log:
    """The service's own log file, one JSON object a line; counts and states, never a payload."""

    def __init__(self, path: Path) -> None:
        self.stream: IO[str] = open(  # noqa: SIM115 - open for the life of the process
            path, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)
        )

    def write(self, level: str, message: str, **fields: object) -> None:
        """One line, flushed."""
        line = {"timestamp": f"{datetime.now(UTC).isoformat(timespec='milliseconds')}", "level": level}
        self.stream.write(json.dumps({**line, "message": message, **fields}) + "\n")
        self.stream.flush()


class Health(ThreadingTCPServer):
    """The health server on loopback: ``/health/live``, ``/health/ready``, ``/health/deep``; all else is 404."""

    allow_reuse_address = True
    daemon_threads = True
    depth = 0
    """Messages that wait, as the working thread last counted them."""

    def __init__(self, port: int) -> None:
        try:
            super().__init__(("127.0.0.1", port), Answer)
        except OSError as error:
            raise Unusable(f"health port {port} cannot be used: {error.strerror}") from None
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no concern of the service's."""

    def close(self) -> None:
        """Stop answering and free the port."""
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    """One request to the health server."""

    timeout = 5
    server: Health

    def do_GET(self) -> None:
        """Answer 200 with JSON as the real service words it, or 404."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        checks = {"message_queue": "UP", "tls": "UP"}
        bodies: dict[str, dict[str, object]] = {
            "/health/live": {"status": "UP", "timestamp": now},
            "/health/ready": {"status": "UP", "timestamp": now, "checks": checks},
            "/health/deep": {"status": "UP", "timestamp": now, "components": self._components()},
        }
        body = bodies.get(self.path)
        content = json.dumps(body or {"error": "Not Found"}).encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _components(self) -> dict[str, object]:
        return {"message_queue": {"status": "UP", "metrics": {"depth": self.server.depth}}, "tls": {"status": "UP"}}

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: they would drown the log."""


def run_with(config_file: Path) -> str | None:
    """Serve with this configuration until stopped; what went wrong, in one line without any value that was read."""
    try:
        serve(configuration(config_file, os.environ))
    except Unusable as error:
        return str(error)
    except (sqlite3.Error, OSError) as error:
        return f"cannot go on: {type(error).__name__}: {error}"
    return None


def serve(settings: Configuration) -> None:
    """Work until a stop signal, then close the queue cleanly. Raises Unusable and sqlite3.Error."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # before any thread: only sigtimedwait takes them
    log = Log(settings.log_file)
    queue = Queue(settings.database)
    health = Health(settings.health_port)
    listener = Listener(settings.listener, settings.tls, settings.database, routes(settings.tree))
    log.write("info", "started", recovered=queue.recover(), depth=queue.depth())
    _work(settings, queue, health, log)
    listener.close()
    health.close()
    log.write("info", "stopped", depth=queue.depth())
    queue.close()


def _work(settings: Configuration, queue: Queue, health: Health, log: Log) -> None:
    begun = time.monotonic()
    due = {"accept": begun, "deliver": begun + settings.deliver_every, "expire": begun + CLEANUP_EVERY}
    while signal.sigtimedwait(STOP_SIGNALS, 0.05) is None:
        now = time.monotonic()
        if settings.fail_after is not None and now - begun >= settings.fail_after:
            _fail(log, settings.fail_after)
        if now >= due["accept"]:
            queue.accept()
            due["accept"] = now + settings.enqueue_every
        if now >= due["deliver"]:
            queue.deliver()
            due["deliver"] = now + settings.deliver_every
        if now >= due["expire"]:
            queue.expire(datetime.now(UTC) - settings.message_ttl)
            due["expire"] = now + CLEANUP_EVERY
        health.depth = queue.depth()


def _fail(log: Log, after: float) -> NoReturn:
    """Die as a crash does, the queue not closed: what was accepted since the start is in its ``-wal`` alone."""
    log.write("error", "failing on request", after=after)
    os.write(2, f"pacs_bridge: failing on request after {after:g} s (demo.fail_after in config.yaml)\n".encode())
    os._exit(1)
