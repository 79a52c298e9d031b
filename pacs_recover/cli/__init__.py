"""The command line: everything the console does, for people, scripts, cron and monitoring."""

from __future__ import annotations

import os
import sys

from pacs_recover.errors import Interrupted, RecoverError

umask = 0o022
"""As this program was given it: for a command that it becomes."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the contract's code."""
    words = sys.argv[1:] if argv is None else argv
    _stand_in()
    global umask
    umask = os.umask(0o077)  # whatever is written is for its owner, unless a place says otherwise
    try:
        sys.exit(_run(words))
    except RecoverError as problem:
        error = problem
    except KeyboardInterrupt:
        error = Interrupted("interrupted: nothing was changed")
    from pacs_recover.cli import output

    output.error(error, "--json" in words)
    sys.exit(error.exit_code)


def _stand_in() -> None:
    """Have a standard stream that is closed lead nowhere: what is opened next must not be taken for it."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


def _run(words: list[str]) -> int:
    """Without a word it is the console, which is seen sooner where click is not loaded before it."""
    if not words and "_PACS_RECOVER_COMPLETE" not in os.environ:
        from pacs_recover.cli.console import open_console

        return open_console()
    from pacs_recover.cli import commands

    return commands.run(words)
