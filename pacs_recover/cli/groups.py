"""Many sites at once: a directory of site files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from pacs_recover import site
from pacs_recover.cli.context import Context
from pacs_recover.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def sites_option(function: F) -> F:
    """``--sites DIR``: the command gets ``contexts``, one for each site of the directory; else the one site's."""

    @wraps(function)
    def command(context: Context, /, *, directory: Path | None, **options: Any) -> Any:
        return function(context, contexts=_Contexts(context, directory), **options)

    option = click.option(
        "--sites", "directory", type=click.Path(path_type=Path), metavar="DIR", help="Every site file (*.yaml) in DIR."
    )
    return option(command)  # type: ignore[return-value]


class _Contexts(Sequence[Context]):
    """Loaded when first looked at, so that what is wrong with a file is told as any other error."""

    def __init__(self, context: Context, directory: Path | None) -> None:
        self._context, self._directory = context, directory
        self._found: tuple[Context, ...] = ()

    def _all(self) -> tuple[Context, ...]:
        if not self._found:
            self._found = _each(self._context, self._directory) if self._directory else (self._context,)
        return self._found

    def __getitem__(self, index: Any) -> Any:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())


def _each(context: Context, directory: Path) -> tuple[Context, ...]:
    """A context for each site file. UsageError where there is none, one has a problem, or two have one name."""
    if context.site_option:
        raise UsageError("--site and --sites exclude each other", "leave one of them out")
    found = tuple(replace(context, site_option=path) for path in site.files_in(directory))
    names = [one.site.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two site files of {directory} have the name {twice[0]}", "give each site a name of its own")
    return found
