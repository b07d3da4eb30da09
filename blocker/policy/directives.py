"""What a name is to a directive: the roles that policy, store and decisions are made of."""

from __future__ import annotations

from collections import defaultdict
from enum import IntEnum
from typing import TYPE_CHECKING

from blocker import names
from blocker.orders.keys import Keys
from blocker.orders.model import Match, NameList, NamesFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
    """Every (name, role) of a directive or cut, as `by_role` has them."""
    for role, keys in by_role(scheduled, read).items():
        for key in keys:
            yield key, role


def by_role(scheduled: Scheduled, read: Callable[[NamesFile], NameList]) -> dict[Role, Keys]:
    """The names of a directive or cut by what they are to it. The names of a cut are excepts.

    `read` gives the content of a names_file, which may be millions: it is not copied.
    """
    written = scheduled.names
    listed = read(written.file) if written.file else NameList(keys=())
    few: dict[Role, list[names.Key]] = defaultdict(list)
    if scheduled.is_cut:
        excepts = written.subjects
        found = {Role.EXCEPT: listed.keys, Role.EXCEPT_BELOW: listed.below}
    else:
        excepts = written.excepts
        found = {Role.BELOW: listed.below}
        role = _AS_SUBJECT[written.match]
        found[role] = listed.keys if role is not Role.BELOW else listed.keys.also(listed.below)
        for subject in written.subjects:
            few[_AS_SUBJECT[subject.match]].append(subject.key)
    for subject in excepts:
        few[_AS_EXCEPT[subject.match]].append(subject.key)
    for role, keys in few.items():
        found[role] = found.get(role, Keys()).also(keys)
    found[Role.ABOVE] = Keys.of(_above(found.get(Role.EXCEPT, ()), found.get(Role.EXCEPT_BELOW, ())))
    return {role: keys for role, keys in found.items() if keys}


def _above(excepts: Iterable[names.Key], below: Iterable[names.Key]) -> set[names.Key]:
    """What is above an except, less top-level domains: they can't be subjects, so they need no mark."""
    found: set[names.Key] = set()
    for key in excepts:
        found.update(list(names.ancestry(key))[1:-1])
    for key in below:
        found.update(list(names.ancestry(key))[1:])
    return found
