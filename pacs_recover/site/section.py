"""What every section of the site file is made of."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(description="a duration: 30s, 5m, 1h, 7d, or a plain number of seconds")]
Argv = tuple[str, ...]
"""A command as an argument list; no shell reads it."""


class Closed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section of the site file: a key that it does not have is an error."""
