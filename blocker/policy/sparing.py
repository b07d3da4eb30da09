"""Counting what the cuts of a plan spare: the shell around spared.

It looks at names only when a plan changes a cut. Names of applied directives are in the store, those of new
ones in their orders and lists. What a removal takes away lies in ranges of names that don't overlap, so a cut
costs a look-up for each of its names, and all of them together no more than going through the store once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import tee
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.orders.timetable import Names
from blocker.policy import spared
from blocker.policy.directives import SUBJECT_ROLES, Role
from blocker.policy.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from blocker.names import Key
    from blocker.orders.model import NameList, NamesFile
    from blocker.orders.timetable import Scheduled
    from blocker.policy.spared import Span
    from blocker.policy.store import Snapshot

    Source = Callable[[Iterable[Span]], Iterator[int]]


class Sparing:
    """What cuts spare, over the policy in `state`, if one `is_live`. `read` gives the content of names_files.

    What was counted for one plan is known for another of the same orders, or of some of them.
    """

    def __init__(self, state: Path, read: Callable[[NamesFile], NameList], *, is_live: bool) -> None:
        self._state, self._read, self._is_live = state, read, is_live
        self._known: dict[tuple[str, tuple[str, ...], bool], int] = {}

    @contextmanager
    def counting(self, scheduled: Iterable[Scheduled]) -> Iterator[Callable[[Scheduled], int]]:
        """What counts the names that a cut spares, of those of its directives that are among these. A cut
        without names is one as it is applied. The store is open from the first question on. It raises
        StoreError.
        """
        wanted = {one.ref: one for one in scheduled}
        with ExitStack() as stack:
            opened: list[_Applied] = []

            def count(cut: Scheduled) -> int:
                asked = (cut.ref, cut.cuts, cut.names == Names())
                if asked not in self._known:
                    if not opened:
                        opened.append(_applied(stack, self._state) if self._is_live else _Applied())
                    self._known[asked] = self._count(cut, wanted, opened[0])
                return self._known[asked]

            yield count

    def _count(self, cut: Scheduled, wanted: Mapping[str, Scheduled], applied: _Applied) -> int:
        there = [ref for ref in cut.cuts if ref in wanted]
        sources = [
            *applied.source(ref for ref in there if ref in applied.numbers),
            *self._listed(wanted[ref].names for ref in there if ref not in applied.numbers),
        ]
        spans = tee(spared.spans(self._removed(cut, applied)), len(sources))
        counts = [source(one) for source, one in zip(sources, spans, strict=True)]
        return spared.total(zip(*counts, strict=True))

    def _removed(self, cut: Scheduled, applied: _Applied) -> Iterable[Key]:
        if cut.names != Names():
            try:
                return spared.removed(cut.names, self._read)
            except StoreError:  # The archive has lost its list.
                if cut.ref not in applied.numbers:
                    raise
        return applied.removed(cut.ref)

    def _listed(self, written: Iterable[Names]) -> Iterator[Source]:
        """Where the names of new directives are."""
        inline: list[Key] = []
        for names in written:
            inline += [subject.key for subject in names.subjects]
            if names.file is not None:
                listed = self._read(names.file)
                yield from (partial(spared.among, keys) for keys in (listed.keys, listed.below) if keys)
        if inline:
            yield partial(spared.among_few, sorted(inline))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Applied:
    """The names of the applied directives: `numbers` by ref; the ids of the sets in which a directive has
    subjects, by its number, and of those in which a cut has what it removes.
    """

    policy: Snapshot | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    subjects: Mapping[int, Sequence[bytes]] = field(default_factory=dict)
    removals: Mapping[int, Sequence[bytes]] = field(default_factory=dict)

    def source(self, refs: Iterable[str]) -> Iterator[Source]:
        """Where the names of these directives are."""
        weights = Counter(set_id for ref in refs for set_id in self.subjects.get(self.numbers[ref], ()))
        if self.policy is not None and weights:
            yield partial(self.policy.weighed, weights=weights)

    def removed(self, ref: str) -> Iterator[Key]:
        """The names of a cut, looked for among all names: nothing else knows them for sure."""
        if self.policy is not None and ref in self.numbers:
            yield from self.policy.of_sets(self.removals.get(self.numbers[ref], ()))


def _applied(stack: ExitStack, state: Path) -> _Applied:
    reader = Reader(state)
    stack.callback(reader.close)
    policy = stack.enter_context(reader.snapshot())
    subjects, removals = defaultdict[int, list[bytes]](list), defaultdict[int, list[bytes]](list)
    for set_id, pairs in policy.sets():
        for number in {number for number, role in pairs if role in SUBJECT_ROLES}:
            subjects[number].append(set_id)
        for number in {number for number, role in pairs if role in (Role.EXCEPT, Role.EXCEPT_BELOW)}:
            removals[number].append(set_id)
    return _Applied(
        policy=policy,
        numbers={one.ref: number for number, one in policy.directives.items()},
        subjects=subjects,
        removals=removals,
    )
