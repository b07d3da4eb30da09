"""Which names belong to the public: the ICANN section of the Public Suffix List.

Blocking `co.uk` would block everybody under it, so no order may name it. The private section (`github.io`)
is left alone: one operator answers for each of those names. The rules are kept as sets of keys, for a list
of millions of names asks about each. Format: publicsuffix.org/list.
"""

from __future__ import annotations

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
    """The list that came with the installed library; read once."""
    text = Path(publicsuffixlist.PSLFILE).read_text(encoding="utf-8")
    _, _, after = text.partition("// ===BEGIN ICANN DOMAINS===")
    icann, _, _ = after.partition("// ===END ICANN DOMAINS===")
    exact, wild, free = set(), set(), set()
    for line in icann.splitlines():
        rule = line.split(" ")[0].strip()
        if not rule or rule.startswith("//"):
            continue
        key = names.to_key(names.canonical(rule.removeprefix("*.").removeprefix("!")))
        if rule.startswith("!"):
            free.add(key)
        else:
            exact.add(key)  # A wildcard's own name is a suffix too: it has nothing but suffixes below it.
            if rule.startswith("*."):
                wild.add(key)
    return Rules(exact=frozenset(exact), wild=frozenset(wild), free=frozenset(free))
