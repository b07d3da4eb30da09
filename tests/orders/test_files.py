from __future__ import annotations

import hashlib
import os
import resource
import time
from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.errors import OrdersInvalid
from blocker.orders import files, parse
from blocker.orders.model import NameList, NamesFile
from blocker.orders.schedule import schedule
from tests.orders.texts import BLOCK, FACTS, act, lay, listed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "orders").mkdir()
    return tmp_path / "orders"


def load(folder: Path, *, known: frozenset[tuple[str, str]] = frozenset()) -> files.Loaded:
    return files.load(folder, FACTS, known=known)


def said(loaded: files.Loaded) -> list[tuple[str, str]]:
    return [(problem.id, problem.order) for problem in loaded.problems]


GOOD = {
    "a/b.yaml": BLOCK.encode(),
    "a/s.yaml": act("a/s", "suspend", "a/b").encode(),
    "a/r.yaml": act("a/r", "reinstate", "a/b", issued="2026-02-02", start="2026-02-05").encode(),
    "a/m.yaml": act(
        "a/m", "amend", "a/b", "remove: [free.blocked.example]", "until: 2026-06-01", issued="2026-02-03"
    ).encode(),
    "a/l.yaml": act("a/l", "lift", "a/b", issued="2026-02-04", start="2026-05-01").encode(),
    "other/x.yaml": BLOCK.replace("order: a/b", "order: other/x").encode(),
}


def test_a_folder_of_all_five_kinds_is_loaded_in_order(folder: Path) -> None:
    lay(folder, GOOD)
    loaded = load(folder)
    assert loaded.problems == ()
    assert loaded.quarantined == frozenset()
    assert [order.id for order in loaded.orders] == ["a/b", "a/l", "a/m", "a/r", "a/s", "other/x"]
    assert loaded.sources["a/s"] == GOOD["a/s.yaml"]
    assert len(schedule(loaded.orders)) == 3


def test_loading_again_changes_nothing(folder: Path) -> None:
    lay(folder, GOOD)
    assert load(folder) == load(folder)


def test_an_empty_folder_is_no_orders_and_no_problem(folder: Path) -> None:
    assert load(folder) == files.Loaded(orders=(), problems=(), quarantined=frozenset())


def test_dotfiles_and_files_beside_the_orders_are_left_alone(folder: Path) -> None:
    junk = {
        ".hidden.yaml": b"x",
        ".git/x.yaml": b"x",
        "a/list.txt": b"x",
        "README.md": b"x",
        "a/b.yaml~": b"x",
    }
    lay(folder, GOOD | junk)
    assert load(folder).problems == ()


def test_a_problem_quarantines_its_order_and_those_about_it_and_nothing_else(folder: Path) -> None:
    lay(folder, GOOD | {"a/b.yaml": BLOCK.replace("kind: block", "kind: blok").encode()})
    lay(folder, {"a/z.yaml": act("a/z", "lift", "a/l", issued="2026-02-05").encode()})
    loaded = load(folder)
    assert said(loaded) == [("kind-unknown", "a/b")]
    assert loaded.quarantined == {"a/b", "a/s", "a/r", "a/m", "a/l", "a/z"}
    assert [order.id for order in loaded.orders] == ["other/x"]


def test_all_that_is_wrong_with_a_file_is_said_at_once(folder: Path) -> None:
    text = BLOCK.replace("order: a/b", "order: a/c").replace(', contact: "mailto:court@court.example"', "")
    text = text.replace("[blocked.example]", "[blocked.example, isp.example, x.free.example]")
    text = text.replace("regions: [ID]", "regions: [ID, NO]\n    except: [free.example]")
    text += "  - {id: two, names: [com, isp.example], regions: [ID], from: 2026-02-01, until: 2026-03-01}\n"
    text += "  - {id: three, names: [isp.example], regions: [ID], from: 2026-02-01, until: 2026-03-01}\n"
    lay(folder, {"a/b.yaml": text.encode()})
    loaded = load(folder)
    assert [(one.id, one.line, one.column) for one in loaded.problems] == [
        ("id-not-path", 1, 8),
        ("missing-contact", 3, 12),
        ("protected-name", 12, 30),
        ("under-own-except", 12, 43),
        ("unknown-region", 13, 19),
        ("except-unused", 14, 14),
        # Nothing is said of the rest of a directive that can't be read whole: its excepts may be missing.
        ("bare-tld", 17, 23),
        ("protected-name", 18, 25),
    ]
    assert {one.order for one in loaded.problems} == {"a/b"}
    assert loaded.broken == loaded.quarantined == {"a/b"}
    assert loaded.orders == ()


def test_what_an_amend_of_no_known_contact_adds_is_checked(folder: Path) -> None:
    add = "  - {id: two, names: [isp.example], regions: [ID], from: 2026-02-01, until: 2026-03-01}"
    amend = act("a/c", "amend", "a/b", "add:", add).replace("publication: public\n", "")
    lay(folder, {"a/b.yaml": BLOCK.encode(), "a/c.yaml": amend.encode()})
    assert said(load(folder)) == [("missing-publication", "a/c"), ("protected-name", "a/c")]


def test_an_order_without_a_readable_id_is_not_said_to_be_in_the_wrong_place(folder: Path) -> None:
    lay(folder, {"a/b.yaml": BLOCK.replace("order: a/b\n", "").encode()})
    assert said(load(folder)) == [("missing-key", "a/b")]


def test_a_typo_in_a_suspend_does_not_hold_back_the_block(folder: Path) -> None:
    lay(folder, GOOD | {"a/s.yaml": b"order: [a/s\n"})
    loaded = load(folder)
    assert {"a/b", "a/m", "a/l"} <= {order.id for order in loaded.orders}
    assert loaded.quarantined == {"a/s", "a/r"}


def test_a_careless_copy_does_not_hold_back_the_original(folder: Path) -> None:
    lay(folder, {"a/b.yaml": BLOCK.encode(), "a/copy.yaml": BLOCK.encode()})
    loaded = load(folder)
    assert said(loaded) == [("duplicate-order-id", "a/copy"), ("id-not-path", "a/copy")]
    assert [order.id for order in loaded.orders] == ["a/b"]


def test_two_files_in_each_others_place_have_two_ids_all_the_same(folder: Path) -> None:
    other = BLOCK.replace("order: a/b", "order: a/c")
    lay(folder, {"a/b.yaml": other.encode(), "a/c.yaml": BLOCK.encode()})
    assert said(load(folder)) == [("id-not-path", "a/b"), ("id-not-path", "a/c")]


def test_a_names_file_is_read_checked_and_found_again_by_its_digest(folder: Path) -> None:
    content = b"one.example\n*.two.example\n"
    lay(folder, listed(content))
    loaded = load(folder)
    assert loaded.problems == ()
    written = loaded.orders[0].directives[0].names_file
    assert written is not None
    expected = NameList(keys=(names.to_key("one.example"),), below=(names.to_key("two.example"),))
    assert loaded.read(written) == loaded.lists[written.sha256] == expected
    assert loaded.list_files == {written.sha256: folder / "a" / "list.txt"}


def test_a_bad_line_of_a_names_file_quarantines_the_order_at_the_line(folder: Path) -> None:
    lay(folder, listed(b"one.example\nwww.isp.example\nshop.example\nhttps://x/\n"))
    loaded = load(folder)
    assert [(one.id, one.line, one.order) for one in loaded.problems] == [
        ("protected-name", 2, "a/b"),
        ("protected-name", 3, "a/b"),
        ("url-not-a-name", 4, "a/b"),
    ]
    assert {one.path for one in loaded.problems} == {str(folder / "a" / "list.txt")}
    assert loaded.orders == ()


def test_problems_of_a_list_with_its_directive_are_counted_beyond_the_first_hundred(folder: Path) -> None:
    lay(folder, listed(b"".join(b"x%d.isp.example\n" % number for number in range(150))))
    loaded = load(folder)
    assert len(loaded.problems) == 101
    assert str(loaded.problems[-1]).endswith(
        "more-problems: and 50 more problems; mend the ones above first."
    )


def test_an_amend_may_remove_a_list_of_names(folder: Path) -> None:
    content = b"free.blocked.example\n"
    digest = hashlib.sha256(content).hexdigest()
    amend = act("a/m", "amend", "a/b", f"remove_file: {{file: free.txt, sha256: {digest}}}")
    lay(folder, {"a/b.yaml": BLOCK.encode(), "a/m.yaml": amend.encode(), "a/free.txt": content})
    loaded = load(folder)
    assert loaded.problems == ()
    assert list(loaded.lists) == [digest]


def test_the_list_of_an_applied_order_is_hashed_and_parsed_only_when_asked_for(folder: Path) -> None:
    lay(folder, listed(b"one.example\n"))
    (order,) = load(folder).orders
    loaded = load(folder, known=frozenset({(order.id, order.digest)}))
    assert loaded.lists == {}
    written = loaded.orders[0].directives[0].names_file
    assert written is not None
    assert list(loaded.read(written).keys) == [names.to_key("one.example")]
    (folder / "a" / "list.txt").write_bytes(b"two.example\n")
    assert said(load(folder, known=frozenset({(order.id, order.digest)}))) == [("names-file-changed", "a/b")]


def test_a_list_that_changes_after_loading_is_not_read_as_if_it_had_not(folder: Path) -> None:
    lay(folder, listed(b"one.example\n"))
    (order,) = load(folder).orders
    loaded = load(folder, known=frozenset({(order.id, order.digest)}))
    written = order.directives[0].names_file
    assert written is not None
    (folder / "a" / "list.txt").write_bytes(b"two.example\n")
    with pytest.raises(OrdersInvalid, match="names-file-changed"):
        loaded.read(written)
    (folder / "a" / "list.txt").unlink()
    with pytest.raises(OrdersInvalid, match="names-file-unreadable"):
        loaded.read(written)
    with pytest.raises(KeyError):
        loaded.read(NamesFile(file="list.txt", sha256="0" * 64))


@pytest.mark.parametrize("name", ["/etc/passwd", "../../secret.txt", "../../orders-2/list.txt", "out.txt"])
def test_a_names_file_outside_the_orders_folder_is_refused(folder: Path, name: str) -> None:
    content = b"one.example\n"
    (folder.parent / "secret.txt").write_bytes(content)
    (folder.parent / "orders-2").mkdir()
    (folder.parent / "orders-2" / "list.txt").write_bytes(content)
    lay(folder, listed(content, file=name))
    (folder / "a" / "out.txt").symlink_to("../../secret.txt")
    assert said(load(folder)) == [("names-file-outside", "a/b")]


def test_links_inside_the_orders_folder_are_followed(folder: Path) -> None:
    lay(folder, listed(b"one.example\n", file="link.txt"))
    (folder / "a" / "link.txt").symlink_to("list.txt")
    assert load(folder).problems == ()


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_a_names_file_that_is_no_file_is_refused_without_waiting(folder: Path, kind: str) -> None:
    lay(folder, listed(b"one.example\n", file="odd"))
    if kind == "folder":
        (folder / "a" / "odd").mkdir()
    elif kind == "pipe":
        os.mkfifo(folder / "a" / "odd")
    else:
        (folder / "a" / "odd").symlink_to("/dev/zero")
    expected = "names-file-outside" if kind == "device" else "names-file-unreadable"
    assert said(load(folder)) == [(expected, "a/b")]


def test_a_folder_that_is_a_link_is_refused_not_followed(folder: Path) -> None:
    lay(folder, GOOD)
    (folder / "loop").symlink_to(".")
    (folder / "out").symlink_to("/etc")
    assert said(load(folder)) == [("symlink-outside", ""), ("symlink-outside", "")]


def test_folders_nested_deeper_than_any_order_are_refused(folder: Path) -> None:
    lay(folder, {"/".join(["d"] * 12) + "/x.yaml": b""})
    assert said(load(folder)) == [("file-unreadable", "")]


def test_an_order_file_of_200_mb_is_refused_unread(folder: Path) -> None:
    (folder / "a").mkdir()
    with (folder / "a" / "b.yaml").open("wb") as file:
        file.truncate(200 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    assert said(load(folder)) == [("file-too-large", "a/b")]
    assert time.process_time() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


def test_a_name_of_odd_octets_is_printed_without_harm(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / os.fsdecode(b"\xff\n\x1b[31m.yaml")).write_bytes(BLOCK.encode())
    loaded = load(folder)
    assert [problem.id for problem in loaded.problems] == ["id-not-path"]
    assert all(str(problem).isprintable() for problem in loaded.problems)
    assert loaded.orders == ()


def test_an_orders_path_that_is_a_file_is_told_in_a_sentence(folder: Path) -> None:
    path = folder / "file"
    path.write_bytes(b"")
    with pytest.raises(
        OrdersInvalid, match="orders-missing: the orders folder can't be read: Not a directory"
    ):
        load(path)


def test_a_document_that_is_there_is_verified(folder: Path) -> None:
    digest = hashlib.sha256(b"%PDF").hexdigest()
    text = BLOCK.replace("directives:", f"document: {{file: b.pdf, sha256: {digest}}}\ndirectives:")
    lay(folder, {"a/b.yaml": text.encode(), "a/b.pdf": b"%PDF"})
    assert load(folder).problems == ()
    lay(folder, {"a/b.pdf": b"%PDF-2"})
    loaded = load(folder)
    assert said(loaded) == [("document-unverified", "a/b")]
    assert [order.id for order in loaded.orders] == ["a/b"]


def test_progress_counts_orders_up_to_all_of_them(folder: Path) -> None:
    lay(folder, GOOD)
    told: list[tuple[str, int, int]] = []
    files.load(folder, FACTS, progress=lambda what, done, size: told.append((what, done, size)))
    assert told == [("orders", done, 6) for done in range(7)]


def test_two_orders_may_share_a_list_and_each_is_checked_with_its_own_excepts(folder: Path) -> None:
    content = b"one.example\nshop.example\n"
    first = listed(content, extra="\n    except: [www.shop.example]")
    second = listed(content)["a/b.yaml"].replace(b"order: a/b", b"order: a/c")
    lay(folder, first | {"a/c.yaml": second})
    loaded = load(folder)
    assert said(loaded) == [("protected-name", "a/c")]
    assert [order.id for order in loaded.orders] == ["a/b"]
    assert len(loaded.lists) == 1


def test_a_list_that_is_parsed_only_when_asked_for_says_then_what_is_wrong(folder: Path) -> None:
    lay(folder, listed(b"com\n"))
    order = parse.read((folder / "a" / "b.yaml").read_bytes(), path="x", id_="a/b")[0]
    assert order is not None
    loaded = load(folder, known=frozenset({("a/b", order.order.digest)}))
    written = loaded.orders[0].directives[0].names_file
    assert written is not None
    with pytest.raises(OrdersInvalid, match="bare-tld"):
        loaded.read(written)


def test_a_folder_that_cannot_be_read_is_a_problem_and_the_rest_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(folder, GOOD)
    real = os.scandir

    def scandir(path: Path) -> object:
        if path.name == "other":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    loaded = load(folder)
    assert [str(problem).removeprefix(f"{folder}/") for problem in loaded.problems] == [
        "other file-unreadable: the folder can't be read: Permission denied."
    ]
    assert len(loaded.orders) == 5


def test_a_file_that_is_gone_has_no_size(folder: Path) -> None:
    (folder / "there.txt").write_bytes(b"x.example\n")
    assert (files.size(folder / "there.txt"), files.size(folder / "gone.txt")) == (10, -1)
