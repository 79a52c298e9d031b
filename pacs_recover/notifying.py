"""Telling a command or a webhook that something starts, fails or ends: counts and names only, never for long."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import Any

from pacs_recover.errors import RecoverError
from pacs_recover.site import NotifyConfig, Site
from pacs_recover.text import safe, stamp

PATIENCE = 10.0
"""Seconds that a command or a webhook gets; what takes longer is given up."""


@dataclass
class Told:
    """What is told at the end."""

    ok: bool = False
    outcome: str = ""


@contextmanager
def around(site: Site, about: str, name: str, warn: Callable[[str], None]) -> Iterator[Told]:
    """Tell that it starts, and how it ends; the start is told beside the work, which never waits for it."""
    said, told = {"site": site.name, "about": about, "name": name}, Told()
    beginning = Thread(target=_tell, args=(site.notify, {**said, "moment": "start"}, warn), daemon=True)
    beginning.start()
    try:
        yield told
    except BaseException as error:
        told.ok, told.outcome = False, error.message if isinstance(error, RecoverError) else type(error).__name__
        raise
    finally:
        beginning.join(PATIENCE + 1)
        _tell(site.notify, {**said, "moment": "end" if told.ok else "failure", "outcome": told.outcome}, warn)


def _tell(config: NotifyConfig, said: dict[str, str], warn: Callable[[str], None]) -> None:
    """Tell both; what fails is told, and stops nothing."""
    data = json.dumps({**said, "host": socket.gethostname(), "at": stamp(datetime.now(UTC))}).encode()
    ways: dict[str, Callable[[bytes], None]] = {}
    if config.command:
        ways[safe(config.command[0])] = partial(_call, config.command)
    if config.webhook:
        ways["the webhook"] = partial(_post, config.webhook)  # its address may hold a secret
    for name, way in ways.items():
        try:
            way(data)
        except Exception as error:  # whatever it is, a restore must not end for it
            warn(f"{name} was not told of the {said['moment']}: {_why(error)}")


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"exit status {error.returncode}"
    code = getattr(error, "code", None)
    return f"HTTP {code}" if code else type(error).__name__


def _call(argv: tuple[str, ...], data: bytes) -> None:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME")}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(argv, input=data, timeout=PATIENCE, check=True, env=kept, **quiet)


def _post(url: str, data: bytes) -> None:
    from urllib.request import HTTPRedirectHandler, Request, build_opener  # deferred: few sites have a webhook

    class _Staying(HTTPRedirectHandler):
        """A redirect is not followed: it is told as what it is."""

        def redirect_request(self, *_: Any) -> None:
            """None."""
            return

    request = Request(url, data, {"Content-Type": "application/json"}, method="POST")  # noqa: S310 - checked: http(s)
    with build_opener(_Staying).open(request, timeout=PATIENCE):
        return
