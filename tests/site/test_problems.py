"""What is wrong with a site file: all of it at once, each with its line."""

from __future__ import annotations

import re
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover import site
from pacs_recover.site import Problem, Site
from pacs_recover.site.checking import check


def told(text: str) -> list[str]:
    return [f"{problem.line}: {problem.message}" for problem in site.problems(text)]


def only(text: str) -> Problem:
    problems = site.problems(text)
    assert len(problems) == 1, problems
    return problems[0]


def test_every_problem_is_told_at_once_with_its_line() -> None:
    text = """\
name: " x"
nmae: y
live:
  config: etc/pacs
  cert: /a
soak: 5 parsecs
services:
  - {kind: systemd}
  - {kind: systemd, unit: a}
  - {kind: systemd, unit: a.service}
  - {kind: sytemd, unit: b}
validator: [/x/y, --check]
timezone: Mars/Olympus
sources:
  - {name: local, kind: local, path: /b}
  - name: local
    kind: local
    path: /c
objectives:
  conf: {rto: 5m}
  queue: {rto: soon}
staging: /a
"""
    assert told(text) == [
        "1: name cannot be typed",
        "2: nmae is no key of the site file",
        "4: live.config is no absolute path: etc/pacs",
        "5: live.cert is no key of the site file",
        "6: soak is no duration: write 30s, 5m, 1h, 7d or a number of seconds",
        "8: services[0].unit is missing",
        "10: services[2].unit a is the name of another service",
        "11: services[3].kind sytemd is unknown",
        "12: validator does not name {config}",
        "13: timezone Mars/Olympus is no time zone: write one such as Europe/Berlin or UTC",
        "16: sources[1].name local is the name of another source",
        "20: objectives.conf is no key of the site file",
        "21: objectives.queue.rto is no duration: write 30s, 5m, 1h, 7d or a number of seconds",
        "22: staging is no list",
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("nmae: x\nname: y", "did you mean name?"),
        ("live: {cofnig: /x}", "did you mean config?"),
        ("services: [{kind: sytemd, unit: x}]", "did you mean systemd?"),
        ("objectives: {confg: {rto: 1m}}", "did you mean config?"),
        ("health: {url: 'http://h/', timout: 3}", "did you mean timeout?"),
        ("zzz: 1", "one of: name, live, owner"),
    ],
)
def test_an_unknown_key_gets_a_did_you_mean(text: str, meant: str) -> None:
    assert only(text).hint.startswith(meant)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("name: a\nlive: [\n", 3, "expected"),
        ("name: a\n\tsoak: 1", 2, "tab|token"),
        ("name: a\nowner: b: c", 2, "mapping values"),
        ("name: a\nname: b", 2, "name stands twice"),
        ("live:\n  queue: /a/q.db\n  logs: /l\n  queue: /b/q.db", 4, "live.queue stands twice"),
        ("name: &x a\nowner: *x", 2, "alias"),
        ("name: !!python/object/apply:os.system [id]", 1, "tag"),
        ("name: a\n---\nname: b", 2, "second document"),
        ("- a\n- b", 1, "no section"),
        ("", 1, "says nothing"),
        ("# only a comment\n", 1, "says nothing"),
        ("name:", 1, "is empty"),
        ("name: 5", 1, "in quotes"),
        ("validator: [/x/check, {config}]", 1, "in quotes"),
        ("? [a]\n: b", 1, "key"),
    ],
)
def test_what_yaml_gets_wrong_is_told_with_its_line(text: str, line: int, message: str) -> None:
    problem = site.problems(text)[0]
    assert problem.line == line
    assert re.search(message, problem.message)


def test_a_yaml_bomb_is_refused_at_once() -> None:
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    bombs = ["a0: &a0 [x]\n" + "\n".join(lines), "[" * 900_000, "{a: " * 200_000, "- " * 400_000]
    many = [
        "".join(f"k{i}: 1\n" for i in range(90_000)),
        "sources: [" + "{name: a, kind: local, path: /b}," * 5_000 + "]",
    ]
    began = time.monotonic()
    assert all(site.problems(text) for text in bombs + many)
    assert time.monotonic() - began < 30


def test_a_file_with_endless_problems_tells_the_first_ones() -> None:
    assert len(site.problems("".join(f"key{i}: 1\n" for i in range(1000)))) == 50


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("live: {queue: /etc/pacs_bridge/queue.db}", "live.queue lies in live.config"),
        ("live: {certs: /srv/a, queue: /srv/a}", "live.queue is the same path as live.certs"),
        ("live: {config: /etc/pacs_bridge/certs/all}", "live.config lies in live.certs"),
        ("live: {logs: /etc/pacs_bridge/log}", "live.logs lies in live.config"),
        ("live: {certs: /}", "live.certs is the whole filesystem"),
        ("live: {config: /etc/../etc/pacs_bridge}", "live.config is no absolute path"),
        ('live: {config: "/etc/a\\0b"}', "live.config holds a NUL character"),
        ("live: {config_file: ../config.yaml}", "live.config_file is no file in live.config"),
        ("live: {config_file: /elsewhere/config.yaml}", "live.config_file is no file in live.config"),
        ('live: {config_file: ""}', "live.config_file is no file in live.config"),
        ("sources: [{name: a, kind: local, path: /etc/pacs_bridge/backups}]", "sources[0].path lies in live.config"),
        ("sources: [{name: a, kind: local, path: /var/log/pacs_bridge}]", "sources[0].path lies in live.logs"),
        ("sources: [{name: a, kind: local, path: /var/lib}]", "sources[0].path holds live.queue"),
        ("sources: [{name: a, kind: local, path: /var/lib/pacs_bridge/queue.db}]", "sources[0].path is live.queue"),
        ("sources: [{name: a, kind: local, path: /b}, {name: b, kind: local, path: /b}]", "another source's path"),
        ("sources: [{name: aside, kind: local, path: /b}]", "aside is taken"),
        ("sources: [{name: file, kind: local, path: /b}]", "file is taken"),
        ("sources: [{name: 'a/b', kind: local, path: /b}]", "cannot stand in an id"),
        ("sources: [{name: a, kind: local, path: /b, timezone: CEST+9x}]", "no time zone"),
        ("sources: [{name: a, kind: local, path: /b, timezone: ../../etc/passwd}]", "no time zone"),
        ("key_file: /etc/pacs_bridge/backup.key", "key_file lies in live.config"),
        ("sandbox: /var", "sandbox holds live.queue"),
        ("staging: [/etc/pacs_bridge/tmp]", "staging[0] lies in live.config"),
        ("staging: [tmp]", "staging[0] is no absolute path"),
        ("owner: 'a b'", "owner is no account name"),
        ("group: --reference=/etc/shadow", "group is no account name"),
        ('name: ""', "name cannot be typed"),
        ('name: "a\\nb"', "name cannot be typed"),
        ("services: [{kind: systemd, unit: '--force'}]", "no name of a unit"),
        ("services: [{kind: container, container: '-x'}]", "no name of a container"),
        ("services: [{kind: container, container: x, runtime: lxc}]", "is none of docker, podman"),
        ("services: [{kind: command, name: x, start: [], stop: [/b]}]", "services[0].start names no program"),
        ("services: [{kind: command, name: x, start: [bin/a], stop: [/b]}]", "by a relative path"),
        ("services: [{kind: command, name: x, start: /a, stop: [/b]}]", "services[0].start is no list"),
        ("services: [{kind: command, name: x, start: [/a]}]", "services[0].stop is missing"),
        (
            "services: [{kind: command, name: x, start: [/a], stop: [/b], environment: {A: 1}}]",
            "services[0].environment.A is no text: put it in quotes",
        ),
        (
            "services: [{kind: command, name: x, start: [/a], stop: [/b], environment: {'A=': b}}]",
            "is no name of a variable",
        ),
        ("services: [{kind: systemd, unit: x}, {kind: container, container: x}]", "x is the name of another service"),
        ("services:", "services is empty"),
        ("services: [{unit: x}]", "services[0].kind is missing"),
        ("services: [{kind: [systemd], unit: x}]", "services[0].kind ['systemd'] is unknown"),
        ("services: [systemd]", "services[0] is no section"),
        ("sources: [{kind: sftp, name: x}]", "sources[0].kind sftp is unknown"),
        ("sources: [{kind: s3, name: x}]", "sources[0].bucket is missing"),
        ("sources: [{kind: s3, name: x, bucket: 's3://b'}]", "sources[0].bucket s3://b is no name of a bucket"),
        ("sources: [{kind: s3, name: x, bucket: abc, prefix: /a}]", "sources[0].prefix begins with /"),
        ("sources: [{kind: s3, name: x, bucket: abc, endpoint: 'h:1'}]", "sources[0].endpoint is no http address"),
        ("sources: [{kind: s3, name: x, bucket: abc, addressing: dns}]", "is none of auto, path, virtual"),
        ("sources: [{kind: s3, name: x, bucket: abc, secret: x}]", "sources[0].secret is no key of the site file"),
        ("sources: [{kind: s3, name: x, bucket: abc, timezone: Here}]", "sources[0].timezone Here"),
        ("sources: [{kind: git, name: x, repository: '-c'}]", "sources[0].repository names no repository"),
        ("sources: [{kind: git, name: x, repository: 'https://u:p@h/r'}]", "sources[0].repository has a password"),
        ("sources: [{kind: litestream, name: x}]", "sources[0] needs either path or s3"),
        ("sources: [{kind: litestream, name: x, path: /a, s3: {bucket: abc}}]", "needs either path or s3"),
        ("sources: [{kind: litestream, name: x, s3: {bucket: a}}]", "sources[0].s3.bucket a is no name"),
        ("limits: {members: many}", "members must be a whole number"),
        ("limits: {members: true}", "members must be a whole number"),
        ("limits: {megabytes: 0}", "megabytes must be more than 0"),
        ("sources: [{kind: litestream, name: x, path: /a, followed: 0}]", "followed is neither true nor false"),
        ("sources: [{kind: litestream, name: x, path: /etc/pacs_bridge/r}]", "sources[0].path lies in live.config"),
        ("validator: []", "validator names no program"),
        ("validator: /x/check", "validator is no list"),
        ("health: {url: 'ftp://host/'}", "health.url is no http address"),
        ("health: {url: 'http://user:pw@host/'}", "health.url is no http address"),
        ("health: {url: 'http://host:99999/'}", "health.url is no http address"),
        ("health: {timeout: 3s}", "health.url is missing"),
        ("health: {url: 'http://h/', timeout: 0}", "health.timeout must be more than 0"),
        ("start_timeout: 0", "start_timeout must be more than 0"),
        ("soak: -1", "soak is no duration"),
        ("soak: true", "soak is no duration"),
        ("soak: .inf", "soak is no duration"),
        ("soak: 99999999d", "soak is longer than a hundred years"),
        ("objectives: {queue: {rto: 0}}", "objectives.queue.rto must be more than 0"),
        ("objectives: {queue: }", "objectives.queue is empty"),
        ("drill: {service: other}", "drill.service is none of the services"),
        ("drill: {sandbox: chroot}", "drill.sandbox is none of auto, process, container, root"),
        ("drill: {start: [bin/bridge]}", "drill.start names its program by a relative path"),
        ("drill: {environment: {'A=B': c}}", "drill.environment.A=B is no name of a variable"),
        ("drill: {health: ['ftp://h/']}", "drill.health[0] is no http address"),
        ("drill: {readable: [/etc]}", "drill.readable[0] holds a live part"),
        ("drill: {writable: [/]}", "drill.writable[0] holds a live part"),
        ("drill: {message_timeout: 0}", "drill.message_timeout must be more than 0"),
        ("drill: {messages: [a.hl7]}", "drill.messages[0] is no absolute path"),
    ],
)
def test_a_broken_rule_is_told(text: str, where: str) -> None:
    assert any(where in line for line in told(text)), told(text)


@pytest.mark.parametrize(
    "text",
    [
        "name: a site with blanks",
        "services: []",
        "soak: 0",
        "sources: []",
        "sources: [{kind: s3, name: x, bucket: abc, prefix: a/, endpoint: 'https://h:1', addressing: path}]",
        "sources: [{kind: git, name: x, repository: /etc, directory: pacs_bridge}]",
        "sources: [{kind: git, name: x, repository: 'ssh://git@h/r.git', branch: main}]",
        "sources: [{kind: litestream, name: x, s3: {bucket: abc, prefix: queue}}]",
        "sources: [{kind: litestream, name: x, path: /a, followed: false}]",
        "health: null",
        "live: {certs: /srv/tls}",
        "live: {config: /srv/a, certs: /srv/a/tls, queue: /srv/q/queue.db, logs: /srv/l}",
        "sources: [{name: a, kind: local, path: /var/lib/pacs_bridge/backups}]",
        "objectives: {config: {rto: 1m, rpo: null}}",
        'validator: [/opt/x/bin/y, --check, "--file={config}"]',
        '{"name": "a JSON file is YAML too", "soak": 5}',
        'drill: {sandbox: process, start: [/opt/x/bin/y, "{config}"], health: ["http://h:1/ready"], queued: []}',
        "drill: {service: pacs_bridge, image: hospital/bridge, runtime: podman, messages: [/etc/x/a.hl7]}",
    ],
)
def test_what_is_right_has_no_problems(text: str) -> None:
    assert site.problems(text) == []


def test_names_from_the_file_cannot_move_the_terminal() -> None:
    text = '"\\e[2Jkey": 1\nlive: {config: "\\e]0;x\\a"}\n'
    shown = "".join(map(str, site.problems(text)))
    assert "\\x1b[2Jkey" in shown
    assert "\x1b" not in shown


def test_objectives_that_are_left_out_keep_their_defaults() -> None:
    found = check("objectives: {queue: {rto: 2m}, certs: {rpo: null}}")[0].objectives
    assert set(found) == {"config", "certs", "queue", "logs", "full"}
    assert (found["queue"].rto, found["queue"].rpo) == (120, 3600)
    assert (found["certs"].rto, found["certs"].rpo) == (300, None)
    assert found["config"] == Site().objectives["config"]


def test_an_absolute_config_file_in_the_configuration_is_made_relative() -> None:
    found, problems = check("live: {config: /srv/etc, certs: /srv/etc/c, config_file: /srv/etc/a/config.yaml}")
    assert (problems, found.live.config_file) == ([], "a/config.yaml")


@given(st.text())
def test_any_text_is_a_site_or_has_problems(text: str) -> None:
    found, problems = check(text)
    assert isinstance(found, Site)
    assert all(problem.line >= 1 and problem.message for problem in problems)


KEYS = st.sampled_from([*Site.__struct_fields__, "kind", "path", "unit", "rto", "config", "queue", "certs", "url", "x"])
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["local", "command", "/a/b", "5m"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)


@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_tree_is_a_site_or_has_problems(tree: dict[str, object]) -> None:
    found, problems = check(yaml.safe_dump(tree))
    assert problems or site.from_json(site.to_json(found)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retention: {queue: {hot: 60d}}", "retention.queue.warm is shorter than hot, which is 60 days"),
        ("retention: {queue: {total: 30d}}", "retention.queue.total is shorter than archive, which is 90 days"),
        ("retention: {logs: {total: null}}", "retention.logs.total is missing, though a tier ends"),
        ("retention: {certs: {hot: 0}}", "retention.certs.hot must be more than 0"),
        ("retention: {config: {last: 2}}", "retention.config.last is less than retention.minimum"),
        ("retention: {minimum: 0}", "retention.minimum must be more than 0"),
        ("retention: {minimum: three}", "retention.minimum must be a whole number"),
        ("retention: {aside: 0s}", "retention.aside must be more than 0"),
        ("retention: {tiers: {offsite: hot}}", "retention.tiers.offsite is no local or S3 source"),
        ("retention: {tiers: {local: hot}}", "retention.tiers leave no source that keeps backups for their total"),
        ("retention: {tiers: {local: cold}}", "retention.tiers.local is none of hot, warm"),
        ("retention: {queues: {}}", "retention.queues is no key of the site file"),
        ("retention: {queue: {until: 3d}}", "retention.queue.until is no key of the site file"),
    ],
)
def test_a_retention_that_contradicts_itself(text: str, message: str) -> None:
    assert only(text).message == message


def test_a_component_keeps_the_ages_that_it_does_not_change() -> None:
    found = check("retention: {queue: {hot: 3d}, minimum: 5}")[0].retention
    assert (found.queue.hot, found.queue.total, found.minimum) == (3 * 86400, 90 * 86400, 5)
    assert found.certs == Site().retention.certs
