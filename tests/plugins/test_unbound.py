"""What of the Unbound guest can be shown without Unbound: which configurations it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from blocker import sitefile
from blocker.plugins import unboundconf
from blocker.plugins.unboundconf import ConfigRefused, Settings
from blocker.site import Enforcement

OPS = Path(__file__).resolve().parents[2] / "ops"
PAGE = (OPS / "docs" / "unbound.md").read_text(encoding="utf-8")
GOOD = "python validator iterator"


def settings(modules: str = GOOD, threads: int = 1, unread: str = "", **values: str) -> Settings:
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return Settings(modules=modules, threads=threads, values=named, unread=unread)


@pytest.mark.parametrize(
    "found",
    [
        settings(),
        settings("python iterator"),
        settings("python respip validator iterator"),
        settings("python dns64 validator iterator"),
        settings(serve_expired="no", serve_original_ttl="no", cache_min_ttl="0", cache_min_negative_ttl="0"),
    ],
)
def test_what_can_hold_the_policy_is_taken_without_a_word(found: Settings) -> None:
    assert unboundconf.check(found) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (settings(serve_expired="yes"), "serve-expired: yes"),
        (settings(serve_original_ttl="yes"), "serve-original-ttl: yes"),
        (settings(cache_min_ttl="1"), "cache-min-ttl: 1"),
        (settings(cache_min_negative_ttl="5"), "cache-min-negative-ttl: 5"),
        (settings("python subnetcache validator iterator"), "subnetcache beside python"),
        (settings("validator iterator"), "python before"),
        (settings("validator python iterator"), "validator before python"),
        (settings("validator iterator python"), "python before"),
        (settings("subnetcache python validator iterator"), "subnetcache beside python"),
        (settings("cachedb python iterator"), "cachedb before python"),
        (settings("dns64 python validator iterator"), "dns64 before python"),
    ],
)
def test_what_cannot_hold_the_policy_is_refused_with_the_way_out(found: Settings, words: str) -> None:
    with pytest.raises(ConfigRefused, match=words):
        unboundconf.check(found)


def test_threads_and_an_unread_file_are_warned_of() -> None:
    warnings = unboundconf.check(settings(threads=2, unread="/etc/x: Permission denied"))
    assert "num-threads: 2" in warnings[0]
    assert "so-reuseport" in warnings[0]
    assert "/etc/x: Permission denied" in warnings[1]


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["/usr/sbin/unbound", "-d", "-p"], unboundconf.DEFAULT),
        (["/usr/sbin/unbound", "-d", "-c", "/etc/other.conf", "-p"], "/etc/other.conf"),
        (["unbound", "-c/etc/other.conf"], "/etc/other.conf"),
        (["unbound-checkconf", "/etc/other.conf"], "/etc/other.conf"),
        (["unbound-checkconf", "-f"], unboundconf.DEFAULT),
        (["unbound-checkconf"], unboundconf.DEFAULT),
        (["unbound", "-c"], unboundconf.DEFAULT),
        ([], unboundconf.DEFAULT),
    ],
)
def test_the_file_is_the_one_that_the_command_line_names(words: list[str], path: str) -> None:
    assert unboundconf.file_of(words) == path


def read(path: Path) -> Settings:
    cfg = SimpleNamespace(directory=str(path.parent), module_conf=GOOD, num_threads=1)
    return unboundconf.read(f"unbound\0-c\0{path}\0".encode(), cfg)


def test_what_comes_later_counts_across_included_files(tmp_path: Path) -> None:
    parts = tmp_path / "conf.d"
    parts.mkdir()
    (parts / "a.conf").write_text("server:\n  serve-expired: yes\n")
    (parts / "b.conf").write_text('server: serve-expired: "no" # serve-expired: yes\n')
    path = tmp_path / "unbound.conf"
    path.write_text('server:\n  cache-min-ttl: 5\ninclude: "conf.d/*.conf"\nserver: cache-min-ttl: 0\n')
    found = read(path)
    assert (found.values["serve-expired"], found.values["cache-min-ttl"]) == ("no", "0")
    assert found.unread == ""
    (parts / "c.conf").write_text(f"server: serve-expired: yes\ninclude-toplevel: {path}\n")
    assert read(path).values["serve-expired"] == "yes"


@pytest.mark.parametrize(
    "written",
    [
        "serve-expired: yes",
        "serve-expired:yes",
        "server:serve-expired: yes",
        "serve-expired: 'yes'",
        'serve-expired: "yes"',
        "serve-expired:\n  yes",
        "serve-expired: # until the link is mended\n  # no\n  yes",
        'identity: "the # of them" serve-expired: yes',
        "identity: a#b serve-expired: yes",
        'include: "number#1.conf"',
        'include:\n  "number#1.conf"',
    ],
)
def test_a_setting_is_read_in_every_form_that_unbound_reads(tmp_path: Path, written: str) -> None:
    (tmp_path / "number#1.conf").write_text("server: serve-expired: yes\n")
    path = tmp_path / "unbound.conf"
    path.write_text(f"server:\n  {written}\n  verbosity: 1\n")
    assert read(path).values == {"serve-expired": "yes"}


def test_what_only_looks_like_a_setting_is_none(tmp_path: Path) -> None:
    path = tmp_path / "unbound.conf"
    path.write_text(
        'server: # serve-expired: yes\n  identity: "serve-expired: yes"\n'
        "  x-serve-expired: yes\n  version: serve-expired\n"
    )
    assert read(path).values == {}


def test_a_file_that_is_not_there_or_has_too_many_beside_it_is_told(tmp_path: Path) -> None:
    assert "No such file" in read(tmp_path / "missing.conf").unread
    path = tmp_path / "unbound.conf"
    path.write_text(f'include: "{tmp_path}/*.conf"\n')
    for number in range(300):
        (tmp_path / f"{number}.conf").touch()
    assert "more than 256 files" in read(path).unread


def test_the_page_speaks_of_every_file_and_of_none_that_is_not_there() -> None:
    named = set(re.findall(r"`ops/unbound/([a-z.-]+)`", PAGE))
    assert named == {path.name for path in (OPS / "unbound").iterdir()} - {"rpz.conf"}
    assert all((OPS / "docs" / page).exists() for page in re.findall(r"[a-z-]+\.md", PAGE))


def test_the_pages_point_is_one_that_site_yaml_takes() -> None:
    (point,) = re.findall(r"`(\{name: .*\})`", PAGE)
    site = f"""\
site: {{operator: Lab, contact: "mailto:legal@isp.example"}}
state: state
orders: orders
regions: {{ID: []}}
points:
  - {point}
"""
    found, problems, _ = sitefile.parse(site.encode(), Path("/site.yaml"), node="n")
    assert problems == []
    assert found is not None
    assert (found.points[0].by, found.points[0].control) == ("module", ("unbound-control",))


def test_unbounds_own_cap_is_the_sites_default() -> None:
    for name in ("module.conf", "module-and-rpz.conf"):
        text = (OPS / "unbound" / name).read_text(encoding="utf-8")
        assert f"cache-max-ttl: {Enforcement.max_ttl}\n" in text
