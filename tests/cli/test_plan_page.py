from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.cli import pages
from tests.cli.conftest import HEAD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Site


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return pages.made(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize("name", ["plan-80.txt", "plan-160.txt", "plan.html"])
def test_the_plan_of_the_examples_reads_as_it_did(made: dict[str, str], name: str) -> None:
    golden = (pages.GOLDEN / name).read_text(encoding="utf-8")
    assert made[name] == golden, "if the new page is right, `python -m tests.cli.pages` writes it anew"


@pytest.mark.parametrize("columns", pages.WIDTHS)
def test_no_line_is_wider_than_its_terminal(made: dict[str, str], columns: int) -> None:
    assert max(map(len, made[f"plan-{columns}.txt"].splitlines())) <= columns


def test_a_narrow_terminal_cuts_no_id_and_no_digest(tmp_path: Path) -> None:
    seen = pages.ran(pages.copied(tmp_path), "plan", columns=40)
    joined = re.sub(r"\s+", "", seen)
    assert "xc-gaming-board/2026-11-01-register-changes:remove" in joined
    assert re.search(r"\n    --accept [0-9a-f]{64}\n", seen)
    assert re.search(r"\nplan [0-9a-f]{64}\n", seen)
    assert "…" not in seen


def test_the_page_asks_nothing_of_anybody_else_and_runs_nothing(made: dict[str, str]) -> None:
    page = made["plan.html"]
    assert "<script" not in page
    assert "src=" not in page
    assert "default-src 'none'" in page


HOSTILE = """\
order: a/x
kind: block
authority: {name: "<script>alert(1)</script>", jurisdiction: ID, contact: "mailto:contest@authority.example"}
legal_basis: ["<b>Act</b> & {{ 7 * 7 }}"]
reference: "'\\"><img src=x>"
issued: 2026-01-01
publication: public
directives:
  - {id: one, names: [x.example], regions: [ID], from: 2026-01-01, until: 2099-01-01}
"""


def test_what_an_order_says_is_text_on_the_page(site: Site) -> None:
    site.write("x", HOSTILE)
    target = site.folder / "plan.html"
    assert site.run("plan", "--html", str(target)).code == 0
    page = target.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;Act&lt;/b&gt; &amp; {{ 7 * 7 }}" in page
    assert "<img" not in page
    assert "<b>" not in page


def test_the_same_plan_makes_the_same_page(site: Site) -> None:
    site.block("one", "x.example")
    first, second = site.folder / "1.html", site.folder / "2.html"
    site.run("plan", "--html", str(first))
    site.run("plan", "--html", str(second), "--json")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_mode & 0o777 == 0o600, "it has the names of sealed orders"


def test_the_page_says_what_is_left_out_refused_and_changed_of_what_was_applied(site: Site) -> None:
    site.block("one", "x.example", "y.example")
    site.block("over", "o.example", until="2026-02-01")
    site.apply()
    site.path("over").unlink()
    site.act("end", "lift", "a/one", start="2098-01-01")
    site.block("big", *(f"n{number}.example" for number in range(6)))
    site.block("bad", "https://y.example/path")
    text = (site.folder / "site.yaml").read_text()
    (site.folder / "site.yaml").write_text(text.replace("https://isp.example/b", "https://isp.example/c"))
    target = site.folder / "plan.html"
    ran = site.run("plan", "--html", str(target))
    assert ran.code == 2
    page = target.read_text(encoding="utf-8")
    for text in (
        "Left out for a problem, or in their last applied form: a/bad.",
        "it blocks 6 more names, limits.max_added is 5",
        "<td>a/one/one</td>",
        "until 1 January 2098, 00:00 UTC</td>",
        "<td>gone</td>",
        "The site changes: info_url.",
        "url-not-a-name</code>",
    ):
        assert text in page
    for text in (
        "  a/one/one\n",
        "  before        from",
        "  gone          1 name",
        "site: info_url changes\n",
    ):
        assert text in ran.out


def test_a_plan_of_many_orders_shows_the_first_and_the_file_has_all(site: Site) -> None:
    for number in range(60):
        site.block(f"o{number:02}", f"n{number}.example")
    target = site.folder / "plan.html"
    ran = site.run("plan", "--html", str(target))
    assert "\nnew  a/o49\n" in ran.out
    assert "\nnew  a/o50\n" not in ran.out
    assert "… and 10 orders more: `blocker plan --html FILE` has all\n" in ran.out
    assert "<h3>a/o59 " in target.read_text(encoding="utf-8")


def test_every_kind_of_act_is_told_in_words(site: Site) -> None:
    site.block("one", "x.example")
    site.act("s", "suspend", "a/one", "until: 2026-03-01")
    site.act("r", "reinstate", "a/one", start="2026-02-02")
    site.act("l", "lift", "a/one", start="2027-01-01")
    site.act("m", "amend", "a/one", "remove: [w.x.example]", "until: 2098-01-01", "review_by: 2097-01-01")
    found = {one["id"]: one["act"] for one in json.loads(site.run("plan", "--json").out)["orders"]}
    assert found == {
        "a/one": "",
        "a/s": "puts a/one out of force from 1 February 2026, 00:00 UTC until 1 March 2026, 00:00 UTC",
        "a/r": "reinstates a/one from 2 February 2026, 00:00 UTC",
        "a/l": "lifts a/one from 1 January 2027, 00:00 UTC",
        "a/m": "amends a/one from 1 February 2026, 00:00 UTC: takes names away, sets its end to "
        "1 January 2098, 00:00 UTC, is to be reviewed by 1 January 2097, 00:00 UTC",
    }


LISTED = """\
  - id: list
    names: [first.example]
    names_file: {{file: list.txt, sha256: "{sha256}"}}
    match: exact
    except: [a.w0.example]
    regions: [ID]
    from: 2026-01-01
    until: 2099-01-01
"""


def test_names_say_how_far_they_reach_and_those_of_a_long_list_are_counted(site: Site) -> None:
    octets = "".join(f"w{number}.example\n" for number in range(30)).encode() + b"*.deep.example\n"
    (site.folder / "orders" / "a" / "list.txt").write_bytes(octets)
    head = HEAD.format(id="a/long", kind="block", issued="2025-12-01", publication="public")
    listed = LISTED.format(sha256=hashlib.sha256(octets).hexdigest())
    site.write("long", f"{head}directives:\n{listed}")
    (order,) = json.loads(site.run("plan", "--json").out)["orders"]
    (directive,) = order["directives"]
    assert order["names"] == directive["names"] == 32
    assert directive["first"][:2] == ["first.example (this name alone)", "w0.example (this name alone)"]
    assert len(directive["first"]) == 20
    assert "and 12 more\n" in site.run("plan").out
    assert order["depths"] == {"suffix": 0, "registrable": 32, "deeper": 0}


def test_a_name_written_for_all_below_it_is_shown_so(site: Site) -> None:
    octets = b"*.deep.example\n"
    (site.folder / "orders" / "a" / "list.txt").write_bytes(octets)
    head = HEAD.format(id="a/long", kind="block", issued="2025-12-01", publication="public")
    listed = LISTED.format(sha256=hashlib.sha256(octets).hexdigest())
    site.write("long", f"{head}directives:\n{listed}")
    (order,) = json.loads(site.run("plan", "--json").out)["orders"]
    assert order["directives"][0]["first"] == ["first.example (this name alone)", "*.deep.example"]
