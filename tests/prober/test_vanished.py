"""Which names of an order are gone; those of sealed ones are asked of nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from blocker.orders.model import Publication
from blocker.policy.overdue import Review
from blocker.policy.reader import Reader
from blocker.prober import vanished
from tests.prober.test_daemon import served
from tests.prober.world import answer, real
from tests.resolver.live import store
from tests.resolver.world import T0, block

if TYPE_CHECKING:
    from pathlib import Path

    import dns.message

    from blocker.prober.vanished import Looked
    from blocker.site import Endpoint


def knowing(query: dns.message.Message) -> object:
    """Names with `gone` are no more, of those with `odd` nobody can tell."""
    name = str(query.question[0].name)
    if "odd" in name:
        return answer(query, rcode=2)
    return answer(query, rcode=3) if "gone" in name else real(query)


def looked(tmp_path: Path, *endpoints: Endpoint) -> dict[str, Looked]:
    sealed = replace(block("hush.example", ident="court/s"), publication=Publication.SEALED)
    many = [f"gone{number}.example" for number in range(vanished.SAMPLE + 5)]
    store(
        tmp_path,
        block("here.example", "gone.example", "odd.example", ident="court/a", excepts=("gone.here.example",)),
        block(*many, ident="court/m"),
        sealed,
    )
    reader = Reader(tmp_path)
    with reader.snapshot() as policy:
        refs = {one.order: one.ref for one in policy.directives.values()}
        due = [Review(order=order, due=int(T0), refs=(ref,)) for order, ref in refs.items()]
        chosen = vanished.choose(policy, due, T0)
    reader.close()
    return dict(vanished.look(chosen, endpoints))


def test_names_that_the_reference_denies_are_gone_and_sealed_ones_are_not_asked_for(tmp_path: Path) -> None:
    asked: list[str] = []

    def script(query: dns.message.Message) -> object:
        asked.append(str(query.question[0].name).rstrip("."))
        return knowing(query)

    with served(script) as (reference, _):
        found = looked(tmp_path, reference.endpoint)
    one, many, sealed = found["court/a"], found["court/m"], found["court/s"]
    assert (one.ordered, one.asked, one.gone_names, one.unknown) == (3, 3, ("gone.example",), 1)
    assert (many.ordered, many.asked, many.gone) == (vanished.SAMPLE + 5, vanished.SAMPLE, vanished.SAMPLE)
    assert (sealed.ordered, sealed.asked, sealed.is_sealed) == (1, 0, True)
    assert not any("hush" in name for name in asked)
    assert "gone.here.example" not in asked, "an except is no blocked name"


def test_without_a_reference_nothing_is_asked(tmp_path: Path) -> None:
    assert {one.asked for one in looked(tmp_path).values()} == {0}
