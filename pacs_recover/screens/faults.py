"""A fault of ours: told in words, its traceback written to a file that is named."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress
from pathlib import Path

from pacs_recover.errors import RecoverError


def in_words(error: BaseException, home: Path) -> RecoverError:
    """What the operator reads; the rest goes to ``console.log`` in ``home``, else to a file in the user's home."""
    return RecoverError(f"something unexpected happened ({type(error).__name__})", write_down(error, home))


def write_down(error: BaseException, home: Path) -> str:
    """Append the traceback to the first file that takes it, and say which."""
    text = "".join(traceback.format_exception(error))
    for place in (home / "console.log", Path.home() / ".pacs_recover-console.log"):
        with suppress(OSError):
            fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "a", errors="backslashreplace") as file:
                file.write(text)
            return f"for its makers: {place}"
    return "it could not be written down"
