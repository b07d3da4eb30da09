"""The policies that come with the toolkit: both sites load clean and mean what their comments say."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from blocker import names, sitefile
from blocker.cli.main import cli
from blocker.names import to_key
from blocker.orders import check, files
from blocker.orders.model import Form, Kind, Publication
from blocker.orders.schedule import schedule
from blocker.orders.timetable import boundaries
from blocker.policy.apply import prepare
from blocker.policy.decide import Verdict, decide
from blocker.policy.index import Index

POLICIES = Path(__file__).parent.parent / "policies"
SITES = {"trial": POLICIES / "site.yaml", "examples": POLICIES / "examples" / "site.yaml"}
REGISTER = POLICIES / "examples" / "orders" / "xc-gaming-board" / "2026-10-01-register.txt"
REFUSED = POLICIES / "examples" / "refused" / "portrait-feature.yaml"

A, HTTPS, DS = 1, 65, 43


def loaded(site: str) -> files.Loaded:
    config = sitefile.load(SITES[site])
    facts = check.Facts(regions=frozenset(config.enforcement.regions), protected=frozenset(config.protected))
    return files.load(config.orders, facts)


@pytest.fixture(scope="module", params=SITES)
def any_site(request: pytest.FixtureRequest) -> files.Loaded:
    return loaded(request.param)


@pytest.fixture(scope="module")
def indexes() -> dict[str, Index]:
    made = {}
    for site in SITES:
        orders = loaded(site)
        made[site] = Index(schedule(orders.orders), orders.read)
    return made


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_both_sites_load_without_a_single_problem_or_warning(any_site: files.Loaded) -> None:
    assert any_site.problems == ()
    assert any_site.orders


def test_every_order_that_speaks_of_real_names_says_that_it_is_a_reconstruction() -> None:
    for path in POLICIES.rglob("orders/**/*.yaml"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        if "komdigi" in path.parts[-2]:
            assert first == "# reconstruction from public reports, not the instrument"
        else:
            assert "invented" in path.read_text(encoding="utf-8").lower()


def test_grok_com_is_the_only_name_that_is_not_reserved(indexes: dict[str, Index]) -> None:
    spoken = {names.to_text(key) for index in indexes.values() for key in index.names}
    above = {"example", "com"}
    assert {name for name in spoken - above if not name.endswith(".example")} == {"grok.com"}


TRIAL = [
    ("blocked.example", A, Form.NXDOMAIN),
    ("www.blocked.example", A, Form.NXDOMAIN),
    ("notblocked.example", A, None),
    ("exactly-blocked.example", A, Form.NODATA),
    ("exactly-blocked.example", DS, None),
    ("www.exactly-blocked.example", A, None),
    ("below-blocked.example", A, None),
    ("www.below-blocked.example", A, Form.NXDOMAIN),
    ("partly-blocked.example", A, Form.NODATA),
    ("www.partly-blocked.example", A, Form.NXDOMAIN),
    ("open.partly-blocked.example", A, None),
    ("www.open.partly-blocked.example", A, None),
    ("redirected.example", A, Form.REDIRECT),
    ("example.com", A, None),
]


@pytest.mark.parametrize(("name", "qtype", "form"), TRIAL)
def test_the_trial_order_does_what_its_comments_say(
    indexes: dict[str, Index], name: str, qtype: int, form: Form | None
) -> None:
    verdict = decide(indexes["trial"], to_key(name), "ZZ", at("2026-12-01T00:00:00Z"))
    assert verdict.form_for(qtype) is form


def test_a_loopback_client_of_the_trial_site_is_in_the_trial_orders_region() -> None:
    enforcement = sitefile.load(SITES["trial"]).enforcement
    assert {enforcement.region_of(address) for address in ("127.0.0.1", "::1", "192.0.2.1")} == {"ZZ"}


EXAMPLES = [
    # Indonesia and Grok: in force from the announcement to the restoration, in Indonesia alone.
    ("grok.com", "ID", "2026-01-09T23:59:59+00:00", None),
    ("grok.com", "ID", "2026-01-10T00:00:00+00:00", Form.NXDOMAIN),
    ("www.grok.com", "ID", "2026-01-15T00:00:00+07:00", Form.NXDOMAIN),
    ("notgrok.com", "ID", "2026-01-15T00:00:00+07:00", None),
    ("grok.com", "XA", "2026-01-15T00:00:00+07:00", None),
    ("grok.com", "ID", "2026-02-01T00:00:00+00:00", None),
    # The whole-service order, prepared in advance.
    ("portrait.example", "XA", "2027-01-15T05:59:59+02:00", None),
    ("portrait.example", "XA", "2027-01-15T06:00:00+02:00", Form.NODATA),
    ("tools.portrait.example", "XA", "2027-01-15T06:00:00+02:00", Form.NXDOMAIN),
    ("mail.portrait.example", "XA", "2027-01-15T06:00:00+02:00", None),
    # Three countries at one instant.
    ("stream.example", "XA", "2027-02-28T23:59:59+00:00", None),
    ("live.stream.example", "XB", "2027-02-28T23:59:59+00:00", None),
    ("stream.example", "XC", "2027-02-28T23:59:59+00:00", None),
    ("stream.example", "XA", "2027-03-01T00:00:00+00:00", Form.NXDOMAIN),
    ("stream.example", "XB", "2027-03-01T00:00:00+00:00", None),
    ("live.stream.example", "XB", "2027-03-01T00:00:00+00:00", Form.NODATA),
    ("stream.example", "XC", "2027-03-01T00:00:00+00:00", Form.REDIRECT),
    ("status.stream.example", "XC", "2027-03-01T00:00:00+00:00", None),
    ("stream.example", "ID", "2027-03-01T00:00:00+00:00", None),
    # The urgent order, and its early lift.
    ("relay-2.example", "XB", "2026-11-21T19:42:10+01:00", Form.NXDOMAIN),
    ("relay-2.example", "XB", "2026-11-21T21:50:00+01:00", None),
    # The register, its changes, its renewal.
    ("royal-spins-14.example", "XC", "2026-10-01T00:00:00-05:00", Form.NXDOMAIN),
    ("harbour-lottery.example", "XC", "2026-10-02T00:00:00-05:00", None),
    ("www.harbour-lottery.example", "XC", "2026-10-02T00:00:00-05:00", Form.NXDOMAIN),
    ("amber-bets.example", "XC", "2026-10-31T23:59:59-05:00", Form.NXDOMAIN),
    ("amber-bets.example", "XC", "2026-11-01T00:00:00-05:00", None),
    ("new-harbour-poker.example", "XC", "2026-10-31T23:59:59-05:00", None),
    ("new-harbour-poker.example", "XC", "2026-11-01T00:00:00-05:00", Form.NXDOMAIN),
    ("royal-spins-14.example", "XC", "2026-12-31T00:00:00-05:00", Form.NXDOMAIN),
    ("new-harbour-poker.example", "XC", "2027-06-01T00:00:00-05:00", Form.NXDOMAIN),
    ("royal-spins-14.example", "XC", "2027-12-31T00:00:00-05:00", None),
]


@pytest.mark.parametrize(("name", "region", "moment", "form"), EXAMPLES)
def test_the_examples_do_what_their_comments_say(
    indexes: dict[str, Index], name: str, region: str, moment: str, form: Form | None
) -> None:
    assert decide(indexes["examples"], to_key(name), region, at(moment)).form_for(A) is form


def test_three_countries_orders_take_effect_at_one_instant() -> None:
    orders = [one for one in loaded("examples").orders if one.id.endswith("-stream")]
    assert len({one.authority.jurisdiction for one in orders}) == 3
    assert {one.directives[0].start for one in orders} == {datetime(2027, 3, 1, tzinfo=UTC)}


def test_nothing_visible_announces_the_sealed_order_before_it_takes_effect(indexes: dict[str, Index]) -> None:
    before = at("2027-01-15T05:00:00+02:00")
    assert boundaries(indexes["examples"].directives.values(), after=before)[0] == before + 3600
    assert decide(indexes["examples"], to_key("portrait.example"), "XA", before) == Verdict()


def test_the_examples_show_every_kind_of_order_but_reinstate() -> None:
    orders = loaded("examples").orders
    assert {one.kind for one in orders} == set(Kind) - {Kind.REINSTATE}
    assert any(one.publication is Publication.SEALED_UNTIL_EFFECTIVE for one in orders)
    assert any(one.deadline is not None and one.deadline.total_seconds() == 1800 for one in orders)


def test_the_bulk_orders_list_is_what_the_recipe_makes() -> None:
    adjectives = ["amber", "bold", "copper", "dusty", "eager", "golden", "lucky", "quiet", "royal", "velvet"]
    nouns = ["bets", "dice", "jackpots", "poker", "slots", "spins"]
    made = [
        f"{adjective}-{noun}{suffix}.example"
        for adjective in adjectives
        for noun in nouns
        for suffix in ("", "-11", "-12", "-13", "-14")
    ]
    octets = REGISTER.read_bytes()
    listed = [line for line in octets.decode("ascii").splitlines() if not line.startswith("#")]
    assert listed == [*made, "*.harbour-lottery.example"]
    assert hashlib.sha256(octets).hexdigest() in REGISTER.with_suffix(".yaml").read_text(encoding="utf-8")


def test_the_features_url_is_refused_with_the_words_that_its_comment_quotes(tmp_path: Path) -> None:
    lines = REFUSED.read_text(encoding="utf-8").splitlines()
    order_id = next(line.removeprefix("order: ") for line in lines if line.startswith("order: "))
    orders = tmp_path / "orders"
    path = orders / f"{order_id}.yaml"
    path.parent.mkdir(parents=True)
    shutil.copyfile(REFUSED, path)

    (problem,) = files.load(orders, check.Facts(regions=frozenset({"XA"}))).problems

    place = str(problem).removeprefix(f"{tmp_path}/")
    assert f"# {place}" in lines


def test_the_plan_holds_the_order_with_the_mistake_that_its_comment_speaks_of(tmp_path: Path) -> None:
    shutil.copytree(POLICIES / "examples", tmp_path, dirs_exist_ok=True)
    site = sitefile.load(tmp_path / "site.yaml")
    planned = prepare(replace(site, state=tmp_path / "state"), now=at("2026-11-28T12:00:00+00:00"))
    assert [why.id for why in planned.judged.holds["xb-telecom-inspectorate/2027-02-10-prizes"]] == [
        "ocsp-crl"
    ]
    assert planned.rest is not None
    assert "xb-telecom-inspectorate/2027-02-10-prizes" not in planned.rest.orders


def explain(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["--site", str(SITES["examples"]), "explain", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_explain_names_order_directive_authority_legal_basis_and_window_while_grok_is_blocked() -> None:
    told = explain("grok.com", "--region", "ID", "--at", "2026-01-15T00:00:00+07:00")
    for fact in (
        "BLOCKED",
        "id-komdigi/2026-01-10-grok/grok",
        "Komdigi",
        "No. 5 of 2020",
        "2026-01-10T00:00:00Z",
        "2026-02-01T00:00:00Z",
    ):
        assert fact in told


def test_explain_says_that_grok_is_not_blocked_because_its_order_is_suspended() -> None:
    told = explain("grok.com", "--region", "ID", "--at", "2026-02-02T00:00:00+07:00")
    assert "not blocked" in told
    assert "suspended since 2026-02-01T00:00:00Z by id-komdigi/2026-02-01-grok-on-conditions" in told
