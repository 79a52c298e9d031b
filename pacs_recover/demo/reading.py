"""What the demo's stand-in service reads at its start: configuration and certificates, as strictly as a real one."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
VARIABLE = re.compile(r"\$\{(?P<name>[^}]*?)(?::-(?P<default>[^}]*))?\}")
DURATION = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Unusable(Exception):
    """Something that was read cannot be served with; one line that names the thing and never a value."""


@dataclass(frozen=True)
class Configuration:
    """What the stand-in makes use of."""

    database: Path
    log_file: Path
    health_port: int
    listener: tuple[str, int]
    """The address and port of the HL7 listener."""
    tls: ssl.SSLContext | None
    """What the listener speaks TLS with; None: it does not."""
    tree: Mapping[str, Any]
    message_ttl: timedelta
    enqueue_every: float
    deliver_every: float
    fail_after: float | None


def configuration(path: Path, environment: Mapping[str, str]) -> Configuration:
    """Read, expand and check the configuration, and load its certificates. Raises Unusable."""
    tree = _expanded(_yaml(path), environment)
    if not isinstance(tree, dict):
        raise Unusable(f"{path.name} holds no settings")
    try:
        for name in tree.get("demo", {}).get("include", ()):
            _yaml(path.parent / name)
        contexts = [_load_tls(settings, is_server=is_server) for settings, is_server in _tls_sections(tree)]
        first = tree["hl7"]["listener"].get("tls", {}).get("enabled") in (True, "true")
        return _configuration(tree, contexts[0] if first else None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unusable(
            f"{path.name} has no usable {error.args[0] if isinstance(error, KeyError) else 'value'}"
        ) from None


def _yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_bytes(), LOADER)  # noqa: S506 - both are safe loaders
    except OSError as error:
        raise Unusable(f"{path.name} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Unusable(f"{path.name} is no YAML" + (f", line {mark.line + 1}" if mark else "")) from None


def _expanded(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, environment) for item in value]
    if not isinstance(value, str):
        return value
    if "${" in VARIABLE.sub("", value):
        raise Unusable("a variable is not closed with }")
    return VARIABLE.sub(lambda match: _variable(match, environment), value)


def _variable(match: re.Match[str], environment: Mapping[str, str]) -> str:
    found = environment.get(match["name"], match["default"])
    if found is None:
        raise Unusable(f"environment variable {match['name']!r} is not set")
    return found


def _tls_sections(tree: dict[str, Any]) -> list[tuple[dict[str, Any], bool]]:
    hl7, fhir = tree["hl7"], tree.get("fhir", {})
    servers = [hl7["listener"], fhir.get("server", {})]
    both = [(server, True) for server in servers] + [(target, False) for target in hl7.get("outbound", ())]
    found = [(part.get("tls", {}), is_server) for part, is_server in both]
    return [(tls, is_server) for tls, is_server in found if tls.get("enabled") in (True, "true")]


def _load_tls(tls: dict[str, Any], *, is_server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    try:
        if is_server or "cert_path" in tls:
            context.load_cert_chain(tls["cert_path"], tls["key_path"], password=lambda: "")
        if "ca_path" in tls:
            context.load_verify_locations(tls["ca_path"])
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", None) or error.strerror or "not usable"
        names = " and ".join(Path(tls[key]).name for key in ("cert_path", "key_path", "ca_path") if key in tls)
        raise Unusable(f"certificates cannot be used ({names}): {reason}") from None
    if is_server and tls.get("client_auth") in ("optional", "required"):
        context.verify_mode = ssl.CERT_OPTIONAL if tls["client_auth"] == "optional" else ssl.CERT_REQUIRED
    return context


def _configuration(tree: dict[str, Any], tls: ssl.SSLContext | None) -> Configuration:
    demo = tree.get("demo", {})
    fail_after = demo.get("fail_after")
    listener = tree["hl7"]["listener"]
    return Configuration(
        database=Path(tree["queue"]["database_path"]),
        log_file=Path(tree["logging"]["file"]),
        listener=(str(listener.get("bind_address", "")), _port(listener["port"])),
        tls=tls,
        tree=tree,
        health_port=_port(tree["monitoring"]["health"]["port"]),
        message_ttl=_duration(tree["queue"].get("message_ttl", "24h")),
        enqueue_every=float(demo.get("enqueue_every", 0.5)),
        deliver_every=float(demo.get("deliver_every", 2.0)),
        fail_after=None if fail_after is None else float(fail_after),
    )


def _port(value: Any) -> int:
    number = int(value)
    if not 1 <= number <= 65535:
        raise Unusable("a port is not between 1 and 65535")
    return number


def _duration(value: Any) -> timedelta:
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", str(value).strip())
    if match is None:
        raise Unusable("queue.message_ttl is no duration such as 48h")
    return timedelta(seconds=int(match[1]) * DURATION[match[2]])
