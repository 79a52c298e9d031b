"""The guide's functional validation: test messages over MLLP, the queue before and after, the health paths."""

from __future__ import annotations

import base64
import hashlib
import secrets
import sqlite3
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pacs_recover.components import Job
from pacs_recover.components.config import relocated
from pacs_recover.errors import RecoverError
from pacs_recover.events import Noted
from pacs_recover.formats import hl7_messages, pem, settings
from pacs_recover.formats.hl7_messages import Message
from pacs_recover.journal import Journal
from pacs_recover.model import Amount, Step, Work
from pacs_recover.services.prober import Answer, AskMllp, AskPort
from pacs_recover.services.sandboxed import Sandboxed
from pacs_recover.text import count, safe, seconds

PORT = 2575
"""Of the HL7 listener where the configuration names none (IANA: hl7)."""
QUEUED = 5.0
"""Seconds that an acknowledged message may take to reach the queue."""
POLL = 0.2
HEALTH = 5.0
"""Seconds that one health request may take."""
LOG = "see the service's own log"


@dataclass(frozen=True)
class Listener:
    """The HL7 port of the restored configuration."""

    port: int
    tls: bool = False
    certificate: str = ""
    """SHA-256 of the certificate that it has to show; empty: not known."""
    client: tuple[str, str] = ("", "")
    """Files of a certificate and key to show it."""


@dataclass
class Validation:
    """What is sent and seen; each result is noted for the report before anything fails because of it."""

    job: Job
    service: Sandboxed
    journal: Journal
    accepted: list[Message] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    last_row: int = 0

    def steps(self) -> Iterator[Step]:
        """Between the first answer and the soak."""
        yield Step("Every health path answers", self._health, kind="check")
        yield Step("Test messages are acknowledged over MLLP", self._messages, kind="check")
        yield Step("What was acknowledged is in the queue", self._queue, kind="check")

    def _health(self) -> str:
        site = self.job.look.site
        urls = site.drill.health if site.drill.health is not None else (site.health.url,) if site.health else ()
        seen = [self.service.inside().health(at_loopback(url), HEALTH) for url in urls]
        for health in seen:
            self._note("health", "Health", health.detail, bad=not health.ok)
        bad = [health.detail for health in seen if not health.ok]
        if bad:
            raise RecoverError(f"not healthy: {'; '.join(bad)}", LOG)
        return "; ".join(health.detail for health in seen) or "the site names none"

    def _messages(self) -> Work:
        messages, listener = self._to_send(), self._listener()
        self.began, self.last_row = datetime.now(UTC), self._newest_row()
        self._note("queue", "Queue before", self._state())
        problems = []
        self._wait_for(listener)
        for number, message in enumerate(messages):
            yield Amount(number, len(messages), "files")
            if problem := self._send(message, listener):
                problems.append(f"{message.label or message.type}: {problem}")
            else:
                self.accepted.append(message)
        if problems:
            raise RecoverError(f"{len(problems)} of {count(len(messages), 'message')}: {'; '.join(problems)}", LOG)
        over = "TLS, with the restored certificate" if listener.tls else "plain TCP"
        return f"{count(len(messages), 'message')} acknowledged at port {listener.port} over {over}"

    def _to_send(self) -> list[Message]:
        now = datetime.now(UTC)
        made = [hl7_messages.synthetic(kind, f"PRDRILL{secrets.token_hex(6)}", now) for kind in hl7_messages.TYPES]
        return [*made, *map(hl7_messages.from_file, self.job.look.site.drill.messages)]

    def _wait_for(self, listener: Listener) -> None:
        """Where there is no health endpoint, a service that runs may not listen yet. RecoverError."""
        deadline = time.monotonic() + self.job.look.site.start_timeout
        while (said := self.service.inside().ask(AskPort(listener.port, HEALTH))).problem:
            if time.monotonic() > deadline or self.service.state().activity != "active":
                raise RecoverError(f"the HL7 listener does not answer: {said.problem}", LOG)
            time.sleep(POLL)

    def _send(self, message: Message, listener: Listener) -> str:
        """Send one message and judge its acknowledgement; why it is not accepted."""
        timeout = self.job.look.site.drill.message_timeout
        said = self.service.inside().ask(
            AskMllp(listener.port, message.content, timeout, listener.tls, *listener.client)
        )
        problem, code = _judged(message, said, listener)
        shown = problem or f"{code} after {seconds(said.seconds)}, its control id matches"
        self._note("message", message.label or message.type, shown, bad=bool(problem))
        return problem

    def _queue(self) -> Work:
        wanted = [message for message in self.accepted if message.type in self._queued()]
        deadline, missing = time.monotonic() + QUEUED, wanted
        while missing := [message for message in missing if not self._is_queued(message)]:
            if time.monotonic() > deadline:
                break
            yield Amount(len(wanted) - len(missing), len(wanted), "files")
            time.sleep(POLL)
        state = self._state()
        self._note("queue", "Queue after", state, bad=bool(missing))
        if missing:
            raise RecoverError(
                f"acknowledged, but not in the queue: {', '.join(m.label or m.type for m in missing)} ({state})",
                "is it routed elsewhere? then name what must be queued as drill.queued",
            )
        return f"{count(len(wanted), 'new message')} found by control id; {state}"

    def _queued(self) -> set[str]:
        """Message types that must reach the queue: as the site says, else as the outbound destinations take them."""
        named = self.job.look.site.drill.queued
        if named is not None:
            return set(named)
        outbound = [target for target in _outbound(self._settings()) if settings.is_on(target.get("enabled", True))]
        return {str(kind) for target in outbound for kind in target.get("message_types") or ()}

    def _is_queued(self, message: Message) -> bool:
        """Whether a row that came since names the control id; the message itself stays where it is."""
        where = "(rowid > ? OR created_at >= ?) AND (correlation_id = ? OR instr(payload, ?) > 0)"
        since = f"{self.began:%Y-%m-%d %H:%M:%S}"
        values = (self.last_row, since, message.control_id, message.control_id)
        return self._one(f"SELECT count(*) FROM message_queue WHERE {where}", values) > 0  # noqa: S608 - no values in it

    def _newest_row(self) -> int:
        return self._one("SELECT ifnull(max(rowid), 0) FROM message_queue")

    def _state(self) -> str:
        waiting = self._one("SELECT count(*) FROM message_queue")
        dead = self._one("SELECT count(*) FROM dead_letter_queue")
        return f"{count(waiting, 'message')}, {count(dead, 'dead letter')}"

    def _one(self, query: str, values: tuple[Any, ...] = ()) -> int:
        """One number from the sandbox's own queue while its service uses it; 0 before that made it. RecoverError."""
        path = self.job.look.live["queue"]
        if not path.exists():
            return 0
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=QUEUED)) as database:
                return int(database.execute(query, values).fetchone()[0])
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return 0
            raise RecoverError(f"the sandbox's queue cannot be read: {safe(error)}", LOG) from error

    def _settings(self) -> settings.Tree:
        look = self.job.look
        return settings.expand(settings.read(look.live["config"] / look.site.live.config_file), look.environment).tree

    def _listener(self) -> Listener:
        """RecoverError where the configuration does not tell its port."""
        found = _section(self._settings(), "hl7", "listener")
        port, tls = found.get("port", PORT), _section(found, "tls")
        if not str(port).isdigit():
            raise RecoverError(
                "the restored configuration does not tell its HL7 port: it depends on a variable that is not known",
                "name the variable in drill.environment",
            )
        if not settings.is_on(tls.get("enabled", False)):
            return Listener(int(port))
        return Listener(int(port), True, self._shown(tls.get("cert_path")), self._client())

    def _shown(self, named: Any) -> str:
        """The hash of the certificate that the listener's section names, as restored."""
        file = self._restored(named)
        if file is None:
            return ""
        found = next((block for block in pem.blocks(file.read_bytes()) if block.is_certificate), None)
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found.text.decode())).hexdigest() if found else ""

    def _client(self) -> tuple[str, str]:
        """The certificate that the bridge itself shows to others: the listener may ask for one of its authority."""
        for target in _outbound(self._settings()):
            tls = _section(target, "tls")
            cert, key = self._restored(tls.get("cert_path")), self._restored(tls.get("key_path"))
            if cert and key:
                return str(cert), str(key)
        return "", ""

    def _restored(self, named: Any) -> Path | None:
        file = relocated(named if isinstance(named, str) else None, self.job.look.live["config"], self.job.look)
        return file if file and file.is_file() else None

    def _note(self, topic: str, title: str, evidence: str, *, bad: bool = False) -> None:
        self.journal.write(Noted, topic=topic, title=title, evidence=evidence, state="bad" if bad else "ok")


def _judged(message: Message, said: Answer, listener: Listener) -> tuple[str, str]:
    """Why the answer does not accept the message (empty where it does), and its code."""
    if said.problem:
        return said.problem, ""
    if listener.tls and listener.certificate not in ("", said.certificate):
        return "the listener shows another certificate than the restored one", ""
    try:
        found = hl7_messages.acknowledgement(base64.b64decode(said.content))
    except RecoverError as error:
        return error.message, ""
    return hl7_messages.refusal(message, found), found.code


def _outbound(tree: settings.Tree) -> Iterator[settings.Tree]:
    hl7 = _section(tree, "hl7")
    for key in ("outbound", "outbound_destinations"):
        found = hl7.get(key)
        yield from (target for target in (found if isinstance(found, list) else ()) if isinstance(target, dict))


def _section(tree: Any, *keys: str) -> settings.Tree:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def at_loopback(url: str) -> str:
    """The same address inside a sandbox, where every service is at loopback."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"127.0.0.1{port}").geturl()
