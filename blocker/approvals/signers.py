"""signers.yaml: who may approve orders, with which key, as what and when; and the keys that may not any more.

Pure. Hostile until parsed, like every file: what is wrong in it are Problems, and a file with Problems names
nobody. A person is known by `who`, which no second person may have, and a key is one person's.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blocker import sshkeys, yamltext
from blocker.fields import Complaints, Field, Rejected, mapping, moment, read_mapping, several, shown, text
from blocker.orders import subjects
from blocker.sitetables import a_key, role, several_or_none

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocker.errors import Problem
    from blocker.sshkeys import PublicKey
    from blocker.yamltext import Node


_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One key of one person, good in `[start, until)`; None: always."""

    who: str
    key: PublicKey
    roles: frozenset[str]
    start: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A key that nothing is believed of from `start` on, whenever it signed: signatures carry no time."""

    fingerprint: str
    start: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """The people who may approve, by the fingerprints of their keys, and the revoked keys by theirs.

    Of two files the one `issued` later holds: an older one would bring back who was revoked since.
    """

    signers: dict[str, Signer]
    revoked: dict[str, Revoked]
    issued: datetime = _NEVER


def parse(octets: bytes, path: str) -> tuple[Signers | None, list[Problem]]:
    """What the file says; None if it has Problems."""
    root, problems = yamltext.read(octets, path)
    if root is None:
        return None, problems
    complaints = Complaints(path, problems)
    values = read_mapping(root, complaints, _FILE, "signers.yaml")
    listed = values.get("signers", ())
    _check(root, listed, complaints)
    if complaints:
        return None, complaints.all()
    return Signers(
        signers={one["key"].fingerprint: _signer(one) for one in listed},
        revoked={one["key"]: _revoked(one) for one in reversed(values.get("revoked", ()))},
        issued=values["issued"],
    ), []


def of_roots(keys: Iterable[PublicKey]) -> Signers:
    """Those who may say who may sign."""
    return Signers(
        signers={key.fingerprint: Signer(who="a root", key=key, roles=frozenset()) for key in keys},
        revoked={},
    )


def _signer(values: dict[str, Any]) -> Signer:
    return Signer(
        who=values["who"],
        key=values["key"],
        roles=frozenset(values["roles"]),
        start=values.get("from"),
        until=values.get("until"),
    )


def _revoked(values: dict[str, Any]) -> Revoked:
    return Revoked(fingerprint=values["key"], start=values["from"], reason=values["reason"])


def _line(value: str) -> str:
    """A short text that looks the same wherever it is shown."""
    if len(value) > 80 or not value.isprintable() or value != " ".join(value.split()):
        raise Rejected(
            "who-invalid", f"{shown(value)} is not one short line; write it in at most 80 printable letters."
        )
    return value


def _person(value: str) -> str:
    """A person's name: no word of it is made to be taken for another person's."""
    for word in unicodedata.normalize("NFKC", _line(value)).split():
        if mixed := subjects.mixture(word):
            raise Rejected(
                "who-invalid",
                f"{shown(value)} has {mixed} letters in one word, so that it looks like another name; write "
                "each word in one script.",
            )
    return value


def _fingerprint(value: str) -> str:
    if not sshkeys.is_fingerprint(value):
        raise Rejected(
            "fingerprint-invalid",
            f"{shown(value)} is no fingerprint of a key; write SHA256:… as `ssh-keygen -lf FILE.pub` says.",
        )
    return value


_FILE = {
    "issued": Field(read=text(moment), required="write when it is issued; an older file is refused later."),
    "signers": Field(
        read=several(
            mapping(
                {
                    "who": Field(read=text(_person), required="name the person."),
                    "key": Field(read=text(a_key), required="write the line of the .pub file."),
                    "roles": Field(read=several(text(role)), required="list what the person approves as."),
                    "from": Field(read=text(moment)),
                    "until": Field(read=text(moment)),
                },
                "a signer",
            )
        ),
        required="list who may approve orders.",
    ),
    "revoked": Field(
        read=several_or_none(
            mapping(
                {
                    "key": Field(read=text(_fingerprint), required="write the key's fingerprint."),
                    "from": Field(read=text(moment), required="write since when it is not believed."),
                    "reason": Field(read=text(_line), required="write why; it is shown to who meets it."),
                },
                "a revoked key",
            )
        )
    ),
}


def _check(root: Node, listed: tuple[dict[str, Any], ...], complaints: Complaints) -> None:
    """What needs two places of the file to be seen."""
    keys: dict[PublicKey, str] = {}
    names: dict[str, str] = {}
    roles: dict[str, frozenset[str]] = {}
    for position, one in enumerate(listed):
        if not {"who", "key", "roles"} <= one.keys():
            continue
        who, key = one["who"], one["key"]

        def at(name: str, position: int = position) -> yamltext.Mark:
            return yamltext.place(root, "signers", position, name)

        if key in keys:
            complaints.add(
                "signer-key-twice",
                at("key"),
                f"{shown(keys[key])} has this key already; a key speaks for one person, once.",
            )
        keys.setdefault(key, who)
        other = names.setdefault(_alike(who), who)
        if other != who:
            complaints.add(
                "signer-alike",
                at("who"),
                f"{shown(who)} and {shown(other)} look like one person; write them alike, or apart.",
            )
        if roles.setdefault(who, frozenset(one["roles"])) != frozenset(one["roles"]):
            complaints.add(
                "signer-two-roles",
                at("roles"),
                f"{shown(who)} has other roles with another key; roles are the person's, write them alike.",
            )
        if "from" in one and "until" in one and one["until"] <= one["from"]:
            complaints.add("empty-window", at("until"), "it ends before it begins; mend 'from' or 'until'.")


def _alike(who: str) -> str:
    return unicodedata.normalize("NFKC", who).casefold()
