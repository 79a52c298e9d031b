"""Errors an operator can act on: what happened, what to do next, and the exit code of the command-line contract."""

from __future__ import annotations


class RecoverError(Exception):
    """Something went wrong that a person can act on; ``hint`` names the next action."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(RecoverError):
    """The command line or the site file is wrong."""

    exit_code = 2


class SourceError(RecoverError):
    """A source or a backup could not be read."""

    exit_code = 3


class RollbackIncomplete(RecoverError):
    """The rollback could not finish; ``left`` says exactly what a person has to do, in order."""

    exit_code = 4

    def __init__(self, message: str, left: tuple[str, ...], hint: str = "") -> None:
        super().__init__(message, hint)
        self.left = left


class Refused(RecoverError):
    """Not now: read-only, not armed, locked by another run, an unfinished run, no state directory."""

    exit_code = 5


class Busy(Refused):
    """Not now, but later: another run or a command has the site, or a run of it has not ended."""


class BadBackup(RecoverError):
    """The backup itself is damaged, foreign or not what it claims to be."""

    exit_code = 6


class Interrupted(RecoverError):
    """The operator stopped it before anything was changed."""

    exit_code = 130
