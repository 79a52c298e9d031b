"""What a site is: one PACS Bridge installation, with the guide's values where the site file says nothing."""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import field

from pacs_recover.formats import archive
from pacs_recover.site.section import Argv, Closed, Seconds
from pacs_recover.site.services import ServiceConfig, SystemdConfig
from pacs_recover.site.sources import BucketConfig, LitestreamConfig, LocalConfig, S3Config, SourceConfig
from pacs_recover.site.zones import zone

Tier = Literal["hot", "warm"]


class Live(Closed, frozen=True):
    """Where the live parts are."""

    config: Path = Path("/etc/pacs_bridge")
    """The whole tree, which a restore of the configuration replaces."""
    config_file: str = "config.yaml"
    """The service's configuration file, relative to that tree."""
    certs: Path = Path("/etc/pacs_bridge/certs")
    queue: Path = Path("/var/lib/pacs_bridge/queue.db")
    logs: Path = Path("/var/log/pacs_bridge")

    def __post_init__(self) -> None:
        file = Path(self.config_file)
        if file.is_absolute() and file.is_relative_to(self.config):
            msgspec.structs.force_setattr(self, "config_file", str(file.relative_to(self.config)))


class HealthConfig(Closed, frozen=True):
    """The endpoint that answers 200 when the service is ready."""

    url: str
    timeout: Seconds = 60.0
    """Of the wait for the first good answer."""


class DrillConfig(Closed, frozen=True):
    """How a drill runs the service in a sandbox, and how it tries it there."""

    every: Seconds = 31 * 86400.0
    """After this without a drill that passed, ``status`` says that one is overdue."""
    sandbox: Literal["auto", "process", "container", "root"] = "auto"
    """``auto``: as the service is run, a container or a process; ``root``: files only, no service is started."""
    service: str | None = None
    """Which of the site's services; None: the only one that is not Litestream."""
    start: Argv = ()
    """The service's program in the foreground, ``{config}`` for its configuration file; empty: as the service says."""
    environment: dict[str, str] = field(default_factory=dict)
    """Beside the service's own, which they override."""
    readable: tuple[Path, ...] = ()
    """Directories that the program needs to run, beside the system's own and its own."""
    writable: tuple[Path, ...] = ()
    """Directories that it writes beside the live ones; in the sandbox they begin empty."""
    image: str | None = None
    """Of the container; None: that of the site's container."""
    runtime: Literal["docker", "podman"] | None = None
    """None: that of the site's container, else docker."""
    health: tuple[str, ...] | None = None
    """Addresses that must answer 200 to 299, in the sandbox always at loopback; None: the site's."""
    messages: tuple[Path, ...] = ()
    """Files with one HL7 message each, which are sent beside the synthetic ones."""
    message_timeout: Seconds = 10.0
    """Of the wait for an acknowledgement."""
    queued: tuple[str, ...] | None = None
    """Message types that must reach the queue; None: those that an enabled outbound destination takes."""


class Objective(Closed, frozen=True):
    """How fast a component has to be back, and how old its newest backup may be."""

    rto: Seconds
    rpo: Seconds | None = None
    """None: the age of its backups is not judged."""


class NotifyConfig(Closed, frozen=True):
    """Who is told when a run, a drill or a verification starts, fails or ends."""

    command: Argv = ()
    """Gets one JSON object on its standard input."""
    webhook: str | None = None
    """An address of http or https that the same object is posted to."""


Component = Literal["config", "certs", "queue", "logs"]


class BackupConfig(Closed, frozen=True):
    """Where backups are made to, and which of them are encrypted beyond what the guide does."""

    to: tuple[str, ...] = ()
    """Names of sources: directories, buckets, Git; empty: the first directory."""
    encrypt: tuple[Component, ...] = ()
    """With age; certificates are encrypted with openssl where they are not named here."""
    recipients: tuple[str, ...] = ()
    """Public keys of age that can read these too, beside the one in the key file."""


class Ages(Closed, frozen=True):
    """How old a component's backups become in each tier, counted from when they were taken."""

    hot: Seconds | None = None
    """Until then at hand; None: for ever."""
    warm: Seconds | None = None
    """Until then in storage that is cheaper and can be read at once; None: there is no such tier."""
    archive: Seconds | None = None
    """Until then in an archive, which has to be thawed; None: there is no such tier."""
    total: Seconds | None = None
    """After this they may go; None: never, where ``last`` does not say otherwise."""
    last: int | None = None
    """The newest so many stay whatever their age; without a total older ones may go that the Git history has."""


DAY, YEAR = 86400.0, 365 * 86400.0


class RetentionConfig(Closed, frozen=True):
    """How long backups are kept: the guide's schedule, and what holds whatever it says."""

    config: Ages = Ages(last=30)
    certs: Ages = Ages(hot=90 * DAY, warm=YEAR, archive=7 * YEAR, total=7 * YEAR)
    queue: Ages = Ages(hot=7 * DAY, warm=30 * DAY, archive=90 * DAY, total=90 * DAY)
    logs: Ages = Ages(hot=14 * DAY, warm=90 * DAY, archive=YEAR, total=YEAR)
    minimum: int = 3
    """Verified good backups of each component that stay in each source."""
    aside: Seconds | None = 30 * DAY
    """How long what a run set aside stays; None: for ever. That of the newest run always does."""
    tiers: dict[str, Tier] = field(default_factory=dict)
    """By the source's name: a source that keeps a backup only that long, as another one has it longer."""
    hold: tuple[str, ...] = ()
    """Ids under legal hold, ``*`` for any characters: never removed."""


class AuditConfig(Closed, frozen=True):
    """Where else the audit is vouched for, beside the system's log."""

    anchor: BucketConfig | None = None
    """A bucket that takes an anchor with each plan and at the end of each run; best one with Object Lock."""


class LimitsConfig(Closed, frozen=True):
    """How much an archive of a tree may hold before it is taken for a bomb."""

    members: int = archive.DEFAULTS.members
    """Files and directories."""
    megabytes: int = archive.DEFAULTS.total >> 20
    """Of all its files together; a single one may have a quarter of it."""

    def of_archives(self) -> archive.Limits:
        """As the archive's reader takes them."""
        return archive.Limits(members=self.members, total=self.megabytes << 20, file=self.megabytes << 18)


MINUTE, HOUR = 60.0, 3600.0
OBJECTIVES = {
    "config": Objective(rto=5 * MINUTE, rpo=24 * HOUR),
    "certs": Objective(rto=5 * MINUTE, rpo=7 * 24 * HOUR),
    "queue": Objective(rto=15 * MINUTE, rpo=1 * HOUR),
    "logs": Objective(rto=30 * MINUTE, rpo=24 * HOUR),
    "full": Objective(rto=30 * MINUTE),
}
"""The RTO of the guide's table, the RPO of its cron schedule."""


class Site(Closed, frozen=True):
    """One PACS Bridge installation; every default is the backup guide's."""

    name: str = "pacs_bridge"
    """What is typed to arm a live restore."""
    live: Live = Live()
    owner: str = "pacs_bridge"
    group: str = "pacs_bridge"
    services: tuple[ServiceConfig, ...] = (SystemdConfig(unit="pacs_bridge"),)
    """In the order they are started; they are stopped in reverse."""
    validator: Argv | None = None
    """A command that checks a configuration file, which stands for ``{config}`` in it."""
    health: HealthConfig | None = None
    soak: Seconds = 30.0
    """How long the restored service has to stay up."""
    start_timeout: Seconds = 60.0
    stop_timeout: Seconds = 90.0
    question_timeout: Seconds = 1800.0
    """An open question counts as declined after this."""
    key_file: Path = Path("/root/.backup_key")
    key_copy: str | None = None
    """Where another copy of the key is and the day when it was last seen there; or a path on another filesystem."""
    audit: AuditConfig = AuditConfig()
    backup: BackupConfig = BackupConfig()
    timezone: str | None = None
    """Of the times in backup names; None is the host's."""
    sources: tuple[SourceConfig, ...] = (LocalConfig(name="local", path=Path("/backup/pacs_bridge")),)
    objectives: dict[str, Objective] = field(default_factory=lambda: dict(OBJECTIVES))
    """By component, and ``full`` for several together; all are always there."""
    sandbox: Path = Path("/var/lib/pacs_recover/sandbox")
    drill: DrillConfig = DrillConfig()
    verify_every: Seconds = 2 * 86400.0
    """After this without a verification of the newest backups, ``status`` is red."""
    notify: NotifyConfig = NotifyConfig()
    retention: RetentionConfig = RetentionConfig()
    staging: tuple[Path, ...] = ()
    """Directories to stage in instead of the automatic choice: the first on the live path's filesystem."""
    limits: LimitsConfig = LimitsConfig()

    def zone(self, source: SourceConfig | None = None) -> tzinfo:
        """The time zone of the times in a source's names: its own, else the site's, else the host's."""
        own = source.timezone if isinstance(source, LocalConfig | S3Config) else None
        return zone(own or self.timezone)

    @property
    def directories(self) -> dict[int, Path]:
        """Directories of this host that its sources read, by the source's index; a Git repository may lie anywhere."""
        every = {
            n: source.path
            for n, source in enumerate(self.sources)
            if isinstance(source, LocalConfig | LitestreamConfig)
        }
        return {index: path for index, path in every.items() if path is not None}


def to_data(site: Site) -> dict[str, Any]:
    """The site as plain JSON values, as a run's request is journalled with it."""
    data: dict[str, Any] = msgspec.to_builtins(site, enc_hook=str)
    return data


def from_data(data: dict[str, Any]) -> Site:
    """The site of what ``to_data`` gave. Raises msgspec.ValidationError."""
    return msgspec.convert(data, Site, dec_hook=_path)


def to_json(site: Site) -> bytes:
    """The site as JSON, always the same for the same site."""
    return msgspec.json.encode(site, enc_hook=str, order="deterministic")


def from_json(data: bytes) -> Site:
    """The site of what ``to_json`` gave. Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=Site, dec_hook=_path)


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"a {kind.__name__} was expected")
