"""Whether things may be changed at all: asked by every verb that changes any, whichever front end calls it."""

from __future__ import annotations

from dataclasses import dataclass

from pacs_recover.errors import Refused


@dataclass(frozen=True)
class Authority:
    """What a front end hands to each verb that changes something; a read-only one's permits nothing."""

    read_only: bool = False

    def must_allow(self, what: str) -> None:
        """Refused where the operator said that nothing may be changed."""
        if self.read_only:
            raise Refused(f"{what} changes things, and this is READ-ONLY", "leave --read-only out to do it")
