"""docs/site.md names every key of the site file with its default, and none that it does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import yaml

from pacs_recover.site.durations import duration
from pacs_recover.site.model import (
    Ages,
    BackupConfig,
    DrillConfig,
    HealthConfig,
    LimitsConfig,
    Live,
    NotifyConfig,
    RetentionConfig,
    ServiceConfig,
    Site,
    SourceConfig,
    to_data,
)

PAGE = (Path(__file__).parents[2] / "docs/site.md").read_text()
SECTIONS: dict[str, Any] = {
    "live": Live,
    "health": HealthConfig,
    "notify": NotifyConfig,
    "limits": LimitsConfig,
    "backup": BackupConfig,
}
"""Sections whose keys have rows of their own."""
BESIDE = {
    "audit": ("audit.anchor",),
    "drill": (),
    "objectives": ("objectives.COMPONENT.rto", "objectives.COMPONENT.rpo"),
}
"""Sections that the table writes otherwise; ``drill`` has a table of its own."""
DEFAULTS = to_data(Site()) | {"health": msgspec.to_builtins(HealthConfig(url=""))}


def rows(heading: str) -> Iterator[tuple[list[str], list[str]]]:
    """The keys and the defaults, as code in the first two columns, of each row of the section's tables."""
    section = re.split(r"^#+ ", PAGE, flags=re.MULTILINE)
    (text,) = (part for part in section if part.startswith(heading))
    for line in re.findall(r"^\| `.*\|$", text, re.MULTILINE):
        first, second = line.strip("| ").split(" | ")[:2]
        yield re.findall(r"`([^`]+)`", first), re.findall(r"`([^`]+)`", second)


def keys_of(site: type[msgspec.Struct]) -> Iterator[str]:
    """Every key as the table writes it."""
    for name in site.__struct_fields__:
        if name in SECTIONS:
            yield from (f"{name}.{key}" for key in SECTIONS[name].__struct_fields__)
        else:
            yield from BESIDE.get(name, (name,))


def test_every_key_has_a_row_and_every_row_a_key() -> None:
    named = {key for keys, _ in rows("The site file") for key in keys}
    assert {re.sub(r"^rpo", "objectives.COMPONENT.rpo", key) for key in named} == set(keys_of(Site))
    assert {key for keys, _ in rows("Drills") for key in keys} == set(DrillConfig.__struct_fields__)


def same(written: str, default: Any) -> bool:
    """Whether what the page says is the default's value: YAML, or a duration."""
    value = yaml.safe_load(written)
    if isinstance(default, float):
        return duration(value) == default
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def default_of(key: str) -> Any:
    """The default that a key of the page has."""
    found: Any = DEFAULTS
    for part in key.split("."):
        found = found[part]
    return found


def test_every_default_is_the_model_s() -> None:
    checked = set()
    for keys, defaults in rows("The site file"):
        if keys[0].startswith("objectives") or keys in (["health.url"], ["retention"]):
            continue
        values = defaults if len(defaults) == len(keys) else defaults * len(keys)
        for key, written in zip(keys, values, strict=True):
            if key in ("sources", "services"):
                assert _all_in(yaml.safe_load(written), default_of(key)), key
            else:
                assert same(written, default_of(key)), key
            checked.add(key)
    assert len(checked) > 20
    for keys, (written,) in rows("Drills"):
        for key in keys:
            assert same(written, msgspec.to_builtins(DrillConfig())[key]), key


def test_the_retention_s_keys_and_defaults_are_the_model_s() -> None:
    model = msgspec.to_builtins(RetentionConfig())
    written = {key.rpartition(".")[2]: defaults for keys, defaults in rows("Retention") for key in keys}
    ages = set(Ages.__struct_fields__)
    assert set(written) == ages | {name for name in model if not isinstance(getattr(RetentionConfig(), name), Ages)}
    for name in set(written) - ages:
        assert same(written[name][0], model[name]), name


def _all_in(written: list[dict[str, Any]], default: list[dict[str, Any]]) -> bool:
    """Whether each section says what the default has, leaving out what has a default of its own."""
    pairs = zip(written, default, strict=True)
    return all(told.items() <= full.items() for told, full in pairs)


def test_the_objectives_are_the_model_s() -> None:
    for row in re.findall(r"^\| `objectives\.COMPONENT\.(\w+)` \| (.*?) \|", PAGE, re.MULTILINE):
        told = {}
        for names, value in re.findall(r"([a-z, ]+) `(\w+)`", row[1].replace(";", "")):
            told |= dict.fromkeys(re.findall(r"[a-z]+", names), value)
        for component, objective in DEFAULTS["objectives"].items():
            assert same(told[component], objective[row[0]]), (component, row[0])


def test_every_kind_of_service_and_source_has_a_row_with_all_its_keys() -> None:
    for heading, union in (("Services", ServiceConfig), ("Sources", SourceConfig)):
        section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        kinds = {kind.__struct_config__.tag: kind for kind in get_args(union)}
        lines = {
            line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `") and "kind" not in line
        }
        assert set(lines) == set(kinds)
        for tag, kind in kinds.items():
            missing = [key for key in kind.__struct_fields__ if f"`{key}`" not in lines[str(tag)]]
            assert not missing, (tag, missing)
