"""The site: one PACS Bridge installation, read from a YAML file; the guide's own where there is none."""

from typing import TYPE_CHECKING

from pacs_recover.deferred import deferred
from pacs_recover.site.model import (
    Ages,
    AuditConfig,
    BackupConfig,
    DrillConfig,
    HealthConfig,
    Live,
    NotifyConfig,
    Objective,
    RetentionConfig,
    Site,
    from_data,
    from_json,
    to_data,
    to_json,
)
from pacs_recover.site.services import CommandConfig, ContainerConfig, ServiceConfig, SystemdConfig
from pacs_recover.site.sources import (
    BucketConfig,
    GitConfig,
    LitestreamConfig,
    LocalConfig,
    S3Config,
    SourceConfig,
    UploadConfig,
)

if TYPE_CHECKING:
    from pacs_recover.site.checking import Problem
    from pacs_recover.site.finding import Found, files_in, find, load, problems
    from pacs_recover.site.host import environment_facts, key_facts
    from pacs_recover.site.writing import TEMPLATE, init_text, show, write_init

__all__ = [
    "TEMPLATE",
    "Ages",
    "AuditConfig",
    "BackupConfig",
    "BucketConfig",
    "CommandConfig",
    "ContainerConfig",
    "DrillConfig",
    "Found",
    "GitConfig",
    "HealthConfig",
    "LitestreamConfig",
    "Live",
    "LocalConfig",
    "NotifyConfig",
    "Objective",
    "Problem",
    "RetentionConfig",
    "S3Config",
    "ServiceConfig",
    "Site",
    "SourceConfig",
    "SystemdConfig",
    "UploadConfig",
    "environment_facts",
    "files_in",
    "find",
    "from_data",
    "from_json",
    "init_text",
    "key_facts",
    "load",
    "problems",
    "show",
    "to_data",
    "to_json",
    "write_init",
]

__getattr__ = deferred(
    __name__,
    checking=("Problem",),
    finding=("Found", "files_in", "find", "load", "problems"),
    host=("environment_facts", "key_facts"),
    writing=("TEMPLATE", "init_text", "show", "write_init"),
)
