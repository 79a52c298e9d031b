"""The sections of the site file that say how a service is controlled."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from pacs_recover.site.section import Argv, Closed


class SystemdConfig(Closed, frozen=True, tag_field="kind", tag="systemd"):
    """A systemd unit."""

    unit: str

    @property
    def name(self) -> str:
        """What an operator calls it."""
        return self.unit.removesuffix(".service")


class ContainerConfig(Closed, frozen=True, tag_field="kind", tag="container"):
    """A container of docker or podman."""

    container: str
    runtime: Literal["docker", "podman"] = "docker"

    @property
    def name(self) -> str:
        """What an operator calls it."""
        return self.container


class CommandConfig(Closed, frozen=True, tag_field="kind", tag="command"):
    """A service that is controlled by commands; ``status`` exits 0 while it runs."""

    name: str
    start: Argv
    stop: Argv
    status: Argv = ()
    """Empty: whether it runs can only be told by the health endpoint."""
    environment: dict[str, str] = field(default_factory=dict)
    """What the commands get beside PATH, the language and the like, and the configuration is expanded with."""


ServiceConfig = SystemdConfig | ContainerConfig | CommandConfig
