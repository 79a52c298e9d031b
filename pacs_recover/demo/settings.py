"""The demo's configuration directory, in the service's own sections, as text with variables in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from pacs_recover.demo.messages import PROCEDURES

ENVIRONMENT = {
    "PACS_HOST": "pacs.demo-hospital.example",
    "RIS_PRIMARY_HOST": "ris.demo-hospital.example",
    "EMR_ARCHIVE_HOST": "emr.demo-hospital.example",
}
"""What the configuration needs from the service's environment: variables without a default."""
RULES = (
    ("New Orders", "ORM^O01", "mwl_manager", 20),
    ("Results", "ORU^R01", "RIS_PRIMARY", 20),
    ("ADT Admit", "ADT^A01", "patient_cache", 10),
    ("ADT Registration", "ADT^A04", "patient_cache", 10),
    ("ADT Update", "ADT^A08", "patient_cache", 10),
)
"""Routing rules: name, message type, destination, priority."""

CONFIG = """\
# PACS Bridge at demo-hospital. Synthetic: nothing here is a real system.
server:
  name: "${PACS_BRIDGE_INSTANCE_NAME:-PACS_BRIDGE_DEMO}"

hl7:
  listener:
    port: ${PACS_BRIDGE_PORT:-@listener_port@}
    bind_address: "127.0.0.1"
    max_connections: @max_connections@
    idle_timeout: 120s
    max_message_size: 10485760
    tls:
      enabled: true
      cert_path: "${PACS_BRIDGE_CERT_PATH:-@etc@/certs/server.crt}"
      key_path: "${PACS_BRIDGE_KEY_PATH:-@etc@/certs/server.key}"
      ca_path: "${PACS_BRIDGE_CA_PATH:-@etc@/certs/ca.crt}"
      client_auth: optional
      min_version: "1.2"

  outbound:
    - name: "RIS_PRIMARY"
      host: "${RIS_PRIMARY_HOST}"
      port: ${RIS_PRIMARY_PORT:-2576}
      message_types: ["ORM^O01", "ORU^R01"]
      priority: 1
      enabled: true
      retry_count: 5
      retry_delay: 2000
      tls:
        enabled: true
        ca_path: "@etc@/certs/ca.crt"
        cert_path: "@etc@/certs/client.crt"
        key_path: "@etc@/certs/client.key"
    - name: "EMR_ARCHIVE"
      host: "${EMR_ARCHIVE_HOST}"
      port: ${EMR_ARCHIVE_PORT:-2575}
      message_types: ["ADT^A01", "ADT^A04", "ADT^A08"]
      priority: 2
      enabled: true
      retry_count: 10
      retry_delay: 5000

fhir:
  enabled: true
  server:
    port: ${PACS_BRIDGE_FHIR_PORT:-8080}
    base_path: "/fhir/r4"
    max_connections: 200
    request_timeout: 30s
    page_size: 50
    tls:
      enabled: true
      cert_path: "${PACS_BRIDGE_CERT_PATH:-@etc@/certs/server.crt}"
      key_path: "${PACS_BRIDGE_KEY_PATH:-@etc@/certs/server.key}"

pacs:
  host: "${PACS_HOST}"
  port: ${PACS_PORT:-11112}
  ae_title: "${PACS_BRIDGE_AE_TITLE:-PACS_BRIDGE}"
  called_ae: "${PACS_CALLED_AE:-PACS_SCP}"
  timeout: 60s

mapping:
  modality_ae_titles:
    CT: ["CT_SCANNER_1", "CT_SCANNER_2"]
    MR: ["MR_SCANNER_1"]
    XR: ["XRAY_ROOM_1"]
    US: ["US_SCANNER_1"]
  procedure_to_modality:
@procedures@
  default_patient_id_issuer: "${HOSPITAL_OID:-1.2.3.4.5.6}"

routing_rules:
@rules@

queue:
  database_path: "${PACS_BRIDGE_QUEUE_DB:-@queue@}"
  max_queue_size: 100000
  max_retry_count: 10
  initial_retry_delay: 5s
  retry_backoff_multiplier: 2.0
  message_ttl: 48h
  worker_count: 8

patient_cache:
  max_entries: 50000
  ttl: 7200s
  evict_on_full: true

logging:
  level: "${LOG_LEVEL:-info}"
  format: json
  file: "${PACS_BRIDGE_LOG_FILE:-@logs@/bridge.log}"

monitoring:
  health:
    port: ${PACS_BRIDGE_HEALTH_PORT:-@health_port@}
    base_path: /health

# Read by the demo's stand-in service only.
demo:
  include: [mapping/procedures.yaml, mapping/stations.yaml]
  enqueue_every: 0.5
  deliver_every: 2.0
"""
STATIONS = """\
# Which station stands where.
stations:
  CT_SCANNER_1: {room: "R101", building: "SAMPLE WING"}
  CT_SCANNER_2: {room: "R102", building: "SAMPLE WING"}
  MR_SCANNER_1: {room: "R110", building: "SAMPLE WING"}
  XRAY_ROOM_1: {room: "R120", building: "EXAMPLE WING"}
  US_SCANNER_1: {room: "R130", building: "EXAMPLE WING"}
"""


@dataclass(frozen=True)
class Settings:
    """What differs between the demo's generations of configuration."""

    live: Path
    health_port: int
    listener_port: int = 2576
    max_connections: int = 150
    rules: int = len(RULES)
    """How many of the routing rules exist yet."""
    fail_after: float | None = None
    """Seconds after which the stand-in dies with this configuration: long enough to start, shorter than the soak."""

    def files(self) -> dict[str, bytes]:
        """The configuration directory without its certificates: content by relative path."""
        return {
            "config.yaml": self._config().encode(),
            "mapping/procedures.yaml": _procedures_file().encode(),
            "mapping/stations.yaml": STATIONS.encode(),
        }

    def _config(self) -> str:
        values = {
            "etc": _quoted(self.live / "etc/pacs_bridge"),
            "queue": _quoted(self.live / "var/lib/pacs_bridge/queue.db"),
            "logs": _quoted(self.live / "var/log/pacs_bridge"),
            "health_port": str(self.health_port),
            "listener_port": str(self.listener_port),
            "max_connections": str(self.max_connections),
            "procedures": "\n".join(f'    "{code}": "{modality}"' for code, _, modality in PROCEDURES),
            "rules": "\n".join(_rule(*rule) for rule in RULES[: self.rules]),
        }
        text = re.sub("@([a-z_]+)@", lambda match: values[match[1]], CONFIG)
        return text if self.fail_after is None else f"{text}  fail_after: {self.fail_after}\n"


def _quoted(path: Path) -> str:
    """A path as it stands inside a double-quoted YAML string."""
    return json.dumps(str(path), ensure_ascii=False)[1:-1]


def _rule(name: str, pattern: str, destination: str, priority: int) -> str:
    return (
        f'  - name: "{name}"\n    message_type_pattern: "{pattern}"\n    source_pattern: "HIS_*"\n'
        f'    destination: "{destination}"\n    priority: {priority}\n    enabled: true'
    )


def _procedures_file() -> str:
    lines = (f'  {code}: {{text: "{text}", modality: {modality}}}' for code, text, modality in PROCEDURES)
    return "# Procedure codes of the ordering system.\nprocedures:\n" + "\n".join(lines) + "\n"
