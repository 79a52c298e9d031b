"""The site as a file: the commented one to begin with, and the one in use with every default filled in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from pacs_recover.authority import Authority
from pacs_recover.errors import UsageError
from pacs_recover.formats.masking import MASK, is_secret, masked
from pacs_recover.site import durations
from pacs_recover.site.model import Site, to_data
from pacs_recover.text import safe

DURATIONS = (
    "soak",
    "start_timeout",
    "stop_timeout",
    "question_timeout",
    "timeout",
    "message_timeout",
    "rto",
    "rpo",
    "every",
    "verify_every",
    "lock_for",
    "hot",
    "warm",
    "archive",
    "total",
    "aside",
)
TEMPLATE = """\
# One PACS Bridge installation, as pacs-recover restores it. Every value below is the default:
# keep what differs here, delete the rest. Check it with: pacs-recover --site THIS_FILE site check
# Root runs the commands that this file names: keep it owned by root and writable by root alone.

# What has to be typed to arm a live restore.
name: pacs_bridge

# Where the live parts are, by absolute paths.
live:
  config: /etc/pacs_bridge            # the whole tree that a restore of the configuration replaces
  config_file: config.yaml            # the service's own file in it
  certs: /etc/pacs_bridge/certs
  queue: /var/lib/pacs_bridge/queue.db
  logs: /var/log/pacs_bridge          # looked at and extracted, never replaced

# Who owns what is restored.
owner: pacs_bridge
group: pacs_bridge

# What is stopped before the restored files go live, and started after: started in this order, stopped in reverse.
services:
  - {kind: systemd, unit: pacs_bridge}
  # - {kind: container, container: pacs_bridge, runtime: docker}   # or podman
  # - kind: command
  #   name: bridge
  #   start: [/opt/pacs_bridge/bin/control, start]
  #   stop: [/opt/pacs_bridge/bin/control, stop]
  #   status: [/opt/pacs_bridge/bin/control, status]               # exit 0 = running; may be left out
  #   environment: {PACS_HOST: pacs.example}
# services: []                        # nothing is controlled: you stop and start it yourself

# A command that checks a configuration file ({config}); null where there is none: pacs_bridge itself has none.
validator: null                       # for instance [/opt/site/bin/check-config, "{config}"]

# What answers 200 when the service is ready; null where the build has no health server.
health: null                          # for instance {url: "http://127.0.0.1:8081/health/ready", timeout: 60s}

# Durations: 30s, 5m, 1h, 7d, or a number of seconds.
soak: 30s                             # how long the restored service has to stay up
start_timeout: 60s
stop_timeout: 90s
question_timeout: 30m                 # an open question counts as declined after this

# The password of encrypted backups is this file's first line. A host that is lost takes its key along: keep a copy
# elsewhere, and say where and when it was last seen there, or name a copy on another filesystem.
key_file: /root/.backup_key
key_copy: null                        # for instance "sealed envelope in the pharmacy safe, seen 2026-11-26"

# Where the record of who did what is vouched for, beside the system's log: a bucket, best one with Object Lock.
audit:
  anchor: null                        # for instance {bucket: hospital-audit, prefix: pacs/, region: eu-central-1}

# Where backups are made to (pacs-recover backup), and which are encrypted with age beside the guide's certificates.
backup:
  to: []                              # names of sources; none: the first directory
  encrypt: []                         # for instance [config, queue, logs]
  recipients: []                      # public keys (age1…) that can read these beside the key file's own

# The time zone of the times in backup names, such as Europe/Berlin; null is this host's. A source may have its own.
timezone: null

# Where the backups are; each source has a name of its own.
sources:
  - {name: local, kind: local, path: /backup/pacs_bridge}
  # - {name: s3, kind: s3, bucket: hospital-backups, prefix: pacs_bridge/, region: eu-central-1}
  # - {name: ceph, kind: s3, bucket: pacs, endpoint: "https://rgw.example:7480", ca_bundle: /etc/ssl/hospital.pem}
  # - {name: git, kind: git, repository: "ssh://git@git.example/pacs-config.git", branch: main}
  # - {name: replica, kind: litestream, path: /backup/litestream/queue}   # or s3: {bucket: …, prefix: …}

# How fast each part has to be back (rto), and how old its newest backup may be (rpo).
objectives:
  config: {rto: 5m, rpo: 24h}
  certs: {rto: 5m, rpo: 7d}
  queue: {rto: 15m, rpo: 1h}
  logs: {rto: 30m, rpo: 24h}
  full: {rto: 30m}

# Where drills restore to.
sandbox: /var/lib/pacs_recover/sandbox

# How a drill runs the service there, without any network, and tries it.
drill:
  every: 31d                          # how often there has to be one
  sandbox: auto                       # process, container, or root: files only, nothing is started
  service: null                       # which service; null: the only one that is not Litestream
  start: []                           # for instance [/opt/pacs_bridge/bin/pacs_bridge, --config, "{config}"]
  environment: {}                     # beside the service's own
  readable: []                        # directories that the program needs, beside the system's and its own
  writable: []                        # directories that it writes, beside the live ones
  image: null                         # of the container; null: that of the service's container
  runtime: null
  health: null                        # null: health.url; or a list of addresses
  messages: []                        # files with one HL7 message each, sent beside the synthetic ones
  message_timeout: 10s
  queued: null                        # message types that must reach the queue; null: as outbound destinations take

# How often the newest backups have to be verified, else status is red.
verify_every: 2d

# Who is told when a run, a drill or a verification starts, fails or ends: JSON without any content of messages.
notify:
  command: []                         # for instance [/usr/local/bin/page-oncall]: it gets the JSON on its stdin
  webhook: null                       # for instance "https://chat.example/hooks/pacs"

# How long backups are kept: hot until that age, then warm, then in an archive; after the total they may go (prune).
# null: for ever. The newest `last` stay in any case; of configurations older ones may go that the Git history has.
retention:
  config: {hot: null, warm: null, archive: null, total: null, last: 30}
  certs: {hot: 90d, warm: 365d, archive: 2555d, total: 2555d, last: null}
  queue: {hot: 7d, warm: 30d, archive: 90d, total: 90d, last: null}
  logs: {hot: 14d, warm: 90d, archive: 365d, total: 365d, last: null}
  minimum: 3                          # verified good backups of each component that stay in each source
  aside: 30d                          # what a restore set aside; that of the newest run always stays
  tiers: {}                           # for instance {local: hot}: only that long here, as another source has it longer
  hold: []                            # ids under legal hold, for instance ["queue/202611*"]

# Directories to stage in instead of the automatic choice; the first on the live path's own filesystem is used.
staging: []

# What an archive of configuration or certificates may hold before it is refused as a bomb.
limits: {members: 10000, megabytes: 1024}
"""


def init_text() -> str:
    """The commented site file, which means exactly the defaults."""
    return TEMPLATE


def write_init(path: Path, authority: Authority) -> None:
    """Write the commented site file, readable by its owner alone, where nothing is yet. Raises UsageError, Refused."""
    authority.must_allow("site init")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as stream:
            stream.write(TEMPLATE)
    except FileExistsError as error:
        raise UsageError(f"{safe(path)} exists", "name another file: nothing is overwritten") from error
    except OSError as error:
        hint = f"name a file in a directory that exists and that you may write ({safe(path.parent)} may not)"
        raise UsageError(f"{safe(path)} cannot be written: {error.strerror}", hint) from error


def show(site: Site) -> str:
    """The site as YAML with every default filled in; what looks like a secret in a command is masked."""
    text: str = yaml.safe_dump(_shown(to_data(site)), sort_keys=False, allow_unicode=True, width=120)
    return text


def _shown(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _shown(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) if isinstance(item, str) else _shown(item) for item in value]
    if key in DURATIONS and isinstance(value, float):
        return durations.text(value)
    return MASK if is_secret(key) and isinstance(value, str) else value
