"""The services of a site, however each is run: a systemd unit, a container, commands, or none at all."""

from __future__ import annotations

from pacs_recover.model import Service
from pacs_recover.services.command import Command
from pacs_recover.services.container import Container
from pacs_recover.services.systemd import Systemd
from pacs_recover.site import CommandConfig, ContainerConfig, ServiceConfig, Site, SystemdConfig


def services_of(site: Site) -> tuple[Service, ...]:
    """What the site names, in its order: the order in which they are started."""
    return tuple(_service(site, config) for config in site.services)


def _service(site: Site, config: ServiceConfig) -> Service:
    match config:
        case SystemdConfig():
            return Systemd(config.unit, start_timeout=site.start_timeout, stop_timeout=site.stop_timeout)
        case ContainerConfig():
            return Container(
                config.container, config.runtime, start_timeout=site.start_timeout, stop_timeout=site.stop_timeout
            )
        case CommandConfig():
            return Command(
                config.name,
                config.start,
                config.stop,
                config.status,
                config.environment or None,  # where none are declared, its own start script may still set some
                start_timeout=site.start_timeout,
                stop_timeout=site.stop_timeout,
            )
