from __future__ import annotations

import os
import stat
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


def test_what_an_interrupted_run_left_beside_an_order_is_taken_if_it_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "court").mkdir()
    (tmp_path / "court" / "list.txt").write_bytes(b"names")
    filing.place(tmp_path, "court/order", b"order", {"list.txt": b"names"})
    assert files(tmp_path) == ["court/list.txt", "court/order.yaml"]


@pytest.mark.parametrize("left", ["longer", "link", "folder"])
def test_what_lies_beside_and_is_not_the_same_file_is_refused(tmp_path: Path, left: str) -> None:
    (tmp_path / "court").mkdir()
    there = tmp_path / "court" / "list.txt"
    if left == "longer":
        there.write_bytes(b"names and more")
    elif left == "link":
        (tmp_path / "same").write_bytes(b"names")
        there.symlink_to(tmp_path / "same")
    else:
        there.mkdir()
    with pytest.raises(OrdersInvalid, match=r"list\.txt duplicate-order-id: .* if no order names it"):
        filing.place(tmp_path, "court/order", b"order", {"list.txt": b"names"})
    assert not (tmp_path / "court" / "order.yaml").exists()


def test_an_order_that_is_there_is_refused_though_it_says_the_same(tmp_path: Path) -> None:
    filing.place(tmp_path, "court/order", b"order", {})
    with pytest.raises(OrdersInvalid, match="give the order another id"):
        filing.place(tmp_path, "court/order", b"order", {})


def test_the_folders_entries_are_on_the_disk_before_the_order_is_and_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[list[str]] = []
    fsync = os.fsync

    def told(handle: int) -> None:
        fsync(handle)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            synced.append(sorted(name for name in os.listdir(handle) if not name.startswith(".")))

    monkeypatch.setattr(os, "fsync", told)
    filing.place(tmp_path, "court/order", b"order", {"list.txt": b"names"})
    assert synced == [["court"], ["list.txt"], ["list.txt", "order.yaml"]]


def test_what_a_killed_run_left_aside_is_in_nobodys_way_and_not_written_through(tmp_path: Path) -> None:
    path = filing.place(tmp_path, "court/order", b"order", {})
    aside = path.parent / f".new-{os.getpid()}"
    os.link(path, aside)
    filing.place(tmp_path, "court/other", b"other", {})
    assert path.read_bytes() == b"order"
    assert not aside.exists()


def test_who_may_read_the_files_is_the_callers_to_say(tmp_path: Path) -> None:
    path = filing.place(tmp_path, "court/order", b"order", {"list.txt": b"names"}, mode=0o600)
    assert {one.stat().st_mode & 0o777 for one in (path, path.parent / "list.txt")} == {0o600}


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
