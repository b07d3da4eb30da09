from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blocker.orders import check
from tests.hostile import table

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = table.names()
# What no check calls wrong, and the guard stops: it is the amount that is unusual.
REFUSED_WHOLE = {"list-grown-tenfold"}
# What no check calls wrong, and a person must accept: it is the names that are.
HELD = {
    "list-of-8-000-from-a-wrong-file",
    "two-sites-everybody-uses-redirected",
    "host-that-millions-share",
}

# The folder is gone, or has more files than are read: what is live stays.
OF_THE_FOLDER = {"no-folder", "too-many-files"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], table.Outcome]:
    """What a case is told, found out once."""
    folder = tmp_path_factory.mktemp("hostile")
    table.make_site(folder / "site")
    found: dict[str, table.Outcome] = {}

    def meet(name: str) -> table.Outcome:
        if name not in found:
            found[name] = table.meet(name, folder / "site", folder / name)
        return found[name]

    return meet


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_order_gets_exactly_these_words(name: str, outcome: Callable[[str], table.Outcome]) -> None:
    assert outcome(name).text == (table.CASES / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_what_has_a_problem_never_goes_live_and_good_orders_beside_it_do(
    name: str, outcome: Callable[[str], table.Outcome]
) -> None:
    one = outcome(name)
    assert {"good/block", "good/ended"} <= set(one.live)
    assert one.broken.isdisjoint(one.live)
    if name in REFUSED_WHOLE:
        assert (one.code, one.live) == (3, table.GOOD[:2])
    elif name in HELD:
        assert (one.code, one.live) == (3, table.GOOD)
    elif one.errors:
        assert one.code == 2
        assert "good/new" in one.live or name in OF_THE_FOLDER
    else:
        assert one.ids, "a case that nothing is said about is none"
        assert all(check.REGISTRY[id_].startswith("warning: ") for id_ in one.ids)
        assert (one.code, "good/new" in one.live) == (0, True)


def test_there_is_a_case_for_every_check(outcome: Callable[[str], table.Outcome]) -> None:
    told = {id_ for name in NAMES for id_ in outcome(name).ids}
    assert told == set(check.REGISTRY)


def test_every_case_has_its_words_and_all_words_their_case() -> None:
    assert {path.stem for path in table.CASES.glob("*.txt")} == set(NAMES)
    assert len(NAMES) >= 60
