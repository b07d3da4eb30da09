"""feeds.yaml: what it says, and the sentence for everything wrong in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from blocker import sitefile
from blocker.cli.main import cli
from blocker.errors import OrdersInvalid
from blocker.feeds import feedsfile
from blocker.feeds.contract import Axfr, Feed
from blocker.orders.model import Form, Match
from blocker.site import Endpoint

EXAMPLES = Path(__file__).parents[2] / "policies" / "examples" / "site.yaml"

GOOD = """\
feeds:
  - name: list
    format: names
    source: list.txt
    folder: reg
    authority: {name: "Register", jurisdiction: ID, contact: "mailto:a@b.example"}
    legal_basis: [act]
    publication: public
    regions: [ID]
    review_after: 180d
    minimum: 5
"""


def load(tmp_path: Path, text: str) -> tuple[Feed, ...]:
    path = tmp_path / "feeds.yaml"
    path.write_text(text)
    return feedsfile.load(path)


def test_the_examples_are_good_feeds() -> None:
    site = sitefile.load(EXAMPLES)
    assert site.feeds is not None
    register, cert, ministry = feedsfile.load(site.feeds)
    assert (register.name, register.deadline, register.max_change) == ("gaming-register", 172_800, 0.2)
    assert register.source == EXAMPLES.parent / "gaming-register.txt"
    assert not register.keeps_absent
    assert (cert.source, cert.interval, cert.keeps_absent) == (
        "https://list.cert.example/domains/v2.json",
        1800,
        True,
    )
    assert ministry.source == Axfr(
        primary=Endpoint("192.0.2.53", 53),
        zone="rpz.ministry.example",
        key=EXAMPLES.parent / "ministry.key",
    )
    assert ministry.action.form is Form.REDIRECT


def test_the_examples_list_makes_an_order_of_the_examples_site(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES.parent, tmp_path / "policies" / "examples")
    site = str(tmp_path / "policies" / "examples" / "site.yaml")
    made = CliRunner().invoke(cli, ["--site", site, "import", "gaming-register"])
    assert made.exit_code == 0, made.output
    assert "not blocked: url\t1: 'https://portal.example/bets' (line 5)" in made.output
    checked = CliRunner().invoke(cli, ["--site", site, "check"])
    assert checked.exit_code == 0, checked.output


def test_what_is_not_said_is_the_formats_own(tmp_path: Path) -> None:
    (feed,) = load(tmp_path, GOOD)
    assert (feed.match, feed.max_change, feed.interval, feed.keeps_absent) == (
        Match.SUBTREE,
        0.1,
        3600,
        False,
    )
    (feed,) = load(tmp_path, GOOD + "    absence: kept\n")
    assert feed.keeps_absent
    assert load(tmp_path, "feeds: []\n") == ()


TABLE = [
    (
        "name: list",
        "name: Li/st",
        (
            ":2:11 feed-name-invalid: 'Li/st' can't be part of an order's id; write up to 60 of a-z, 0-9, "
            "'_' "
            "and '-'."
        ),
    ),
    (
        "format: names",
        "format: xls",
        (
            ":3:13 feed-format-unknown: 'xls' is unknown; write one of pl-hazard, cert-pl, it-adm, it-cncpo, "
            "names, "
            "hosts, rpz, axfr."
        ),
    ),
    (
        "source: list.txt",
        "source: http://list.example/",
        (
            ":4:13 feed-source-invalid: 'http://list.example/' is not a source; write the path of a file, or "
            "https://… "
            "without a password in it."
        ),
    ),
    ("source: list.txt", "source: https://user:pass@list.example/", ":4:13 feed-source-invalid: "),
    ("source: list.txt", "source: file:///etc/passwd", ":4:13 feed-source-invalid: "),
    (
        "format: names",
        "format: axfr",
        (
            ":4:13 feed-source-invalid: a zone is transferred with 'format: axfr' and a source such as "
            "{primary: "
            "192.0.2.1, zone: rpz.example, key: rpz.key}; the other formats have a path or an https URL."
        ),
    ),
    (
        "source: list.txt",
        "source: {primary: 192.0.2.1, zone: z.example, key: k}",
        ":4:13 feed-source-invalid: a zone is transferred",
    ),
    (
        "source: list.txt",
        "source: {primary: localhost, zone: z.example, key: k}",
        ":4:23 address-invalid: ",
    ),
    (
        "    review_after: 180d\n",
        "",
        (
            ":2:5 feed-end-unclear: a feed's orders end, or are reviewed; write one of 'until' and "
            "'review_after' (180d)."
        ),
    ),
    ("review_after: 180d", "review_after: 180d\n    until: 2030-01-01", ":2:5 feed-end-unclear: "),
    (
        "minimum: 5",
        "minimum: 0",
        ":11:14 number-invalid: '0' is not a number from 1 to 100,000,000; write one.",
    ),
    ("minimum: 5", "minimum: 5\n    max_change: 2", ":12:17 number-invalid: "),
    ("minimum: 5", "minimum: 5\n    absence: maybe", ":12:14 feed-absence-unknown: "),
    (
        "minimum: 5",
        "minimum: 5\n    colour: red",
        ":12:5 unknown-key: 'colour' is not a key of a feed; it has name,",
    ),
    ("    legal_basis: [act]\n", "", ":2:5 missing-legal-basis: a feed has no 'legal_basis'; write the law"),
    (
        "feeds:\n",
        "feeds:\n" + GOOD.removeprefix("feeds:\n"),
        ":12:11 duplicate-feed: 'list' is the name of two feeds; each needs its own.",
    ),
    (
        "feeds:\n",
        "feeds:\n" + GOOD.removeprefix("feeds:\n").replace("name: list", "name: list-120000"),
        ":2:11 duplicate-feed: 'list-120000' is what amends of 'list' are called; name it otherwise",
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), TABLE)
def test_a_bad_file_gets_exactly_this_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(OrdersInvalid) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert any(
        str(one).removeprefix(str(tmp_path / "feeds.yaml")).startswith(said) for one in caught.value.problems
    ), str(caught.value)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(OrdersInvalid, match="file-unreadable"):
        feedsfile.load(tmp_path / "feeds.yaml")
    with pytest.raises(OrdersInvalid, match="yaml-syntax"):
        load(tmp_path, "feeds: [")
    (tmp_path / "feeds.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(OrdersInvalid, match=r"file-too-large: .* 1 MiB; a site's feeds are few, so shorten"):
        feedsfile.load(tmp_path / "feeds.yaml")
