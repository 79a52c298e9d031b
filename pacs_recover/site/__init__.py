"""The site: one PACS Bridge installation, read from a YAML file; the guide's own where there is none."""

from pacs_recover.site.checking import Problem
from pacs_recover.site.finding import Found, find, load, problems
from pacs_recover.site.host import environment_facts
from pacs_recover.site.model import (
    AuditConfig,
    BucketConfig,
    CommandConfig,
    ContainerConfig,
    GitConfig,
    HealthConfig,
    LitestreamConfig,
    Live,
    LocalConfig,
    Objective,
    S3Config,
    ServiceConfig,
    Site,
    SourceConfig,
    SystemdConfig,
    from_data,
    from_json,
    to_data,
    to_json,
)
from pacs_recover.site.writing import TEMPLATE, init_text, show, write_init

__all__ = [
    "TEMPLATE",
    "AuditConfig",
    "BucketConfig",
    "CommandConfig",
    "ContainerConfig",
    "Found",
    "GitConfig",
    "HealthConfig",
    "LitestreamConfig",
    "Live",
    "LocalConfig",
    "Objective",
    "Problem",
    "S3Config",
    "ServiceConfig",
    "Site",
    "SourceConfig",
    "SystemdConfig",
    "environment_facts",
    "find",
    "from_data",
    "from_json",
    "init_text",
    "load",
    "problems",
    "show",
    "to_data",
    "to_json",
    "write_init",
]
