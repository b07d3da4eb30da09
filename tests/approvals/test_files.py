"""One octet changed anywhere: nobody's approval comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocker import sitefile
from blocker.approvals import files
from blocker.orders import parse
from tests.cli.conftest import DIRECTIVE, HEAD, SITE
from tests.cli.signing import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.orders.model import Order
    from blocker.site import Site
    from tests.approvals.people import Town

NOW = 1_800_000_000.0


class World(NamedTuple):
    site: Site
    files: dict[Path, bytes]

    def approvals(self) -> set[str]:
        """Whose approvals the order has now; of one that is no order any more, nobody's."""
        path = self.site.orders / "a" / "x.yaml"
        octets = path.read_bytes()
        filed, _ = parse.read(octets, path=str(path), id_="a/x")
        if filed is None:
            return set()
        judged = files.examine(self.site, {"a/x": filed}, {"a/x": octets}, {}, _nothing, now=NOW)
        assert judged.refused == {"a/x"}
        return {one.who for one in judged.given.get("a/x", ())}


def _nothing(order: str) -> Order:
    raise AssertionError(f"{order} was never applied")


@pytest.fixture(scope="module")
def world(town: Town, tmp_path_factory: pytest.TempPathFactory) -> World:
    """An order that Alice signed, beside signatures by a stranger and by Bob over something else."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "orders" / "a").mkdir(parents=True)
    (folder / "site.yaml").write_text(SITE + RULES.format(root=town["root"].line))
    (folder / "protected.yaml").write_text("protected: []\n")
    order = folder / "orders" / "a" / "x.yaml"
    head = HEAD.format(id="a/x", kind="block", issued="2025-12-01", publication="public")
    one = DIRECTIVE.format(id="one", names="x.example", start="2026-01-01", until="2099-01-01")
    order.write_text(f"{head}directives:\n{one}")
    octets = order.read_bytes()
    signed = {
        "alice": town["alice"].sign(octets),
        "mallory": town["mallory"].sign(octets),
        "bob": town["bob"].sign(b"something else"),
    }
    for name, signature in signed.items():
        order.with_name(f"x.yaml.{name}.sig").write_bytes(signature)
    signers = folder / "signers.yaml"
    signers.write_text(
        f'issued: 2026-01-01\nsigners:\n  - {{who: Alice, key: "{town["alice"].line}", roles: [legal]}}\n'
        f'  - {{who: Bob, key: "{town["bob"].line}", roles: [noc]}}\n'
    )
    signers.with_name("signers.yaml.sig").write_bytes(
        town["root"].sign(signers.read_bytes(), "blocker-signers")
    )
    paths = [order, signers, *order.parent.glob("*.sig"), *folder.glob("*.sig")]
    return World(sitefile.load(folder / "site.yaml"), {path: path.read_bytes() for path in paths})


def test_before_anything_is_changed_alice_approves_alone(world: World) -> None:
    assert world.approvals() == {"Alice"}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_one_octet_changed_anywhere_never_yields_an_approval_more(world: World, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(world.files)))
    octets = bytearray(world.files[path])
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(octets)
    try:
        found = world.approvals()
    finally:
        path.write_bytes(world.files[path])
    assert found <= {"Alice"}
    if path.name in ("x.yaml", "signers.yaml"):
        assert not found
