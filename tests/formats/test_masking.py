"""Secrets in configuration text are never shown, however they are written."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from pacs_recover.formats.masking import CHANGED, MASK, diff, is_secret, masked, secret_lines
from pacs_recover.text import safe

SECRET = "hunter2-Tr0ub4dor"
PLACES = {
    "a plain value": "db:\n  password: {}\n",
    "a value with a comma and a comment": "password: a,{}  # b\n",
    "double quotes": 'api_key: "x \\" {}"\n',
    "single quotes": "token: 'it''s {}'\n",
    "a flow mapping": "db: {{user: bob, password: {}, host: h}}\n",
    "a flow mapping over lines": "db: {{password:\n  {}, user: bob}}\n",
    "a literal block": "secret: |\n  first\n\n  {}\nnext: 1\n",
    "a folded block with an indicator": "secret: >-2\n    {}\nnext: 1\n",
    "lines of a quoted value": 'password: "one\n  two {}\n  three"\n',
    "lines of a plain value": "password: one\n  {}\n",
    "a list": "tokens:\n  - a\n  - {}\n",
    "a list without indentation": "tokens:\n- a\n- {}\n",
    "a nested section": "credentials:\n  user: a\n  deep:\n    x: {}\n",
    "an item of a list": "users:\n  - password: {}\n    name: bob\n",
    "a key that is escaped": '"pass\\u0077ord": {}\n',
    "an explicit key": "? password\n: {}\n",
    "a key in quotes with a blank": '"api key" : {}\n',
    "an anchor and a tag": "password: &a !!str {}\n",
    "a comment": "# password: {}\nserver: 1\n",
    "a comment behind a value": "server: 1  # old token: {}\n",
    "JSON on one line": '{{"password": "{}", "user": "bob"}}\n',
    "JSON over lines": '{{\n  "password":\n    "{}",\n  "user": "bob"\n}}\n',
    "camel case": "dbPassword: {}\n",
    "glued": "dbpassword: {}\n",
    "a shouting name": "DB_PASSWD: {}\n",
    "a default": "url: ${{DB_PASSWORD:-{}}}\n",
    "an address": "url: postgres://bob:{}@host/db\n",
    "a private key": "x: |\n  -----BEGIN EC PRIVATE KEY-----\n  {}\n  -----END EC PRIVATE KEY-----\n",
    "a private key that is cut off": "x: |\n  -----BEGIN PRIVATE KEY-----\n  {}\n",
    "broken YAML": "a: b: c\npassword: {}\n",
    "broken YAML before a block": "a: b: c\npassword:\n  {}\nuser: bob\n",
    "broken YAML in a flow mapping": "a: b: c\n{{user: a, password: {}\n",
    "an ini file": "[db]\npassword={}\n",
    "an ini file with blanks": "[db]\npassword = {}\n",
    "a header": "a: b: c\nAuthorization: Bearer {}\n",
    "behind an alias": "a: *b\ntoken: {}\n",
    "behind a byte order mark": "\ufeffpassword: {}\n",
    "carriage returns": "password: {}\r\nserver: x\r\n",
    "a second document": "a: 1\n---\npassword: {}\n",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_masked_wherever_it_stands(place: str) -> None:
    text = PLACES[place].format(SECRET)
    shown = masked(text)
    assert SECRET not in shown
    assert MASK in shown
    assert shown.count("\n") == text.count("\n")


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_that_changed_is_said_to_have_changed_and_no_more(place: str) -> None:
    shown = "\n".join(diff(PLACES[place].format("old" + SECRET), PLACES[place].format("new" + SECRET), "config.yaml"))
    assert SECRET not in shown
    assert CHANGED in shown


@pytest.mark.parametrize(
    "text",
    [
        "server: {name: x}\nhl7:\n  listener:\n    tls:\n      key_path: /etc/k.key\n      ca_path: /ca\n",
        "token_url: https://idp/token\nkey_file: /root/k\nauthor: bob\nmonkey: 1\nkeyboard: 2\n",
        "host: ${RIS_HOST:-ris.example}\nurl: http://host:8080/path@x\n",
        "# a comment about passwords\nserver: 1\n",
        "password:\nuser: bob\n",
        "",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_what_stands_beside_a_secret_can_still_be_read() -> None:
    text = 'users:\n  - password: x\n    name: bob\ndb: {password: "a, b", host: h}\n{"token": "x", "port": 1}\n'
    shown = masked(text)
    assert all(word in shown for word in ("name: bob", "host: h", '"port": 1'))


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "apiKey", "api-key", "private_key", "TOKEN", "client_secret", "keys", "key",
             "sharedSecret", "db.password", "passphrase", "credentials", "access_key_id", "authToken", "salt", "APIKEY"]
)  # fmt: skip
def test_a_name_of_a_secret_is_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["name", "port", "key_path", "keyFile", "token_url", "author", "monkey", "host", "", "70450", "ca_path",
             "passive", "compass", "max_retry_count", "secret_name", "password_file"]
)  # fmt: skip
def test_other_names_are_not(name: str) -> None:
    assert not is_secret(name)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)
SECRETS = st.text("abcdefXYZ0189", min_size=8, max_size=12).map(lambda word: f"S{word}S")
TREES = st.recursive(
    WORDS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(TREES, st.recursive(SECRETS, lambda inner: st.lists(inner, min_size=1, max_size=2)), st.data())
def test_no_secret_of_any_document_is_shown(tree: object, secret: object, data: st.DataObject) -> None:
    whole = {"a": tree, "list": [{"password": secret, "user": "bob"}], "z": [tree]}
    style = data.draw(st.sampled_from([None, True, False]))
    quote = data.draw(st.sampled_from([None, '"', "'", "|", ">"]))
    width = data.draw(st.sampled_from([10, 80, 1000]))
    written = yaml.safe_dump(whole, default_flow_style=style, default_style=quote, width=width, allow_unicode=True)
    for text in (written, json.dumps(whole), json.dumps(whole, indent=2), "a: b: c\n" + json.dumps(whole, indent=1)):
        shown = masked(text)
        assert not any(word in shown for word in leaves(secret))
        assert shown.count("\n") == text.count("\n")


def leaves(secret: object) -> list[str]:
    return [word for item in secret for word in leaves(item)] if isinstance(secret, list) else [str(secret)]


@given(st.text(), st.text())
def test_any_two_texts_have_a_difference_that_can_be_shown(old: str, new: str) -> None:
    shown = diff(old, new, "x")
    assert bool(shown) == (old != new)
    assert shown == [safe(line, 1000) for line in shown]


@given(st.text(max_size=200))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    assume("\ufeff" not in text)
    assert masked(masked(text)) == masked(text)


def test_a_difference_reads_like_any_other() -> None:
    old = "server:\n  name: a\n  password: x\nport: 1\n"
    new = "server:\n  name: b\n  password: x\nport: 1\nextra: yes\n"
    assert diff(old, new, "config.yaml") == [
        "--- config.yaml (live)", "+++ config.yaml (backup)", "@@ -1,5 +1,6 @@", " server:", "-  name: a", "+  name: b",
        f"   password: {MASK}", " port: 1", "+extra: yes", " ",
    ]  # fmt: skip


def test_equal_texts_have_no_difference() -> None:
    assert diff("password: x", "password: x", "config.yaml") == []


def test_a_difference_cannot_move_the_terminal() -> None:
    shown = diff("a: 1", "a: \x1b]0;x\x07\u202e", "\x1b[2J")
    assert all(line.isprintable() for line in shown)


def test_long_and_hostile_texts_end_in_time() -> None:
    began = time.process_time()
    assert "too long" in diff("a\n" * 5000, "b\n" * 3, "x")[0]
    diff("".join(f"{i % 100}\n" for i in range(1990)), "".join(f"{i * 37 % 100}\n" for i in range(1990)), "x")
    words = ("a:", "password:", "-----BEGIN PRIVATE KEY-----", "://a:", "${a:-", "'\"a:", "password: '", " ", "a")
    for word in words:
        text = word * (600_000 // len(word))
        masked(text)
    assert time.process_time() - began < 30


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\npassword: hunter2\n", [2]),
        ("password: ${DB_PASSWORD}\n", []),
        ('password: "${DB_PASSWORD}"  # of the unit\n', []),
        ("password: ${DB_PASSWORD:-hunter2}\n", [1]),
        ("url: https://me:hunter2@example/\n", [1]),
        ("client_auth: optional\nauth:\n  enabled: true\n", []),
        ("token: |\n  abc\n  def\nb: 2\n", [1, 2, 3]),
        ('{"secret": "x", "b": 1}\n', [1]),
        ("-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n", [1, 2, 3]),
        ("pin: 1234\n", [1]),
        ('auth:\n  user: "${USER}"\n  code: hunter2\n', [3]),
        ("", []),
    ],
)
def test_lines_that_hold_a_secret_itself(text: str, lines: list[int]) -> None:
    assert secret_lines(text) == lines
