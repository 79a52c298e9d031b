"""From the site's words to services."""

from __future__ import annotations

import sys

from pacs_recover.services import services_of
from pacs_recover.services.command import Command
from pacs_recover.services.container import Container
from pacs_recover.services.systemd import Systemd
from pacs_recover.site import CommandConfig, ContainerConfig, Site, SystemdConfig


def test_every_kind_of_service_is_made_in_the_order_of_the_site() -> None:
    site = Site(
        services=(
            SystemdConfig(unit="litestream.service"),
            ContainerConfig(container="pacs_bridge", runtime="podman"),
            CommandConfig(name="proxy", start=("true",), stop=("true",), environment={"A": "1"}),
        ),
        start_timeout=7,
        stop_timeout=8,
    )
    unit, container, command = services_of(site)
    assert isinstance(unit, Systemd)
    assert (unit.unit, unit.name) == ("litestream.service", "litestream")
    assert isinstance(container, Container)
    assert (container.name, container.runtime) == ("pacs_bridge", "podman")
    assert isinstance(command, Command)
    assert command.environment() == {"A": "1"}
    assert [service.name for service in (unit, container, command)] == [config.name for config in site.services]
    assert {(service.start_timeout, service.stop_timeout) for service in (unit, container, command)} == {(7, 8)}


def test_a_site_without_services_has_none() -> None:
    assert services_of(Site(services=())) == ()


def test_commands_without_declared_variables_leave_the_environment_unknown() -> None:
    (command,) = services_of(Site(services=(CommandConfig(name="bridge", start=("true",), stop=("true",)),)))
    assert command.environment() is None


def test_the_commands_of_a_site_are_run_as_they_stand() -> None:
    argv = (sys.executable, "-c", "import sys; sys.exit(3)")
    (command,) = services_of(Site(services=(CommandConfig(name="bridge", start=argv, stop=argv, status=argv),)))
    assert command.state().activity == "stopped"
