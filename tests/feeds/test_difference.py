"""The law of the difference: what was ordered, less the cuts, with what is added, is what the list says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blocker.feeds.difference import Difference, cut, difference
from blocker.feeds.extract import BELOW, ONLY, Extract

LABELS = st.sampled_from(["a", "b", "c"])
BARE = st.lists(LABELS, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "example"]).encode())
LISTED = st.sets(st.tuples(st.sampled_from([b"", BELOW, ONLY]), BARE).map(b"".join), max_size=8)
ASKED = [
    ".".join([*labels, "example"]).encode()
    for labels in [
        [],
        ["a"],
        ["b"],
        *([x, y] for x in "abc" for y in "abc"),
        *([x, y, z] for x in "abx" for y in "abc" for z in "abc"),
    ]
]


def without_covered(listed: set[bytes]) -> set[bytes]:
    """As documents are read: a name with all below it says the rest."""
    return {
        one
        for one in listed
        if one[:1] not in (b"*", b"=") or one.removeprefix(BELOW).removeprefix(ONLY) not in listed
    }


def covers(one: bytes, name: bytes) -> bool:
    if one.startswith(ONLY):
        return name == one[1:]
    if one.startswith(BELOW):
        return name.endswith(one[1:])
    return name == one or name.endswith(b"." + one)


def blocked(listed: set[bytes], name: bytes) -> bool:
    return any(covers(one, name) for one in listed)


@given(before=LISTED, after=LISTED)
def test_an_amend_makes_of_one_list_the_other(before: set[bytes], after: set[bytes]) -> None:
    before, after = without_covered(before), without_covered(after)
    change = difference(before, Extract(names=dict.fromkeys(after, "")))
    cuts = {cut(one) for one in change.removed}
    for name in ASKED:
        # An amend's cuts are excepts, with all below them, of what was ordered before, not of what it adds.
        held = blocked(before, name) and not any(covers(one, name) for one in cuts)
        assert (held or blocked(set(change.added | change.again), name)) == blocked(after, name), name


@given(listed=LISTED)
def test_a_list_that_did_not_change_makes_no_difference(listed: set[bytes]) -> None:
    change = difference(listed, Extract(names=dict.fromkeys(listed, "")))
    assert not change
    assert change == Difference()


@given(before=LISTED, after=LISTED, ended=LISTED)
def test_where_absence_says_nothing_only_what_is_said_to_be_over_goes(
    before: set[bytes], after: set[bytes], ended: set[bytes]
) -> None:
    extract = Extract(names=dict.fromkeys(after, ""), ended=frozenset(ended - after))
    change = difference(before, extract, keeps_absent=True)
    assert change.removed <= ended
    assert change.absent == before - after - ended


@given(before=LISTED, after=LISTED, ended=LISTED)
def test_what_is_said_to_be_over_is_kept_once_and_frees_nothing_that_stays(
    before: set[bytes], after: set[bytes], ended: set[bytes]
) -> None:
    before, after = without_covered(before), without_covered(after)
    extract = Extract(names=dict.fromkeys(after, ""), ended=frozenset(ended - after))
    change = difference(before, extract, keeps_absent=True)
    assert change.removed == before & (ended - after)
    cuts = {cut(one) for one in change.removed}
    for name in ASKED:
        held = blocked(before, name) and not any(covers(one, name) for one in cuts)
        said = blocked((before - change.removed) | after, name)
        assert (held or blocked(set(change.added | change.again), name)) == said, name


@given(before=LISTED, after=LISTED, withdrawn=LISTED)
def test_what_others_took_out_is_never_added(
    before: set[bytes], after: set[bytes], withdrawn: set[bytes]
) -> None:
    change = difference(before, Extract(names=dict.fromkeys(after, "")), frozenset(withdrawn))
    assert not change.added & withdrawn
    assert change.withdrawn <= after - before
    assert change.added | change.withdrawn == after - before
    comes = set(change.added | change.again)
    for name in ASKED:  # What was listed alone is not taken out with what is below it.
        if blocked({one for one in withdrawn if not one.startswith(ONLY)}, name):
            assert not blocked(comes, name) or blocked(set(change.excepted), name), name
