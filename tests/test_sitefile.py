from __future__ import annotations

import socket
from ipaddress import ip_network
from pathlib import Path

import pytest

from blocker import names, sitefile
from blocker.errors import OrdersInvalid
from blocker.orders import check
from blocker.site import LOOPBACK, Emergency, Endpoint, Limits, Outside, Point, ProberConfig, Rpz, Tls
from tests.approvals.test_signers import key

SITE = """\
site: {operator: "Example Net", contact: "mailto:legal@isp.example", info_url: "https://isp.example/blocked", node: "r1.isp.example"}
state: ../state
orders: orders
protected: protected.yaml
regions: {ID: ["192.0.2.0/24", "2001:db8::/32"], GB: ["198.51.100.0/24"]}
default_region: ID
answers: {ttl: 30s, max_ttl: 1h}
limits: {max_added: 1000, max_added_ratio: 0.3, max_removed_ratio: 0.25}
resolver: {listen: ["127.0.0.1:5300", "[::1]:5300"], workers: auto, upstreams: system, allow: [loopback]}
web: {listen: "127.0.0.1:9353"}
prober: {interval: 30s, canaries: [example.com], reference: upstreams}
points:
  - {name: embedded, kind: embedded, address: "127.0.0.1:5300", region: ID}
"""  # noqa: E501  # The line is as design and README show it.

SMALL = """\
site: {operator: "Example Net", contact: "tel:+62211234567"}
state: state
orders: orders
regions: {ID: []}
"""


def write(folder: Path, site: str = SITE, protected: str = "protected: [isp.example]\n") -> Path:
    (folder / "protected.yaml").write_text(protected)
    path = folder / "site.yaml"
    path.write_text(site)
    return path


def test_the_site_of_the_design_is_read_whole(tmp_path: Path) -> None:
    site = sitefile.load(write(tmp_path))
    assert (site.operator, site.contact, site.node) == (
        "Example Net",
        "mailto:legal@isp.example",
        "r1.isp.example",
    )
    assert (site.path, site.orders, site.state) == (
        tmp_path / "site.yaml",
        tmp_path / "orders",
        tmp_path.parent / "state",
    )
    assert site.protected == (names.to_key("isp.example"),)
    assert site.enforcement.regions["GB"] == (ip_network("198.51.100.0/24"),)
    assert site.enforcement.default_region == "ID"
    assert (site.enforcement.ttl, site.enforcement.max_ttl) == (30, 3600)
    assert site.enforcement.info_url == "https://isp.example/blocked"
    assert site.limits == Limits(max_added=1000, max_added_ratio=0.3, max_removed_ratio=0.25)
    assert site.resolver is not None
    assert site.resolver.listen == (Endpoint("127.0.0.1", 5300), Endpoint("::1", 5300))
    assert (site.resolver.workers, site.resolver.upstreams, site.resolver.allow) == (0, (), LOOPBACK)
    assert site.web == Endpoint("127.0.0.1", 9353)
    assert site.prober == ProberConfig(interval=30, canaries=(names.to_key("example.com"),))
    assert site.points == (
        Point(name="embedded", kind="embedded", address=Endpoint("127.0.0.1", 5300), region="ID"),
    )


def test_the_longest_names_of_a_region_and_a_zone_make_one_of_a_zone(tmp_path: Path) -> None:
    region, zone = "-".join(["GB", *["x" * 14] * 3, "x" * 15]), f"{'x' * 50}.{'y' * 49}"
    text = SITE.replace("GB: [", f"{region}: [").replace("points:", f"rpz: {{zone: {zone}}}\npoints:")
    site = sitefile.load(write(tmp_path, text))
    assert site.rpz is not None
    assert (len(region), len(zone)) == (63, 100)
    assert names.canonical(site.rpz.zone_of(region)) == site.rpz.zone_of(region)


def test_the_site_that_the_probers_page_shows_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "ops" / "docs" / "prober.md").read_text()
    shown = page.split("```yaml\n")[1].split("```")[0]
    site = sitefile.load(write(tmp_path, SITE[: SITE.index("prober:")] + shown))
    assert site.prober is not None
    assert site.prober.canary_order == "trial/2026-01-01-reserved-names"
    r1, edge = site.points
    assert len(r1.addresses) == len(r1.instances) == 2
    assert edge.outside == Outside(source="198.51.100.7")


def test_what_may_be_left_out_has_its_default(tmp_path: Path) -> None:
    site = sitefile.load(write(tmp_path, SMALL))
    assert site.node == socket.gethostname()
    assert (site.resolver, site.web, site.prober, site.points, site.protected) == (None, None, None, (), ())
    assert (site.enforcement.ttl, site.enforcement.max_ttl) == (30, 3600)
    assert check.Facts.of(site) == check.Facts(regions=frozenset({"ID"}))


ANYONE = frozenset[str]()
APPROVALS = f"""\
approvals:
  signers: signers.yaml
  roots: ["{key(1)}"]
  rules:
    block: [legal, noc or duty, anyone]
    suspend: [duty, anyone]
  emergency: {{approvals: [duty], within: 4h}}
"""


def test_rules_of_approval_are_read_and_what_isnt_written_follows_from_what_is(tmp_path: Path) -> None:
    approvals = sitefile.load(write(tmp_path, SMALL + APPROVALS)).approvals
    assert approvals is not None
    assert approvals.signers == tmp_path / "signers.yaml"
    assert [str(one) for one in approvals.roots] == [key(1).removesuffix(" who@where")]
    block = (frozenset({"legal"}), frozenset({"noc", "duty"}), ANYONE)
    assert approvals.rules == {
        "block": block,
        "reinstate": block,
        "amend": block,
        "lift": (ANYONE,),
        "suspend": (frozenset({"duty"}), ANYONE),
    }
    assert approvals.emergency == Emergency(seats=(frozenset({"duty"}),), within=4 * 3600)


def test_without_rules_a_block_needs_two_people_and_undoing_it_one(tmp_path: Path) -> None:
    written = APPROVALS.partition("  rules:")[0]
    approvals = sitefile.load(write(tmp_path, SMALL + written)).approvals
    assert approvals is not None
    assert {kind: len(seats) for kind, seats in approvals.rules.items()} == {
        "block": 2,
        "reinstate": 2,
        "amend": 2,
        "lift": 1,
        "suspend": 1,
    }
    assert approvals.emergency is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "suspend: [duty, anyone]",
            "suspend: [legal, noc, duty]",
            (
                "10:14 rule-too-hard: a suspend needs 3 approvals and a block 3; undoing a block must need "
                "fewer than blocking, or one."
            ),
        ),
        (
            "suspend: [duty, anyone]",
            "amend: [legal]",
            (
                "10:12 rule-too-easy: a kind of order that blocks needs 1 and a block 3 approvals; it needs "
                "as many, or who wants to block takes this way."
            ),
        ),
        (
            "[legal, noc or duty, anyone]",
            "[legal, NOC]",
            "9:20 role-invalid: 'NOC' is not a role; write a word of a-z, 0-9 and - such as legal or noc.",
        ),
        (
            "[legal, noc or duty, anyone]",
            "[legal or or]",
            "9:13 role-invalid: 'or' is not a role; write a word of a-z, 0-9 and - such as legal or noc.",
        ),
        (
            key(1),
            "ssh-ed25519",
            (
                "7:11 key-invalid: this is no public key that may sign: its kind is none of ssh-ed25519, "
                "sk-ssh-ed25519@openssh.com, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ecdsa-sha2-nistp521, "
                "sk-ecdsa-sha2-nistp256@openssh.com, ssh-rsa. Write the line of its .pub file, as "
                "ssh-ed25519 AAAA…"
            ),
        ),
        (
            "  signers: signers.yaml\n",
            "",
            "6:3 missing-key: approvals has no 'signers'; name the file that says who may sign.",
        ),
        (
            ", within: 4h",
            "",
            "11:14 missing-key: the emergency has no 'within'; write how soon the others are owed, as 4h.",
        ),
    ],
)
def test_bad_rules_of_approval_get_exactly_this_sentence(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in APPROVALS
    with pytest.raises(OrdersInvalid) as caught:
        sitefile.load(write(tmp_path, SMALL + APPROVALS.replace(old, new)))
    assert [str(one) for one in caught.value.problems] == [f"{tmp_path}/site.yaml:{said}"]


APPROVING = {"rule-too-hard", "rule-too-easy", "role-invalid", "key-invalid"}
"""The ids of which bad files are among those of the rules of approval."""


def test_upstreams_and_allowed_clients_are_read_in_every_form(tmp_path: Path) -> None:
    text = SITE.replace(
        "upstreams: system", 'upstreams: [192.0.2.53, "192.0.2.54:5353", "[2001:db8::53]:54"]'
    )
    text = text.replace("workers: auto", "workers: 4").replace(
        "[loopback]", '[loopback, 10.0.0.0/8, "fd00::/8"]'
    )
    resolver = sitefile.load(write(tmp_path, text)).resolver
    assert resolver is not None
    assert resolver.upstreams == (
        Endpoint("192.0.2.53", 53),
        Endpoint("192.0.2.54", 5353),
        Endpoint("2001:db8::53", 54),
    )
    assert resolver.workers == 4
    assert resolver.allow == (*LOOPBACK, ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


TABLE = [
    (
        "missing-site",
        SITE.splitlines()[0] + "\n",
        "",
        "site.yaml:1:1 missing-site: site.yaml has no 'site'; write operator and contact in it.",
    ),
    (
        "missing-paths",
        "state: ../state\n",
        "",
        "site.yaml:1:1 missing-paths: site.yaml has no 'state'; name a folder for the store.",
    ),
    (
        "file-unreadable",
        "protected.yaml",
        "gone.yaml",
        (
            "gone.yaml file-unreadable: it can't be read: No such file or directory; mend the path, "
            "or its permissions."
        ),
    ),
    (
        "missing-key",
        'operator: "Example Net", ',
        "",
        "site.yaml:1:7 missing-key: the site has no 'operator'; write who runs the resolvers.",
    ),
    (
        "unknown-key",
        "web:",
        "metrics:",
        (
            "site.yaml:10:1 unknown-key: 'metrics' is not a key of site.yaml; it has site, state, "
            "orders, protected, feeds, regions, default_region, answers, review, limits, resolver, web, "
            "prober, rpz, approvals, points."
        ),
    ),
    (
        "yaml-syntax",
        '"[::1]:5300"',
        "[::1]:5300",
        (
            "site.yaml:9:40 yaml-syntax: not YAML: did not find expected node content while parsing "
            'a flow node; quote text with \'::\' in it, such as "2001:db8::1" or "[::1]:53".'
        ),
    ),
    (
        "contact-invalid",
        "mailto:legal@isp.example",
        "legal@isp.example",
        (
            "site.yaml:1:42 contact-invalid: 'legal@isp.example' is no way to reach someone; write "
            "mailto:…, https://… or tel:…"
        ),
    ),
    (
        "info-url-invalid",
        "https://isp.example/blocked",
        "isp.example/blocked",
        (
            "site.yaml:1:80 info-url-invalid: 'isp.example/blocked' is not a web address that fits "
            "into an answer; write https://… in 200 letters."
        ),
    ),
    (
        "address-invalid",
        "127.0.0.1:9353",
        "localhost:9353",
        (
            "site.yaml:10:15 address-invalid: 'localhost:9353' is not an address with a port; write "
            "192.0.2.1:53 or [2001:db8::1]:53."
        ),
    ),
    (
        "network-invalid",
        "198.51.100.0/24",
        "198.51.100.1/24",
        (
            "site.yaml:5:55 network-invalid: '198.51.100.1/24' is not a network: 198.51.100.1/24 has "
            "host bits set; write 192.0.2.0/24."
        ),
    ),
    (
        "same-prefix",
        "198.51.100.0/24",
        "192.0.2.0/24",
        (
            "site.yaml:5:55 same-prefix: 192.0.2.0/24 is in region ID too; a client is in one "
            "region, keep one of the two."
        ),
    ),
    (
        "same-prefix",
        "198.51.100.0/24",
        "::ffff:192.0.2.0/120",
        (
            "site.yaml:5:55 same-prefix: 192.0.2.0/24 is in region ID too; a client is in one "
            "region, keep one of the two."
        ),
    ),
    (
        "region-twice",
        "GB: [",
        "Id: [",
        (
            "site.yaml:5:50 region-twice: 'Id' and 'ID' differ by case alone, and zones tell no case apart; "
            "give one of them another name, in its orders too."
        ),
    ),
    (
        "wildcard-listen",
        '"[::1]:5300"',
        '"[::ffff:0.0.0.0]:5300"',
        (
            "site.yaml:9:39 wildcard-listen: 0.0.0.0:5300 is every address; list the addresses, for answers "
            "must leave from the one asked."
        ),
    ),
    (
        "instance-invalid",
        "region: ID}",
        f"region: ID, instances: [{'r' * 65}]}}",
        (f"site.yaml:13:89 instance-invalid: '{'r' * 65}' is not an NSID of 1 to 64 printable letters."),
    ),
    (
        "outside-unclear",
        "region: ID}",
        "region: ID, outside: {source: 192.0.2.9, subnet: 192.0.2.0/24}}",
        (
            "site.yaml:13:86 outside-unclear: a client of another region is known by 'source' or by "
            "'subnet'; write one of the two."
        ),
    ),
    (
        "path-invalid",
        "region: ID}",
        "region: ID, tls: {name: a.example, doh: 127.0.0.1, path: dns}}",
        ("site.yaml:13:122 path-invalid: 'dns' is not the path of a web address; write /dns-query."),
    ),
    (
        "shard-invalid",
        "interval: 30s",
        "shard: 3/2",
        "site.yaml:11:17 shard-invalid: '3/2' is not one prober of several; write 1/2 for the first of two.",
    ),
    (
        "tls-nowhere",
        "region: ID}",
        "region: ID, tls: {name: a.example}}",
        (
            "site.yaml:13:82 tls-nowhere: no address answers encrypted queries; write 'dot' or 'doh', or "
            "leave 'tls' out."
        ),
    ),
    (
        "region-invalid",
        "{ID:",
        '{"I D":',
        "site.yaml:5:11 region-invalid: 'I D' is not a region; write a code such as ID or ID-JK.",
    ),
    (
        "region-invalid",
        "GB: [",
        f"{'-'.join(['GB', *['x' * 15] * 4])}: [",
        (
            f"site.yaml:5:50 region-invalid: '{'-'.join(['GB', *['x' * 15] * 4])}' "
            "has 66 letters, and the label of a zone's name, which it becomes, has 63 at most; give it a "
            "shorter name, in its orders too."
        ),
    ),
    (
        "zone-too-long",
        "points:",
        f"rpz: {{zone: {'x' * 50}.{'y' * 50}}}\npoints:",
        (
            f"site.yaml:12:13 zone-too-long: '{'x' * 50}.{'y' * 26}'… has 101 octets, 100 is the most: the "
            "names of orders stand before it; write a shorter one."
        ),
    ),
    (
        "site-region-unknown",
        "default_region: ID",
        "default_region: NO",
        (
            "site.yaml:6:17 site-region-unknown: 'NO' is not among the regions (ID, GB); add it to "
            "'regions', or mend it."
        ),
    ),
    (
        "number-invalid",
        "workers: auto",
        "workers: many",
        "site.yaml:9:63 number-invalid: 'many' is not a number from 1 to 1,024; write one.",
    ),
    (
        "duration-invalid",
        "interval: 30s",
        "interval: 30",
        "site.yaml:11:20 duration-invalid: '30' is not a duration; write 30s, 30m, 24h or 2d.",
    ),
    (
        "ttl-over-max",
        "ttl: 30s",
        "ttl: 2h",
        (
            "site.yaml:7:16 ttl-over-max: the ttl of blocked answers is larger than max_ttl; lower "
            "it, or raise max_ttl."
        ),
    ),
    (
        "review-unknown",
        "ttl: 30s, max_ttl: 1h}",
        "ttl: 30s, max_ttl: 1h}\nreview: {overdue: forget}",
        "site.yaml:8:19 review-unknown: 'forget' is unknown; write one of keep, lapse.",
    ),
    (
        "allow-everyone",
        "allow: [loopback]",
        "allow: [0.0.0.0/0]",
        (
            "site.yaml:9:96 allow-everyone: '0.0.0.0/0' is more of the Internet than one operator has; an "
            "open resolver helps attackers. List your clients' prefixes."
        ),
    ),
    (
        "wildcard-listen",
        '"127.0.0.1:5300", "[::1]:5300"',
        '"[::]:5300"',
        (
            "site.yaml:9:21 wildcard-listen: [::]:5300 is every address; list the addresses, for "
            "answers must leave from the one asked."
        ),
    ),
    (
        "upstream-is-ourselves",
        "upstreams: system",
        'upstreams: ["127.0.0.1:5300"]',
        (
            "site.yaml:9:81 upstream-is-ourselves: 127.0.0.1:5300 is our own listen address, which "
            "would ask itself; name another resolver."
        ),
    ),
    (
        "upstream-is-ourselves",
        "reference: upstreams",
        'reference: ["[::1]:5300"]',
        (
            "site.yaml:11:62 upstream-is-ourselves: [::1]:5300 is our own listen address, which "
            "would ask itself; name another resolver."
        ),
    ),
    (
        "point-kind-unknown",
        "kind: embedded",
        "kind: windows",
        (
            "site.yaml:13:28 point-kind-unknown: 'windows' is unknown; write one of embedded, "
            "unbound, bind, powerdns, knot, dnsdist."
        ),
    ),
    (
        "site-region-unknown",
        ", region: ID}",
        ", region: SG}",
        (
            "site.yaml:13:73 site-region-unknown: 'SG' is not among the regions (ID, GB); add it to "
            "'regions', or mend it."
        ),
    ),
    (
        "duplicate-point",
        SITE.splitlines()[-1],
        "\n".join([SITE.splitlines()[-1]] * 2),
        (
            "site.yaml:14:12 duplicate-point: 'embedded' is the name of two points; findings need a "
            "name for each."
        ),
    ),
    (
        "point-way-unknown",
        "kind: embedded",
        "kind: bind, by: module",
        (
            "site.yaml:13:38 point-way-unknown: bind can't get the policy by 'module'; "
            "write rpz, or leave it out."
        ),
    ),
    (
        "point-control-unused",
        ", region: ID}",
        ", region: ID, control: [rndc]}",
        (
            "site.yaml:13:86 point-control-unused: 'embedded' decides before its cache, so nothing is ever "
            "purged from it; leave 'control' out."
        ),
    ),
    (
        "point-two-regions",
        SITE.splitlines()[-1],
        "\n".join(
            f'  - {{name: {name}, kind: unbound, address: "192.0.2.1", region: {region}}}'
            for name, region in (("a", "ID"), ("b", "GB"))
        ),
        (
            "site.yaml:14:60 point-two-regions: 192.0.2.1:53 is in region ID already, and all clients of one "
            "unbound share its cache; run one for each region."
        ),
    ),
    (
        "point-two-regions",
        SITE.splitlines()[-1],
        "\n".join(
            f'  - {{name: {name}, kind: unbound, address: "{at}", region: {region}, also: ["192.0.2.3"]}}'
            for name, at, region in (("a", "192.0.2.1", "ID"), ("b", "192.0.2.2", "GB"))
        ),
        (
            "site.yaml:14:60 point-two-regions: 192.0.2.3:53 is in region ID already, and all clients of one "
            "unbound share its cache; run one for each region."
        ),
    ),
    (
        "point-two-regions",
        SITE.splitlines()[-1],
        "\n".join(
            f'  - {{name: {name}, kind: unbound, address: "{at}", region: {region}, control: [ctl, -c, x]}}'
            for name, at, region in (("a", "192.0.2.1", "ID"), ("b", "192.0.2.2", "GB"))
        ),
        (
            "site.yaml:14:60 point-two-regions: what 'ctl -c x' controls is in region ID already, and all "
            "clients of one unbound share its cache; run one for each region."
        ),
    ),
    (
        "rpz-missing",
        "kind: embedded",
        "kind: knot",
        (
            "site.yaml:13:5 rpz-missing: 'embedded' takes the policy as a zone, and nothing makes one; "
            "add 'rpz' to the site."
        ),
    ),
    (
        "rpz-key-missing",
        "points:",
        'rpz: {primary: "127.0.0.1:5354"}\npoints:',
        (
            "site.yaml:12:16 rpz-key-missing: updates to the primary are signed; write 'key' with the path "
            "of a file made by `tsig-keygen`."
        ),
    ),
    (
        "name-invalid",
        "[example.com]",
        "[https://example.com/]",
        (
            "site.yaml:11:36 name-invalid: 'https://example.com/' is not a domain name: ':' is not a "
            "letter, digit, hyphen or underscore; write one name."
        ),
    ),
    (
        "not-a-mapping",
        '{ID: ["192.0.2.0/24", "2001:db8::/32"], GB: ["198.51.100.0/24"]}',
        "[ID]",
        "site.yaml:5:10 not-a-mapping: regions are written as {ID: [prefixes]}.",
    ),
]


@pytest.mark.parametrize(("id_", "old", "new", "said"), TABLE, ids=[row[0] for row in TABLE])
def test_a_bad_site_gets_exactly_this_sentence(
    tmp_path: Path, id_: str, old: str, new: str, said: str
) -> None:
    assert old in SITE
    path = write(tmp_path, SITE.replace(old, new))
    with pytest.raises(OrdersInvalid) as caught:
        sitefile.load(path)
    found = [str(problem) for problem in caught.value.problems if problem.id == id_]
    assert [one.removeprefix(f"{tmp_path}/") for one in found[:1]] == [said]


def test_every_id_of_the_site_file_has_a_bad_file_in_the_table() -> None:
    assert set(sitefile.SITE_CHECKS) <= {row[0] for row in TABLE} | APPROVING
    assert {row[0] for row in TABLE} <= set(sitefile.SITE_CHECKS) | set(check.REGISTRY)


def test_a_prefix_or_address_in_ipv4_mapped_form_is_the_ipv4_one_that_it_means(tmp_path: Path) -> None:
    text = SITE.replace("192.0.2.0/24", "::ffff:192.0.2.0/120").replace("loopback", '"::ffff:198.51.100.7"')
    text = text.replace("127.0.0.1:5300", "[::ffff:127.0.0.1]:5300")
    site = sitefile.load(write(tmp_path, text))
    assert site.enforcement.regions["ID"] == (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    assert [site.enforcement.region_of(f"{carried}192.0.2.1") for carried in ("", "::ffff:")] == ["ID"] * 2
    assert site.resolver is not None
    assert site.resolver.allow == (ip_network("198.51.100.7/32"),)
    assert site.points[0].address == site.resolver.listen[0] == Endpoint("127.0.0.1", 5300)


def test_points_get_the_policy_by_the_way_of_their_kind(tmp_path: Path) -> None:
    points = """\
rpz: {zone: rpz.isp.example, primary: "127.0.0.1:5354", key: rpz.key}
points:
  - {name: a, kind: unbound, address: "192.0.2.1", region: ID, control: [unbound-control, -c, u.conf]}
  - {name: b, kind: unbound, address: "192.0.2.2", region: ID, by: rpz}
  - {name: c, kind: bind, address: "192.0.2.3", region: GB}
  - {name: d, kind: dnsdist, address: "192.0.2.4", region: GB}
  - {name: e, kind: dnsdist, address: "192.0.2.4", region: ID}
"""
    site = sitefile.load(write(tmp_path, SITE.partition("points:")[0] + points))
    assert [point.by for point in site.points] == ["module", "rpz", "rpz", "lmdb", "lmdb"]
    assert site.points[0].control == ("unbound-control", "-c", "u.conf")
    assert site.rpz == Rpz(
        zone="rpz.isp.example", primary=Endpoint("127.0.0.1", 5354), key=tmp_path / "rpz.key"
    )
    assert site.rpz.zone_of("ID-JK") == "id-jk.rpz.isp.example"


def test_a_point_says_how_it_is_asked(tmp_path: Path) -> None:
    more = (
        'also: ["[::1]:5300"], source: 127.0.0.1, outside: {source: 127.0.0.9}, instances: [r1, r2], '
        "tls: {name: Dns.isp.example, dot: 127.0.0.1, doh: 127.0.0.1, ca: ca.pem}"
    )
    site = sitefile.load(write(tmp_path, SITE.replace("region: ID}", f"region: ID, {more}}}")))
    (point,) = site.points
    assert point.addresses == (Endpoint("127.0.0.1", 5300), Endpoint("::1", 5300))
    assert (point.source, point.outside, point.instances) == (
        "127.0.0.1",
        Outside(source="127.0.0.9"),
        ("r1", "r2"),
    )
    assert point.tls == Tls(
        name="dns.isp.example",
        dot=Endpoint("127.0.0.1", 853),
        doh=Endpoint("127.0.0.1", 443),
        ca=tmp_path / "ca.pem",
    )
    assert Outside(subnet=ip_network("198.51.100.0/24")).client == "198.51.100.0"
    assert Outside(source="127.0.0.9").client == "127.0.0.9"


def test_where_to_ask_from_has_no_port(tmp_path: Path) -> None:
    with pytest.raises(OrdersInvalid, match="is not an IP address; write one, without a port"):
        sitefile.load(write(tmp_path, SITE.replace("region: ID}", 'region: ID, source: "127.0.0.1:53"}')))


def test_rounds_so_far_apart_that_the_prober_would_count_as_dead_are_refused(tmp_path: Path) -> None:
    site = sitefile.load(write(tmp_path, SITE.replace("interval: 30s", "interval: 10m")))
    assert site.prober is not None
    assert site.prober.interval == 600
    with pytest.raises(OrdersInvalid, match=r"'11m' is too long: .* write 10m or less"):
        sitefile.load(write(tmp_path, SITE.replace("interval: 30s", "interval: 11m")))


def test_one_of_several_probers_knows_its_share(tmp_path: Path) -> None:
    site = sitefile.load(write(tmp_path, SITE.replace("interval: 30s", "shard: 2/3")))
    assert site.prober is not None
    assert (site.prober.shard, site.prober.shards) == (1, 3)


@pytest.mark.parametrize(
    "written",
    ["1.2.3.4", "1.2.3.4:99999", "host:53", "[1.2.3.4", "::1", "[::1]", "[x]:53", ":53", "1.2.3.4:0x"],
)
def test_what_is_no_address_with_a_port_is_refused(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, SITE.replace('"127.0.0.1:9353"', f"'{written}'"))
    with pytest.raises(OrdersInvalid, match="address-invalid"):
        sitefile.load(path)


@pytest.mark.parametrize("written", ["::x", "1.2.3.4:0", "dns.example"])
def test_an_upstream_is_an_address_with_a_real_port(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, SITE.replace("upstreams: system", f"upstreams: ['{written}']"))
    with pytest.raises(OrdersInvalid, match="address-invalid"):
        sitefile.load(path)


def test_a_bare_ipv6_address_is_an_upstream_on_port_53(tmp_path: Path) -> None:
    resolver = sitefile.load(
        write(tmp_path, SITE.replace("upstreams: system", "upstreams: ['2001:db8::53']"))
    ).resolver
    assert resolver is not None
    assert resolver.upstreams == (Endpoint("2001:db8::53", 53),)


def test_all_problems_of_both_files_are_said_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path, SITE.replace("state:", "stat:").replace("30s", "30"), "protected: [https://x, y]\n"
    )
    with pytest.raises(OrdersInvalid) as caught:
        sitefile.load(path)
    assert [problem.id for problem in caught.value.problems] == [
        "missing-paths",
        "unknown-key",
        "duration-invalid",
        "duration-invalid",
        "name-invalid",
    ]


def test_a_protected_name_may_be_a_public_suffix_and_has_its_reason_beside_it(tmp_path: Path) -> None:
    text = "protected:\n  - gov.uk          # the state itself\n  - isp.example  # ourselves\n  - gov.uk\n"
    site = sitefile.load(write(tmp_path, protected=text))
    assert set(site.protected) == {names.to_key("isp.example"), names.to_key("gov.uk")}
    assert len(site.protected) == 2


def test_a_site_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(OrdersInvalid, match="file-unreadable: it can't be read: No such file"):
        sitefile.load(tmp_path / "site.yaml")


def test_a_protected_file_that_is_missing_or_empty_is_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path, protected="")
    with pytest.raises(OrdersInvalid, match="file-empty"):
        sitefile.load(path)
    (tmp_path / "protected.yaml").unlink()
    with pytest.raises(OrdersInvalid, match=r"protected.yaml file-unreadable"):
        sitefile.load(path)


def test_an_empty_list_of_protected_names_is_a_decision_and_fine(tmp_path: Path) -> None:
    assert sitefile.load(write(tmp_path, protected="protected: []\n")).protected == ()
