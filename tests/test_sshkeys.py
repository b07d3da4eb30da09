from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import sshkeys
from tests.approvals.people import Town

if TYPE_CHECKING:
    from pathlib import Path


def blob(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def line(kind: str, *parts: bytes) -> str:
    return f"{kind} {base64.b64encode(blob(*parts)).decode()} who@where"


@pytest.mark.parametrize("name", ["alice", "ecdsa", "rsa"])
def test_a_key_is_read_as_ssh_keygen_wrote_it_and_has_the_fingerprint_it_says(
    tmp_path: Path, name: str
) -> None:
    person = Town(tmp_path)[name]
    key = sshkeys.read(person.line)
    assert key.fingerprint == person.fingerprint
    assert person.line.startswith(str(key))
    assert sshkeys.read(str(key)) == key
    assert sshkeys.is_fingerprint(key.fingerprint)
    assert not key.is_hardware


def test_a_key_in_a_device_is_known_as_one() -> None:
    kind = "sk-ssh-ed25519@openssh.com"
    assert sshkeys.read(line(kind, kind.encode(), bytes(32), b"ssh:")).is_hardware


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "its kind is none of ssh-ed25519, "),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "it is not base64"),
        ("ssh-ed25519 !!!", "it is not base64"),
        ("ssh-ed25519 QUJD", "the octets end within a length"),
        (line("ssh-ed25519", b"ssh-ed25519"), "it is no whole key of the kind ssh-ed25519"),
        (line("ssh-dss", b"ssh-dss", b"p"), "its kind is none of ssh-ed25519, "),
        (
            line("ssh-ed25519-cert-v01@openssh.com", b"ssh-ed25519-cert-v01@openssh.com"),
            "its kind is none of",
        ),
        (line("ssh-rsa", b"ssh-ed25519", bytes(32)), "its two halves speak of different kinds"),
        (line("ssh-rsa", b"ssh-rsa", b"\3", b"\1" + bytes(127)), "its 1017 bits are too few"),
        (line("ssh-rsa", b"ssh-rsa", b"\3", bytes(9000)), "the key is longer than any key that may sign"),
        ("ssh-ed25519 AAAACXNzaA==", "the octets end within a string"),
        ('from="*" ssh-ed25519 AAAA', "it is not base64"),
    ],
)
def test_what_is_no_key_that_may_sign_is_refused_with_the_reason(written: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sshkeys.read(written)


@pytest.mark.parametrize("text", ["", "SHA256:", "MD5:aa:bb", "SHA256:!!!", "SHA256:QUJD", "x" * 43])
def test_what_is_no_fingerprint_is_not_taken_for_one(text: str) -> None:
    assert not sshkeys.is_fingerprint(text)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_strings_are_read_as_they_were_written(parts: list[bytes]) -> None:
    assert sshkeys.strings(blob(*parts)) == parts
