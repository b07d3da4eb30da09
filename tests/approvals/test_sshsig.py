from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.approvals.sshsig import BEGIN, END, Envelope, Flaw, read
from tests.test_sshkeys import blob

if TYPE_CHECKING:
    from tests.approvals.people import Town

ED = blob(b"ssh-ed25519", bytes(32))
SK = blob(b"sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:")
MAGIC = b"SSHSIG\0\0\0\1"


def armored(octets: bytes) -> bytes:
    return b"%s\n%s%s\n" % (BEGIN, base64.encodebytes(octets), END)


def made(
    *, key: bytes = ED, hashed: bytes = b"sha512", signature: bytes = b"", magic: bytes = MAGIC
) -> bytes:
    return armored(magic + blob(key, b"blocker-order", b"", hashed, signature))


def test_a_signature_says_by_which_key_and_for_what_it_was_made(town: Town) -> None:
    alice, bob = town["alice"], town["bob"]
    both = alice.sign(b"x") + b"\n" + bob.sign(b"x", "other")
    first, second = (one for one in read(both) if isinstance(one, Envelope))
    assert (first.key.fingerprint, first.namespace) == (alice.fingerprint, "blocker-order")
    assert (second.key.fingerprint, second.namespace) == (bob.fingerprint, "other")
    assert first.armored + b"\n" + second.armored == both


def test_line_ends_of_another_system_make_no_other_signature(town: Town) -> None:
    octets = town["alice"].sign(b"x")
    assert list(read(octets.replace(b"\n", b"\r\n"))) == list(read(octets))


FLAWS = [
    ("empty", b"", "signature-garbled", "the file is empty; "),
    ("a letter", b"I approve.\n", "signature-garbled", "something other than a signature stands in the file"),
    ("after it", made() + b"and more\n", "signature-garbled", "something other than a signature"),
    ("half", made()[:60], "signature-truncated", "a signature has no last line"),
    ("no base64", b"%s\n!!!\n%s\n" % (BEGIN, END), "signature-garbled", "is not base64"),
    ("no signature", armored(b"SSHSIG\0\0\0\2"), "signature-garbled", "it is no SSH signature of version 1"),
    ("a line lost", armored(MAGIC + blob(ED, b"n")[:-1]), "signature-truncated", "ends before its end"),
    ("too few", armored(MAGIC + blob(ED, b"n")), "signature-garbled", "does not consist of key, namespace"),
    ("sha1", made(hashed=b"sha1"), "signature-unsupported", "neither SHA-512 nor SHA-256"),
    (
        "dsa",
        made(key=blob(b"ssh-dss", b"p")),
        "signature-unsupported",
        "the key it was made with may not sign",
    ),
]


@pytest.mark.parametrize(
    ("octets", "id_", "words"), [row[1:] for row in FLAWS], ids=[row[0] for row in FLAWS]
)
def test_what_is_no_whole_signature_has_its_own_sentence(octets: bytes, id_: str, words: str) -> None:
    flaws = [one for one in read(octets) if isinstance(one, Flaw)]
    assert [one.id for one in flaws] == [id_]
    assert words in flaws[0].message


@pytest.mark.parametrize(
    ("signature", "is_touched"),
    [
        (blob(b"sk-ssh-ed25519@openssh.com", bytes(64)) + b"\1\0\0\0\7", True),
        (blob(b"sk-ssh-ed25519@openssh.com", bytes(64)) + b"\5\0\0\0\7", True),
        (blob(b"sk-ssh-ed25519@openssh.com", bytes(64)) + b"\4\0\0\0\7", False),
        (blob(b"sk-ssh-ed25519@openssh.com", bytes(64)) + b"\1\0\0\0\7" + blob(b"origin"), False),
        (blob(b"sk-ssh-ed25519@openssh.com", bytes(64)), False),
        (b"\0", False),
    ],
)
def test_a_device_says_whether_it_was_touched(signature: bytes, is_touched: bool) -> None:
    (found,) = read(made(key=SK, signature=signature))
    assert isinstance(found, Envelope)
    assert found.is_touched is is_touched


@given(st.binary(max_size=300))
def test_whatever_stands_in_a_file_is_read_without_fault(octets: bytes) -> None:
    for wrapped in (octets, armored(octets), armored(MAGIC + octets), made() + octets):
        assert all(isinstance(one, Envelope | Flaw) for one in read(wrapped))
