"""Many sites at once: a directory of site files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from pacs_recover import group
from pacs_recover.cli.context import Context
from pacs_recover.errors import RecoverError, UsageError
from pacs_recover.group import Member

F = TypeVar("F", bound=Callable[..., Any])


def sites_option(function: F) -> F:
    """``--sites DIR``: the command gets ``contexts``, one for each site of the directory; else the one site's."""

    @wraps(function)
    def command(context: Context, /, *, directory: Path | None, **options: Any) -> Any:
        return function(context, contexts=Contexts(context, directory), **options)

    option = click.option(
        "--sites", "directory", type=click.Path(path_type=Path), metavar="DIR", help="Every site file (*.yaml) in DIR."
    )
    return option(command)  # type: ignore[return-value]


class Contexts(Sequence[Context]):
    """Loaded when first looked at, so that what is wrong with a file is told as any other error."""

    def __init__(self, context: Context, directory: Path | None) -> None:
        self._context, self._directory = context, directory

    @cached_property
    def _members(self) -> list[Member]:
        if self._directory and self._context.site_option:
            raise UsageError("--site and --sites exclude each other", "leave one of them out")
        return group.members(self._directory) if self._directory else []

    @cached_property
    def _all(self) -> tuple[Context, ...]:
        if not self._directory:
            return (self._context,)
        return tuple(replace(self._context, site_option=one.path) for one in self._members if one.site)

    @property
    def failed(self) -> list[tuple[Member, RecoverError]]:
        """The site files that are none, each with what is wrong with it."""
        return [(one, one.problem) for one in self._members if one.problem]

    @property
    def is_group(self) -> bool:
        """Whether they come from a directory with more than one site file."""
        return len(self._members) > 1

    def __getitem__(self, index: Any) -> Any:
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)


def failed_code(failed: Sequence[Any], code: int = 0) -> int:
    """The exit code of a command on many sites of which some could not be looked at at all."""
    return code or (UsageError.exit_code if failed else 0)
