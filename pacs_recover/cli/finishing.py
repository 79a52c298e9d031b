"""Work that is done to its end, whoever reads of it: a backup of cron does not end with the pipe it writes to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pacs_recover.cli import output
from pacs_recover.cli.context import UNREAD, leave
from pacs_recover.errors import RecoverError


class Heeded:
    """A stream that may fail: what is written from then on goes nowhere, and whoever writes goes on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream's own."""
        self._trying(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As the stream's own."""
        self._trying(self._stream.flush)

    def _trying(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except OSError as error:
            self.error = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextmanager
def finishing() -> Iterator[None]:
    """Do all of the work; that its output was not read, or could not be written, is told by the exit code."""
    streams, out = (sys.stdout, sys.stderr), Heeded(sys.stdout)
    sys.stdout, sys.stderr = out, Heeded(sys.stderr)
    try:
        yield
        leave(0)
    except SystemExit as end:
        if out.error and not end.code:
            end.code = _unread(out.error)
        raise
    finally:
        sys.stdout, sys.stderr = streams


def _unread(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):
        return UNREAD
    said = f"all was done, but not all of it could be told: {error.strerror}"
    output.error(RecoverError(said, "see where the output goes to"), False)
    return RecoverError.exit_code
