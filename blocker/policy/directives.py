"""What a name is to a directive: the roles that policy, store and decisions are made of."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from blocker import names
from blocker.orders.model import Match, NameList, NamesFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blocker.orders.timetable import Scheduled


class Role(IntEnum):
    """What a name is to a directive (or cut).

    ABOVE marks the ancestors of an except: something below them is free, so NXDOMAIN would deny too much
    (RFC 8020 §2).
    """

    EXACT = 0
    SUBTREE = 1
    BELOW = 2
    EXCEPT = 3
    EXCEPT_BELOW = 4
    ABOVE = 5


SUBJECT_ROLES = frozenset({Role.EXACT, Role.SUBTREE, Role.BELOW})

_AS_SUBJECT = {Match.EXACT: Role.EXACT, Match.SUBTREE: Role.SUBTREE, Match.BELOW: Role.BELOW}
_AS_EXCEPT = {Match.SUBTREE: Role.EXCEPT, Match.BELOW: Role.EXCEPT_BELOW}


def entries(scheduled: Scheduled, read: Callable[[NamesFile], NameList]) -> Iterator[tuple[names.Key, Role]]:
    """Every (name, role) of a directive or cut; a pair may come twice. The names of a cut are excepts.

    `read` gives the content of a names_file.
    """
    written = scheduled.names
    listed = read(written.file) if written.file else NameList(keys=())
    if scheduled.is_cut:
        excepts = [(subject.key, _AS_EXCEPT[subject.match]) for subject in written.subjects]
        excepts += [(key, Role.EXCEPT) for key in listed.keys]
        excepts += [(key, Role.EXCEPT_BELOW) for key in listed.below]
    else:
        excepts = [(subject.key, _AS_EXCEPT[subject.match]) for subject in written.excepts]
        for subject in written.subjects:
            yield subject.key, _AS_SUBJECT[subject.match]
        role = _AS_SUBJECT[written.match]
        for key in listed.keys:
            yield key, role
        for key in listed.below:
            yield key, Role.BELOW
    marked: set[names.Key] = set()
    for key, role in excepts:
        yield key, role
        _, *above = names.ancestry(key)  # A top-level domain can't be a subject, so it needs no mark.
        if role is Role.EXCEPT:
            above = above[:-1]
        for ancestor in above:
            if ancestor not in marked:
                marked.add(ancestor)
                yield ancestor, Role.ABOVE
