"""The service's rules for its configuration."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.demo.settings import ENVIRONMENT, Settings
from pacs_recover.formats.settings import Expanded, expand, load
from pacs_recover.formats.settings_rules import RULES, check, preview

GOOD: dict[str, Any] = {
    "server": {"name": "BRIDGE"},
    "hl7": {
        "listener": {
            "port": "2575",
            "max_connections": 50,
            "max_message_size": 10,
            "tls": {"enabled": True, "cert_path": "/c", "key_path": "/k"},
        },
        "outbound": [{"name": "RIS", "host": "ris", "port": 2576, "tls": {"enabled": "yes"}}],
        "outbound_destinations": [{"name": "EMR", "host": "emr"}],
    },
    "fhir": {
        "enabled": True,
        "server": {"port": 8080, "base_path": "/fhir/r4", "max_connections": 1, "page_size": 1, "tls": {"enabled": 0}},
    },
    "pacs": {"host": "h", "port": 11112, "ae_title": "A", "called_ae": "B", "primary": {"host": "h"}},
    "routing_rules": [{"name": "r", "source_pattern": "HIS_*", "destination": "mwl_manager"}],
    "queue": {"max_queue_size": 1, "max_retry_count": 1, "worker_count": 1, "retry_backoff_multiplier": 0.5},
    "patient_cache": {"max_entries": 1},
    "logging": {"format": "json"},
    "something_else": {"port": 0, "name": ""},
}


def told(tree: dict[str, Any]) -> list[str]:
    assert all(fact.state == "bad" for fact in check(Expanded(tree)))
    return [f"{fact.label}: {fact.value}" for fact in check(Expanded(tree))]


def changed(path: str, value: object) -> dict[str, Any]:
    tree = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    inner: Any = tree
    for part in way:
        inner = inner[int(part)] if isinstance(inner, list) else inner.setdefault(part, {})
    if value is ...:
        inner.pop(last)
    else:
        inner[int(last) if isinstance(inner, list) else last] = value
    return tree


def test_a_good_configuration_has_no_problems() -> None:
    assert told(GOOD) == []
    assert told({}) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("server.name", "", "server.name: is empty"),
        ("server.name", "  ", "server.name: is empty"),
        ("hl7.listener.port", 70000, "hl7.listener.port: 70000 is not a port (1-65535)"),
        ("hl7.listener.port", 0, "hl7.listener.port: 0 is not a port (1-65535)"),
        ("hl7.listener.port", "-1", "hl7.listener.port: -1 is not a port (1-65535)"),
        ("hl7.listener.port", "25 75", "hl7.listener.port: is not a number; a port is 1-65535"),
        ("hl7.listener.port", True, "hl7.listener.port: is not a number; a port is 1-65535"),
        ("hl7.listener.port", "2_575", "hl7.listener.port: is not a number; a port is 1-65535"),
        ("hl7.listener.port", [2575], "hl7.listener.port: is not a number; a port is 1-65535"),
        ("hl7.listener.max_connections", 0, "hl7.listener.max_connections: must be more than 0, is 0"),
        ("hl7.listener.max_message_size", -5, "hl7.listener.max_message_size: must be more than 0, is -5"),
        ("hl7.listener.tls.cert_path", "", "hl7.listener.tls: is enabled and has no cert_path"),
        ("hl7.listener.tls", {"enabled": "on"}, "hl7.listener.tls: is enabled and has no cert_path and no key_path"),
        ("hl7.listener.tls.enabled", "maybe", "hl7.listener.tls.enabled: is neither true nor false"),
        ("hl7.outbound.0.name", "", "hl7.outbound[0].name: is empty"),
        ("hl7.outbound.0.name", ..., "hl7.outbound[0].name: is missing"),
        ("hl7.outbound.0.host", None, "hl7.outbound[0].host: is missing"),
        ("hl7.outbound.0.host", {"a": 1}, "hl7.outbound[0].host: is not a single value"),
        ("hl7.outbound.0.port", 65536, "hl7.outbound[0].port: 65536 is not a port (1-65535)"),
        ("hl7.outbound_destinations.0.host", "", "hl7.outbound_destinations[0].host: is empty"),
        ("hl7.outbound", {"name": "x"}, "hl7.outbound: is not a list"),
        ("hl7.outbound.0", "RIS", "hl7.outbound[0]: is not a section"),
        ("hl7", 5, "hl7: is not a section"),
        ("fhir.server.port", 0, "fhir.server.port: 0 is not a port (1-65535)"),
        ("fhir.server.base_path", "", "fhir.server.base_path: is empty"),
        ("fhir.server.max_connections", 0, "fhir.server.max_connections: must be more than 0, is 0"),
        ("fhir.server.page_size", "many", "fhir.server.page_size: is not a whole number"),
        ("fhir.server.tls", {"enabled": True, "cert_path": "/c"}, "fhir.server.tls: is enabled and has no key_path"),
        ("pacs.host", "", "pacs.host: is empty"),
        ("pacs.port", 0, "pacs.port: 0 is not a port (1-65535)"),
        ("pacs.ae_title", "", "pacs.ae_title: is empty"),
        ("pacs.called_ae", "", "pacs.called_ae: is empty"),
        ("pacs.primary.port", 99999, "pacs.primary.port: 99999 is not a port (1-65535)"),
        ("pacs.secondary.host", "", "pacs.secondary.host: is empty"),
        ("routing_rules.0.name", "", "routing_rules[0].name: is empty"),
        ("routing_rules.0.destination", ..., "routing_rules[0].destination: is missing"),
        ("routing_rules.0.source_pattern", "", "routing_rules[0]: needs message_type_pattern or source_pattern"),
        ("queue.max_queue_size", 0, "queue.max_queue_size: must be more than 0, is 0"),
        ("queue.max_retry_count", 0, "queue.max_retry_count: must be more than 0, is 0"),
        ("queue.worker_count", "0", "queue.worker_count: must be more than 0, is 0"),
        ("queue.worker_count", 1.5, "queue.worker_count: is not a whole number"),
        ("queue.retry_backoff_multiplier", 0, "queue.retry_backoff_multiplier: must be more than 0, is 0.0"),
        ("queue.retry_backoff_multiplier", "x", "queue.retry_backoff_multiplier: is not a number"),
        ("patient_cache.max_entries", 0, "patient_cache.max_entries: must be more than 0, is 0"),
        ("logging.format", "xml", "logging.format: is neither json nor text"),
    ],
)
def test_a_broken_rule_is_told_with_its_path(path: str, value: object, problem: str) -> None:
    assert told(changed(path, value)) == [problem]


def test_every_rule_has_a_case_above() -> None:
    (cases,) = (mark for mark in test_a_broken_rule_is_told_with_its_path.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    broken = {case[0].replace(".0", "[]") for case in cases.args[1]}
    untold = {f"{path.replace('.[]', '[]')}.{key}" for path, tests in RULES.items() for key in tests} - broken
    assert untold == {
        "fhir.enabled", "fhir.server.tls.enabled", "hl7.outbound[].tls.enabled",
        "hl7.outbound_destinations[].name", "hl7.outbound_destinations[].port",
        "hl7.outbound_destinations[].tls.enabled", "pacs.primary.host", "pacs.primary.ae_title",
        "pacs.primary.called_ae", "pacs.secondary.port", "pacs.secondary.ae_title", "pacs.secondary.called_ae",
    }  # fmt: skip


def test_what_is_switched_off_is_not_judged() -> None:
    tree = changed("fhir.server.port", 0)
    tree["fhir"]["enabled"] = False
    assert told(tree) == []
    assert told(changed("hl7.listener.tls", {"enabled": False})) == []


def test_a_client_needs_no_certificate_of_its_own() -> None:
    assert told(changed("hl7.outbound.0.tls", {"enabled": True, "ca_path": "/ca"})) == []


@pytest.mark.parametrize("path", ["hl7.listener.port", "pacs.host", "queue.worker_count", "logging.format"])
def test_a_value_that_cannot_be_known_is_not_judged(path: str) -> None:
    tree = changed(path, "${NOT_KNOWN_HERE}")
    assert check(expand(tree, None)) == []
    (fact,) = check(expand(tree, {}))
    assert (fact.label, fact.state) == ("variables", "bad")
    assert "NOT_KNOWN_HERE" in fact.value


def test_a_value_is_judged_after_its_expansion() -> None:
    tree = load("hl7: {listener: {}}\nqueue:\n  worker_count: ${N:-0}\n", "config.yaml")
    assert [fact.label for fact in check(expand(tree, {}))] == ["queue.worker_count"]
    assert check(expand(tree, {"N": "4"})) == []


def test_a_problem_never_repeats_what_could_be_a_secret() -> None:
    secret = "hunter2"
    for path, tests in RULES.items():
        for key in tests:
            tree = changed(f"{path.replace('[]', '0')}.{key}", [secret])
            tree["server"]["password"] = secret
            assert secret not in "".join(told(tree))
    assert secret not in "".join(told(changed("hl7.listener.port", secret)))


def facts(tree: dict[str, Any], environment: dict[str, str] | None) -> dict[str, tuple[str, str]]:
    return {fact.label: (fact.value, fact.state) for fact in preview(tree, environment).facts}


def test_the_preview_of_the_demos_configuration_is_fine_where_its_variables_are_set() -> None:
    tree = load(Settings(Path("/live"), 8081).files()["config.yaml"], "config.yaml")
    assert preview(tree, ENVIRONMENT).state == "ok"
    assert facts(tree, ENVIRONMENT)["the service's rules"] == ("all hold", "ok")
    unknown = facts(tree, None)
    assert unknown["variables needed"][1] == "warn"
    assert unknown["the service's rules"] == ("all that can be checked here hold", "ok")
    missing = preview(tree, {"PACS_HOST": "x"})
    assert missing.state == "bad"
    assert missing.details["variables"]["missing"] == ["RIS_PRIMARY_HOST", "EMR_ARCHIVE_HOST"]


def test_the_preview_names_sections_and_problems() -> None:
    tree = changed("hl7.listener.port", 0)
    found = preview(tree, {})
    assert found.facts[0].value.startswith("server, hl7, fhir")
    assert found.details["sections"] == list(GOOD)
    assert ("hl7.listener.port", "bad") in [(fact.label, fact.state) for fact in found.facts]


def test_many_sections_are_counted_and_odd_names_escaped() -> None:
    tree = {f"s{i}": 1 for i in range(30)} | {"\x1b[2J": "${\x1b]0;x}"}
    value = facts(tree, {})["sections"][0]
    assert value.endswith("and 11 more")
    shown = "".join(fact.label + fact.value for fact in preview(tree, {}).facts)
    assert "\x1b" not in shown


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["tls", "port", "name", "x"]), inner),
    max_leaves=6,
)


@given(st.sampled_from([f"{path}.{key}" for path, tests in RULES.items() for key in tests]), VALUES)
def test_any_value_is_judged_without_a_fault(path: str, value: Any) -> None:
    tree = changed(path.replace("[]", "0"), value)
    assert preview(tree, {}).facts
    section, _, _ = path.partition(".")
    assert preview({section: value}, None).facts


def test_the_rules_are_quick_on_a_large_configuration() -> None:
    tree = {"routing_rules": [{"name": "r", "destination": "d"}] * 20_000}
    began = time.monotonic()
    assert len(check(expand(tree, {}))) == 20_000
    assert time.monotonic() - began < 5
