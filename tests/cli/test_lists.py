"""Orders with a names_file: what is read of them again once they are applied, and what is not."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from blocker import sitefile
from blocker.errors import OrdersInvalid
from blocker.orders import names_file
from blocker.policy import apply
from blocker.policy.reader import Reader

if TYPE_CHECKING:
    from tests.cli.conftest import Site


def write_list(site: Site, slug: str, *found: str) -> str:
    """A list beside the orders; its digest."""
    octets = "".join(f"{name}\n" for name in found).encode()
    site.path(slug).with_suffix(".txt").write_bytes(octets)
    return hashlib.sha256(octets).hexdigest()


def listed(site: Site, slug: str, *found: str, until: str = "2099-01-01") -> None:
    """An order with a list of its own."""
    site.block(slug, "x.example", until=until)
    listing = f"names_file: {{file: {slug}.txt, sha256: {write_list(site, slug, *found)}}}"
    site.write(slug, site.path(slug).read_text().replace("names: [x.example]", listing))


def stored(site: Site) -> set[str]:
    """The names in the store, by their last label but one."""
    reader = Reader(site.folder / "state")
    with reader.snapshot() as policy:
        found = {bytes(key).decode("ascii").rpartition("\x01")[2] for key, _ in policy.walk()}
    reader.close()
    return found


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lists that are parsed, as they are shown."""
    found: list[str] = []
    whole = names_file.parse

    def parse(octets: bytes, path: str, **more: Any) -> object:
        found.append(path.rpartition("/")[2])
        return whole(octets, path, **more)

    monkeypatch.setattr(names_file, "parse", parse)
    return found


@pytest.mark.parametrize("lost", ["", "the list"])
def test_the_names_of_an_order_that_is_over_leave_with_it(site: Site, lost: str) -> None:
    listed(site, "over", "a.example", "b.example", until="2026-02-01")
    listed(site, "kept", "b.example", "c.example")
    assert site.apply().code == 0
    assert stored(site) == {"a", "b", "c"}
    if lost:
        digest = hashlib.sha256(site.path("over").with_suffix(".txt").read_bytes()).hexdigest()
        (site.folder / "state" / "archive" / digest).unlink()
    site.path("over").unlink()
    assert site.apply().code == 0
    assert stored(site) == {"b", "c"}
    assert [site.is_blocked(f"{name}.example") for name in "abc"] == [False, True, True]


def test_what_is_applied_is_not_parsed_again(site: Site, parsed: list[str]) -> None:
    listed(site, "one", "a.example")
    for verb in ("check", "plan", "apply"):
        site.run(verb, *(["--yes"] if verb == "apply" else []))
    assert parsed == ["one.txt"] * 3
    listed(site, "two", "b.example")
    for verb in ("check", "plan", "apply"):
        assert site.run(verb, *(["--yes"] if verb == "apply" else [])).code == 0
    assert parsed == ["one.txt"] * 3 + ["two.txt"] * 3


def test_check_reads_an_applied_list_again_to_say_which_line_is_protected_now(site: Site) -> None:
    listed(site, "one", "a.example", "b.example")
    site.apply()
    (site.folder / "protected.yaml").write_text("protected: [b.example]\n")
    ran = site.run("check")
    assert ran.code == 2
    assert "one.txt:2:1 protected-name: 'b.example' would block" in ran.out


def test_a_name_removed_from_an_applied_list_is_looked_for_there(site: Site, parsed: list[str]) -> None:
    listed(site, "one", "a.example", "b.example")
    site.apply()
    del parsed[:]
    site.act("m", "amend", "a/one", "remove: [a.example, bee.example]")
    ran = site.run("check")
    assert ran.code == 0
    assert "m.yaml:9:21 remove-unused: 'bee.example' removes nothing" in ran.out
    assert parsed == []


def test_check_works_where_the_state_cannot_be_written_to(site: Site) -> None:
    listed(site, "one", "a.example", *(f"n{number}.of.a.long.list.example" for number in range(3000)))
    os.utime(site.path("one").with_suffix(".txt"), (0, 0))
    assert site.run("check").code == 0
    assert not (site.folder / "state").exists()
    state = site.folder / "state"
    state.mkdir()
    state.chmod(0o500)
    try:
        assert site.run("check").code == 0
    finally:
        state.chmod(0o750)


def test_a_list_that_changes_before_it_is_archived_is_not_applied(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(site, "one", "a.example")
    prepared = apply.prepare(sitefile.load(site.folder / "site.yaml"), now=time.time())
    write_list(site, "one", "b.example")
    with pytest.raises(OrdersInvalid, match="names-file-changed"):
        apply.apply(prepared, by="a test", now=time.time())
    assert not (site.folder / "state" / "policy.lmdb").exists()
