from __future__ import annotations

import base64

import pytest

from blocker.rpz import keyfile
from blocker.rpz.keyfile import KeyInvalid, SigningKey

SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.mark.parametrize(
    "text",
    [
        f'key "blocker" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n',
        f'key blocker {{ secret "{SECRET}"; algorithm "HMAC-SHA256"; }};',
        f'# a\n// key\n/* of\nours */ key "Blocker." {{ algorithm hmac-sha256; secret "{SECRET}"; }} ;',
    ],
)
def test_a_key_as_tsig_keygen_writes_it_is_understood(text: str) -> None:
    assert keyfile.parse(text) == SigningKey(
        name="blocker", algorithm="hmac-sha256", secret=base64.b64decode(SECRET)
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "one clause"),
        (f'key "a" {{ algorithm hmac-sha256; secret "{SECRET}"; }}; zone "x" {{ }};', "one clause"),
        (f'key "a" {{ algorithm hmac-sha256; secret "{SECRET}"; }}', "one clause"),
        ('key "a" { algorithm hmac-sha256; };', "one clause"),
        (f'key "a" {{ secret "{SECRET}"; secret "{SECRET}"; }};', "one clause"),
        (f'key "a" {{ algorithm hmac-md5; secret "{SECRET}"; }};', "hmac-md5 is none of"),
        ('key "a" { algorithm hmac-sha256; secret "abc"; };', "not base64"),
        (f'key "a..b" {{ algorithm hmac-sha256; secret "{SECRET}"; }};', "no domain name"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(text: str, why: str) -> None:
    with pytest.raises(KeyInvalid, match=why) as refused:
        keyfile.parse(text)
    assert SECRET not in str(refused.value)


def test_a_secret_may_look_like_a_comment() -> None:
    text = 'key "a" { algorithm hmac-sha512; secret "ab//cd+/efg/"; };'
    assert keyfile.parse(text).secret == base64.b64decode("ab//cd+/efg/")


def test_a_key_does_not_show_its_secret() -> None:
    assert "123" not in repr(SigningKey(name="a", algorithm="hmac-sha256", secret=b"123"))
