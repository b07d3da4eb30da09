from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from blocker.errors import OrdersInvalid
from blocker.orders import filing

if TYPE_CHECKING:
    from pathlib import Path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_order_and_its_list_are_put_into_their_place_and_nothing_else(tmp_path: Path) -> None:
    path = filing.place(tmp_path, "court/order", b"order", {"list.txt": b"names"})
    assert path.read_bytes() == b"order"
    assert (path.parent / "list.txt").read_bytes() == b"names"
    assert files(tmp_path) == ["court/list.txt", "court/order.yaml"]


@pytest.mark.parametrize("there", ["order.yaml", "list.txt"])
def test_a_file_that_is_there_is_never_overwritten_and_nothing_is_written_beside_it(
    tmp_path: Path, there: str
) -> None:
    (tmp_path / "court").mkdir()
    (tmp_path / "court" / there).write_bytes(b"before")
    with pytest.raises(OrdersInvalid, match="none is overwritten"):
        filing.place(tmp_path, "court/order", b"order", {"list.txt": b"names"})
    assert files(tmp_path) == [f"court/{there}"]
    assert (tmp_path / "court" / there).read_bytes() == b"before"


def test_a_file_that_comes_while_we_write_is_not_overwritten_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(source: Path, target: Path) -> None:
        target.write_bytes(b"somebody else's")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(OrdersInvalid, match="duplicate-order-id"):
        filing.place(tmp_path, "court/order", b"order", {})
    assert (tmp_path / "court" / "order.yaml").read_bytes() == b"somebody else's"
    assert files(tmp_path) == ["court/order.yaml"]


def test_a_folder_that_leads_out_of_the_orders_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "orders" / "court").symlink_to(tmp_path / "outside")
    with pytest.raises(OrdersInvalid, match="symlink-outside"):
        filing.place(tmp_path / "orders", "court/order", b"order", {})
    assert files(tmp_path / "outside") == []
