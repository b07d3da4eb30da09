"""The wire peek of bulk probing: what an answer was found to be, known again by its octets.

Pure, and it decides nothing: every mark is the judge's, on the answer as `observe.read` reads it. It rests on
what a judgement of one answer can hang on. For a name that must be blocked that is the answer's header after
the id and what follows its question, as long as no owner there points into the question at another place
than its beginning, nor that of an SOA in ADDITIONAL, which may be the mark of a block, there at all: then the
same octets around another question say the same of that question's name. So a list of millions has a few
dozen answers to read; the others are compared with them.

What is unusual (letters in another case, other pointers, aliases, names that must pass) is read each time.
Everything kept is bounded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from blocker import names
from blocker.prober import observe
from blocker.prober.judge import Controls, Evidence, Kind, addresses_of, judge
from blocker.prober.observe import CNAME, DNAME, SOA, Observation

if TYPE_CHECKING:
    from blocker.names import Key
    from blocker.prober.expect import Expectation
    from blocker.prober.profile import Profile

_MOST = 4096

_WHOLE = b"\xc0\x0c"  # a pointer to where the question begins (RFC 1035 §4.1.4)
_BARE = observe.query(names.ROOT, 0, 0)
HEAD, TAIL = _BARE[2:12], _BARE[17:]
"""What a plain query has between its id and its question, and after that."""


class Mark(Enum):
    """What one answer shows, before anybody looks a second time.

    OK: the judge's own. FORMED: the ordered form, not attributed: a block if the name exists. ODD: anything
    else. VOID: the policy changed while it was under way.
    """

    OK = "ok"
    FORMED = "formed"
    ODD = "odd"
    VOID = "void"


def question(name: Key, qtype: int) -> bytes:
    """The question as it stands in a query and in its answer (RFC 1035 §4.1.2)."""
    return names.to_wire(name) + struct.pack("!HH", qtype, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was found of answers to one sort of expectation, by their octets before and after the question.

    `controls` is what the controls around must come to before a mark counts. `profile` and `forged` are as
    in the judge's evidence.
    """

    controls: Controls = Controls.NONE
    profile: Profile | None = None
    forged: frozenset[bytes] = frozenset()
    marks: dict[tuple[bytes, bytes], Mark]

    def mark(self, expectation: Expectation, seen: Observation) -> Mark:
        """The mark of an answer that was read; remembered if it does not hang on the name."""
        mark = self._judged(expectation, seen)
        # Only what is said of blocked names is found again: what passes differs from name to name.
        if expectation.form is not None and mark in (Mark.OK, Mark.FORMED) and len(self.marks) < _MOST:
            asked = question(seen.name, seen.qtype)
            body = seen.arrivals[0].octets[2:]
            head, found, tail = body.partition(asked)
            if found and len(head) == len(HEAD) and is_nameless(body, len(head) + len(asked)):
                self.marks[head, tail] = mark
        return mark

    def _judged(self, expectation: Expectation, seen: Observation) -> Mark:
        evidence = Evidence(controls=self.controls, profile=self.profile, forged=self.forged)
        finding = judge(expectation, [seen], evidence)
        if finding is None:
            return Mark.VOID
        if finding.kind is Kind.OK:
            return Mark.OK
        if expectation.form is not None:
            would_be = judge(
                expectation, [seen], replace(evidence, controls=Controls.PASS, was_resolved=True)
            )
            if would_be is not None and would_be.kind is Kind.OK:
                return Mark.FORMED
        return Mark.ODD


class Memory:
    """The Known of every sort of expectation: questions of one type to be answered with one form."""

    def __init__(self, controls: Controls, profile: Profile | None = None) -> None:
        self._controls, self._profile = controls, profile
        self._known: dict[tuple[object, ...], Known] = {}

    def of(self, expectation: Expectation, forged: frozenset[bytes]) -> Known:
        sort = expectation.qtype, expectation.form, addresses_of(expectation), forged
        known = self._known.get(sort)
        if known is None:
            if len(self._known) == _MOST:
                self._known.clear()
            known = self._known[sort] = Known(
                controls=self._controls, profile=self._profile, forged=forged, marks={}
            )
        return known


def is_nameless(body: bytes, at: int) -> bool:
    """Whether what is said after the question, which ends at `at`, says the same after any other.

    `body` is a message without its id, and one that `observe.read` can read.
    """
    counts = struct.unpack_from("!3H", body, 4)
    for number in range(sum(counts)):
        is_the_names = body.startswith(_WHOLE, at)
        if is_the_names:
            at += 1
        else:
            while length := body[at]:
                # Labels before a pointer count as well: with a long name they would be too many.
                if length >= 0xC0:
                    return False
                at += 1 + length
        rtype, _, _, size = struct.unpack_from("!HHIH", body, at + 1)
        is_mark = rtype == SOA and number >= counts[0] + counts[1]
        if rtype in (CNAME, DNAME) or (is_mark and is_the_names):
            return False
        at += 11 + size
    return True
