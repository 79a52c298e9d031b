"""The service's configuration: read, expanded and judged as the service does it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup
from pacs_recover.formats import settings
from pacs_recover.formats.settings import NEVER, UNKNOWN, expand, load, message_ttl, tls_pairs, variables

PRODUCTION = """\
server: {name: "${INSTANCE:-PACS_BRIDGE_PROD}"}
hl7:
  listener:
    port: ${PORT:-2576}
    max_connections: 100
    tls:
      enabled: true
      cert_path: "${CERT:-/etc/pacs_bridge/certs/server.crt}"
      key_path: /etc/pacs_bridge/certs/server.key
      ca_path: "/etc/pacs_bridge/certs/ca.crt"
  outbound:
    - name: RIS
      host: "${RIS_HOST}"
      port: "${RIS_PORT:-2576}"
      tls: {enabled: yes, ca_path: /etc/pacs_bridge/certs/ris-ca.crt}
    - {name: EMR, host: emr, tls: {enabled: false, cert_path: /x.crt, key_path: /x.key}}
fhir:
  enabled: true
  server: {tls: {enabled: "on", cert_path: f.crt, key_path: "${FHIR_KEY}"}}
queue:
  message_ttl: 48h
"""


def text(tree: Any) -> Any:
    return load(yaml.safe_dump(tree), "config.yaml")


def test_yaml_and_json_give_the_same_tree() -> None:
    tree = {"hl7": {"listener": {"port": 2575, "on": True, "off": None, "x": [1, 2.5, "a: b"]}}}
    assert text(tree) == load(json.dumps(tree), "CONFIG.JSON") == load(json.dumps(tree).encode(), "c.json") == tree


def test_a_json_file_may_say_what_yaml_may_not() -> None:
    assert load('{\t"name": "\\ud83d\\ude00\\/"}', "c.json") == {"name": "😀/"}


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("2575", 2575), ("-1", -1), ("010", 10), ("2.5", 2.5), ("1e3", 1000.0), ("true", True), ("No", False),
        ("~", None), ("", None), ("2026-01-01", "2026-01-01"), ("12:30:00", "12:30:00"), ("0x1F", "0x1F"),
        ("1_000", "1_000"), ("120s", "120s"), ("y", "y"), ("tRUE", "tRUE"), ("5" * 5000, "5" * 5000), (".", "."),
        ("'2575'", "2575"), ('"true"', "true"), ("!!str 5", "5"), ("ADT^A*", "ADT^A*"),
    ],
)  # fmt: skip
def test_a_plain_word_means_what_the_service_makes_of_it(word: str, meaning: object) -> None:
    found = load(f"a: {word}\n", "config.yaml")["a"]
    assert (found, type(found)) == (meaning, type(meaning))


def test_keys_are_text_whatever_they_look_like() -> None:
    assert load("mapping: {70450: CT, yes: MR}", "config.yaml") == {"mapping": {"70450": "CT", "yes": "MR"}}


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "config.yaml", "is empty"),
        ("  # nothing\n", "config.yaml", "is empty"),
        (" \n", "config.json", "is empty"),
        ("- a\n", "config.yaml", "no sections"),
        ("just words", "config.yaml", "no sections"),
        ("[1]", "config.json", "no sections"),
        ("a: 1\nb: [\n", "config.yaml", "line 3"),
        ("a: 1\nb: c: hunter2\n", "config.yaml", "line 2"),
        ("a: &x 1\nb: *x", "config.yaml", "line 2: an alias"),
        ("a: !!python/name:os.system x", "config.yaml", "line 1: a tag"),
        ("a: 1\n--- \nb: 1", "config.yaml", "second document"),
        ('{"a": 1,\n "b": }', "config.json", "line 2"),
        ('{"a": NaN}', "config.json", "number"),
        ('{"a": ' + "9" * 5000 + "}", "config.json", "number"),
        ("[" * 100_000, "config.json", "nested"),
        ('{"a":' * 60 + "1" + "}" * 60, "config.json", "nested"),
        ("[" * 100_000, "config.yaml", "nested"),
        (b"a: 1\nb: \xff\n", "config.yaml", "line 2: it is no UTF-8"),
        (b"\x1f\x8b\x08\x00 a gzip file", "config.yaml", "UTF-8"),
        ("a: \0", "config.yaml", "character"),
        ("x" * (1 << 20) + "y", "config.yaml", "MiB"),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_line(content: str | bytes, name: str, message: str) -> None:
    with pytest.raises(BadBackup, match=message) as caught:
        load(content, name)
    assert caught.value.message.startswith(name)
    assert caught.value.hint


def test_an_error_never_repeats_a_value() -> None:
    for content in (
        "password: hunter2: x",
        "password: [hunter2",
        'a: "hunter2',
        "hunter2: *hunter2",
        "a: %hunter2\n b",
    ):
        with pytest.raises(BadBackup) as caught:
            load(content, "config.yaml")
        assert "hunter2" not in caught.value.message


def test_the_name_of_a_file_cannot_move_the_terminal() -> None:
    with pytest.raises(BadBackup) as caught:
        load("", "\x1b[2J.yaml")
    assert "\x1b" not in caught.value.message


def test_a_yaml_bomb_ends_at_once() -> None:
    bomb = "a0: &a0 [x]\n" + "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40))
    began = time.monotonic()
    for content in (bomb, "{a: " * 250_000, "- " * 500_000, "- a\n" * 250_000, "a: '" + "x\n" * 500_000):
        with pytest.raises(BadBackup):
            load(content, "config.yaml")
    assert time.monotonic() - began < 20


@given(st.binary() | st.text(), st.sampled_from(["config.yaml", "config.json"]))
@example("a: \ud800", "config.yaml")
@example('{"a": "\\ud800"}', "config.json")
@example(b"\xef\xbb\xbfa: 1", "config.yaml")
def test_any_bytes_are_a_tree_or_a_bad_backup(content: bytes | str, name: str) -> None:
    try:
        tree = load(content, name)
    except BadBackup:
        return
    assert isinstance(tree, dict)
    expand(tree, {})
    message_ttl(tree)
    tls_pairs(expand(tree, None).tree)


SCALARS = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text("ab${}:- x1", max_size=12)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc1", min_size=1), inner, max_size=3),
)


@given(TREES)
def test_what_pyyaml_writes_is_read_as_pyyaml_reads_it(tree: Any) -> None:
    assert text({"a": tree}) == {"a": tree}


def test_a_file_is_read_and_a_huge_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("server: {name: x}\n")
    assert settings.read(file) == {"server": {"name": "x"}}
    os.truncate(file, 10 << 30)
    with pytest.raises(BadBackup, match="MiB"):
        settings.read(file)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(BadBackup, match="empty"):
        settings.read(tmp_path / "pipe.yaml")


def test_the_variables_are_needed_or_optional() -> None:
    found = variables(load(PRODUCTION, "config.yaml"))
    assert found.needed == ("RIS_HOST", "FHIR_KEY")
    assert found.optional == ("INSTANCE", "PORT", "CERT", "RIS_PORT")


def test_a_variable_with_a_default_in_one_place_only_is_needed() -> None:
    assert variables(text({"a": "${X:-1}", "b": "${X}", "c": ["${Y:-}${Z}"]})) == (("X", "Z"), ("Y",))


def expanded(value: str, **environment: str) -> Any:
    return expand(load(f"a: {value}\n", "config.yaml"), environment).tree["a"]


@pytest.mark.parametrize(
    ("value", "environment", "result"),
    [
        ("${PORT:-2575}", {}, 2575),
        ("${PORT:-2575}", {"PORT": "80"}, 80),
        ('"${PORT:-2575}"', {}, "2575"),
        ("${ON:-yes}", {}, True),
        ("${TTL:-48h}", {}, "48h"),
        ("${A}", {"A": ""}, ""),
        ("${A:-x}", {"A": ""}, ""),
        ("${A:-}", {}, ""),
        ("a${A}b${B:-c}d", {"A": "1"}, "a1bcd"),
        ("${A}", {"A": "${B}", "B": "x"}, "${B}"),
        ("${A:-a:-b}", {}, "a:-b"),
        ("${A:-x}}", {}, "x}"),
        ("$A and $$ {A}", {"A": "x"}, "$A and $$ {A}"),
    ],
)
def test_a_variable_is_replaced_as_the_service_does_it(value: str, environment: dict[str, str], result: object) -> None:
    found = expanded(value, **environment)
    assert (found, type(found)) == (result, type(result))


def test_what_is_missing_is_named_and_its_values_are_unknown() -> None:
    found = expand(load(PRODUCTION, "config.yaml"), {"RIS_HOST": "ris", "PORT": "1"})
    assert (found.missing, found.unknown) == (("FHIR_KEY",), ())
    assert found.defaults == ("INSTANCE", "CERT", "RIS_PORT")
    assert found.tree["fhir"]["server"]["tls"]["key_path"] is UNKNOWN
    assert found.tree["hl7"]["outbound"][0]["host"] == "ris"
    assert found.tree["hl7"]["listener"]["port"] == 1


def test_an_environment_that_cannot_be_known_is_no_error() -> None:
    found = expand(load(PRODUCTION, "config.yaml"), None)
    assert (found.missing, found.unknown) == ((), ("RIS_HOST", "FHIR_KEY"))
    assert found.tree["hl7"]["outbound"][0]["host"] is UNKNOWN
    assert found.tree["hl7"]["listener"]["port"] == 2576


def test_a_variable_that_is_not_closed_is_told_with_its_path() -> None:
    found = expand(text({"hl7": {"outbound": [{"host": "${HOST"}]}}), {})
    assert found.broken == ("hl7.outbound[0].host",)
    assert found.tree["hl7"]["outbound"][0]["host"] is UNKNOWN


@given(st.text("${}:-AB x", max_size=30), st.dictionaries(st.sampled_from("AB"), st.text(max_size=5)))
def test_the_expansion_is_the_services_own(value: str, environment: dict[str, str]) -> None:
    found = expand({"a": value}, environment).tree["a"]
    wanted = as_the_service_does(value, environment)
    assert found is UNKNOWN if wanted is None else found == wanted


def as_the_service_does(value: str, environment: dict[str, str]) -> str | None:
    """``config_loader::expand_env_vars``, word for word; None where it refuses."""
    result, pos = "", 0
    while pos < len(value):
        if not value.startswith("${", pos):
            result, pos = result + value[pos], pos + 1
            continue
        end = value.find("}", pos + 2)
        if end < 0:
            return None
        name, colon, default = value[pos + 2 : end].partition(":-")
        if name not in environment and not colon:
            return None
        result, pos = result + environment.get(name, default), end + 1
    return result


def test_every_enabled_tls_section_is_found_wherever_it_is() -> None:
    found = tls_pairs(expand(load(PRODUCTION, "config.yaml"), {"RIS_HOST": "x"}).tree)
    certs = "/etc/pacs_bridge/certs"
    assert found == [
        ("hl7.listener.tls", f"{certs}/server.crt", f"{certs}/server.key", f"{certs}/ca.crt"),
        ("hl7.outbound[0].tls", None, None, f"{certs}/ris-ca.crt"),
        ("fhir.server.tls", "f.crt", None, None),
    ]


def test_a_tls_section_of_a_section_that_is_off_does_not_count() -> None:
    tree = {"fhir": {"enabled": False, "server": {"tls": {"enabled": True, "cert_path": "a"}}}}
    assert tls_pairs(tree) == []
    assert tls_pairs({"other": [{"deep": {"tls": {"enabled": 1, "cert_path": "a"}}}]}) == [
        ("other[0].deep.tls", "a", None, None)
    ]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("48h", 172800), ("90s", 90), ("5m", 300), ("7d", 604800), ("3600", 3600), (60, 60), ("2H", 7200),
        ("${TTL:-12h}", 43200), ("${TTL}", 86400), (None, 86400), ("soon", 86400), ("1.5h", 86400), ("5x", 86400),
        (True, 86400), (["1h"], 86400), (0, NEVER), ("999999999d", NEVER), ("-5", 86400),
    ],
)  # fmt: skip
def test_the_time_to_live_is_read_as_the_service_reads_durations(written: object, seconds: float) -> None:
    assert message_ttl({"queue": {"message_ttl": written}}) == seconds


@pytest.mark.parametrize("tree", [{}, {"queue": None}, {"queue": []}, {"queue": {}}])
def test_the_time_to_live_is_a_day_where_nothing_is_said(tree: dict[str, Any]) -> None:
    assert message_ttl(tree) == 24 * 3600
