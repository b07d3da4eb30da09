"""Which names belong to the public: the Public Suffix List.

Blocking `co.uk` would block everybody under it, so no order may name a suffix of the ICANN section. Those
of the private section (`github.io`) may be ordered, for one operator answers for each of them; since many
publish below them, `policy.radius` holds such an order until a person accepts it. The rules are kept as
sets of keys, for a list of millions of names asks about each. Format: publicsuffix.org/list.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import publicsuffixlist

from blocker import names


class Rules(NamedTuple):
    """The list as keys: names that are suffixes, those all of whose children are, and the free ones."""

    exact: frozenset[names.Key]
    wild: frozenset[names.Key]
    free: frozenset[names.Key]

    def cover(self, key: names.Key) -> bool:
        """Whether the name is a public suffix, alone or by its parent's wildcard."""
        return key in self.exact or (names.parent(key) in self.wild and key not in self.free)


@cache
def rules() -> Rules:
    """The ICANN section of the list that came with the installed library; read once."""
    return _section("ICANN")


@cache
def private() -> Rules:
    """Its private section; read once."""
    return _section("PRIVATE")


@cache
def version() -> str:
    """The day of the list, as it says itself."""
    found = re.search(r"^// VERSION: (\S+)", _text(), re.MULTILINE)
    return found[1][:10] if found else "unknown"


def _text() -> str:
    return Path(publicsuffixlist.PSLFILE).read_text(encoding="utf-8")


def _section(title: str) -> Rules:
    _, _, after = _text().partition(f"// ===BEGIN {title} DOMAINS===")
    section, _, _ = after.partition(f"// ===END {title} DOMAINS===")
    exact, wild, free = set(), set(), set()
    for line in section.splitlines():
        rule = line.split(" ")[0].strip()
        if not rule or rule.startswith("//"):
            continue
        key = names.to_key(_ascii(rule.removeprefix("*.").removeprefix("!")))
        if rule.startswith("!"):
            free.add(key)
        else:
            exact.add(key)  # A wildcard's own name is a suffix too: it has nothing but suffixes below it.
            if rule.startswith("*."):
                wild.add(key)
    return Rules(exact=frozenset(exact), wild=frozenset(wild), free=frozenset(free))


def _ascii(rule: str) -> str:
    """The rule in A-labels. The list is in lower case and NFC already (its page "Format"), so what is left of
    IDNA is Punycode. Its rules are thousands and each verb reads them: mapped as if people had typed them,
    they would take longer than most verbs' work.
    """
    if rule.isascii():
        return rule
    labels = (
        label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in rule.split(".")
    )
    return ".".join(labels)
