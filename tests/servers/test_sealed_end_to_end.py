"""Of a sealed order nothing is found in anything that the daemons emit: everything is searched."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Self

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from blocker import names
from tests.servers import bind_lab, lab
from tests.servers.conftest import made
from tests.servers.test_daemons import children, is_blocked, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.bind_lab import Bind
    from tests.servers.conftest import Lab

PUBLIC, HUSHED, DAWNING, RISING = (
    f"{one}.example" for one in ("open-shop", "hush-hush", "before-dawn", "sun-rising")
)
ORDER = """\
order: lab/{slug}
kind: block
authority: {{name: Lab Authority, jurisdiction: ID, contact: "mailto:contest@authority.example"}}
legal_basis: ["Lab Act, section 1"]
reference: "{reference}"
issued: 2026-01-01
publication: {publication}
directives:
  - {{id: {id}, names: [{name}], regions: [ID], from: {start}, until: 2099-01-01}}
"""
TREES = 'rpz: {{zone: rpz.isp.example, primary: "127.0.0.1:{port}", key: rpz.key}}\n'
BIND = '  - {{name: bind, kind: bind, address: "127.0.0.1:{port}", region: ID, control: {control}}}\n'


class Secret:
    """One order that nobody may learn of, and every spelling of what could tell."""

    def __init__(self, name: str, slug: str, directive: str, reference: str) -> None:
        self.name, self.slug, self.directive, self.reference = name, slug, directive, reference
        key = names.to_key(name)
        told = {name, f"lab/{slug}", slug, f"/{directive}", reference, name.partition(".")[0]}
        octets = {one.encode() for one in told} | {bytes(key), bytes(names.to_wire(key))}
        spelled = octets | {one.hex().encode() for one in octets}
        # Base64 has three alignments; the outer characters depend on the neighbours.
        for one in octets:
            spelled |= {base64.b64encode(b"\0" * at + one)[4 if at else 0 : -4] for at in range(3)}
        self._pattern = re.compile(
            b"|".join(re.escape(one) for one in sorted(spelled) if len(one) > 5), re.IGNORECASE
        )

    def found_in(self, octets: bytes) -> list[bytes]:
        return self._pattern.findall(octets)


SEALED = Secret(HUSHED, "hushed-case", "muffled", "HUSH-REF-4711")
DAWN = Secret(DAWNING, "dawning-case", "aurora", "DAWN-REF-0815")


RISEN = Secret(RISING, "rising-case", "sunrise", "RISE-REF-0700")
OPEN = Secret(PUBLIC, "open-case", "plain", "OPEN-REF-1")


MORE = Secret("hush-more.example", "amending-case", "muffled-too", "MORE-REF-1312")


class Watched:
    """The words and surroundings of every process below one, looked at as often as can be."""

    def __init__(self, pid: int) -> None:
        self.seen: set[bytes] = set()
        self._pid, self._over = pid, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.004):
            todo = [self._pid]
            while todo:
                pid = todo.pop()
                with contextlib.suppress(OSError):
                    todo += children(pid)
                    for what in ("cmdline", "environ"):
                        self.seen.add(Path(f"/proc/{pid}/{what}").read_bytes())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Lab, Bind]]:
    """The site with its resolver, and a BIND that gets the zone of a hidden primary."""
    port = lab.free_port()
    with (
        made(tmp_path) as found,
        bind_lab.primary(tmp_path / "primary", [port]) as primary,
        bind_lab.secondary(tmp_path / "secondary", found.upstream, primary=primary.port, port=port) as bind,
    ):
        (tmp_path / "rpz.key").write_text(bind_lab.KEY)
        text = found.site.read_text() + BIND.format(port=port, control=json.dumps(bind.control))
        found.site.write_text(
            text.replace("LAB", "ID")
            .replace("points:", TREES.format(port=primary.port) + "points:")
            .replace("interval: 5s", "interval: 2s")
        )
        yield found, bind


def write(site: Lab, secret: Secret, publication: str, start: str) -> None:
    (site.folder / "orders" / "lab" / f"{secret.slug}.yaml").write_text(
        ORDER.format(
            slug=secret.slug,
            id=secret.directive,
            name=secret.name,
            reference=secret.reference,
            publication=publication,
            start=start,
        )
    )


def asked(port: int, name: str) -> list[tuple[dns.message.Message, bytes]]:
    """Answers to the name in several ways, with their octets less the echoed question."""
    found = []
    for label, qtype in ((name, "A"), (f"www.{name}", "AAAA"), (name.upper(), "HTTPS"), (name, "TXT")):
        for over in (dns.query.udp, dns.query.tcp):
            query = dns.message.make_query(label, qtype, use_edns=0, want_dnssec=qtype == "AAAA")
            answer = over(query, "127.0.0.1", port=port, timeout=3)
            octets = bytes(answer.wire or b"")
            question = len(dns.name.from_text(label).to_wire() or b"") + 4
            found.append((answer, octets[:12] + octets[12 + question :]))
    return found


def amend(site: Lab, secret: Secret, of: Secret) -> None:
    """A public order that adds a name to another order."""
    write(site, secret, "public", "2026-01-01")
    path = site.folder / "orders" / "lab" / f"{secret.slug}.yaml"
    head = f"kind: amend\nof: lab/{of.slug}\nfrom: 2026-01-01"
    path.write_text(path.read_text().replace("kind: block", head).replace("directives:", "add:"))


def pages(site: Lab) -> bytes:
    """All that the web process shows, in every form it has."""
    shown = b""
    for page in ("metrics", "healthz", "readyz", "readyz/prober", "readyz/push", ""):
        for accept in ("text/plain", "application/openmetrics-text", "application/json", "text/html"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{site.web}/{page}", headers={"accept": accept}
            )
            try:
                with urllib.request.urlopen(request, timeout=3) as response:
                    shown += str(response.headers).encode() + response.read()
            except urllib.error.HTTPError as error:
                shown += str(error.headers).encode() + error.read()
    return shown


def published(site: Lab) -> bytes:
    """What the operator gives to others: the ledger, and the report on a public order."""
    ran = [
        site.verb("ledger", "export", "-"),
        site.verb("report", "lab/open-case", "--format", "json"),
        site.verb("report", "lab/open-case", "--format", "html"),
    ]
    assert [one.returncode for one in ran] == [0, 0, 0], [one.stderr for one in ran]
    return b"".join((one.stdout + one.stderr).encode() for one in ran)


def test_nothing_that_daemons_emit_tells_of_a_sealed_order(
    site: tuple[Lab, Bind], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, bind = site
    monkeypatch.setenv("BLOCKER_LOG", "json")
    log = found.folder / "daemon.log"
    write(found, OPEN, "public", "2026-01-01")
    write(found, SEALED, "sealed", "2026-01-01")
    amend(found, MORE, SEALED)
    write(found, DAWN, "sealed-until-effective", "2098-01-01")
    umask = os.umask(0o022)
    try:
        assert found.verb("apply", "--yes").returncode == 0
        with running(found) as daemon, Watched(daemon.pid) as watched:
            assert until(lambda: b"blocker_push_up{" in pages(found) and b'="bind"' in pages(found), 8)
            early = emitted(found, bind)
            for secret in (SEALED, MORE, DAWN):
                assert not secret.found_in(early), secret.slug
            for words in (
                ("withhold", f"lab/{SEALED.slug}", "--reason", "tried"),
                ("release", f"lab/{SEALED.slug}"),
                ("rollback", "0", "--reason", "tried"),
                ("release", f"lab/{SEALED.slug}", f"lab/{DAWN.slug}", "lab/open-case"),
                ("report", f"lab/{SEALED.slug}", "--out", str(found.folder / "sealed.html")),
                ("verify",),
            ):
                assert found.verb(*words).returncode in (0, 1), words
            soon = time.gmtime(int(time.time()) + 4)
            write(found, RISEN, "sealed-until-effective", time.strftime("%Y-%m-%dT%H:%M:%SZ", soon))
            assert found.verb("apply", "--yes").returncode == 0
            assert until(lambda: is_blocked(found, RISING))
            assert until(lambda: f'order="lab/{RISEN.slug}"'.encode() in pages(found))
            late = emitted(found, bind)
            for secret in (SEALED, MORE, DAWN):
                assert not secret.found_in(late), secret.slug
            # What took effect is no secret any more, and says so.
            assert RISEN.found_in(b"".join(one for _, one in asked(found.dns, RISING)))
            assert RISEN.found_in(published(found))
        for secret in (SEALED, MORE, DAWN):
            assert not any(secret.found_in(one) for one in watched.seen)
            assert not secret.found_in(log.read_bytes())
            assert not secret.found_in(bind.log.read_bytes()), "ops/bind/secondary.conf keeps it quiet"
    finally:
        os.umask(umask)
    look_at_files(found.folder / "state")


def emitted(site: Lab, bind: Bind) -> bytes:
    """All that comes out of the daemons, and what is published of their work."""
    hushed = asked(site.dns, HUSHED)
    assert {answer.rcode() for answer, _ in hushed} == {dns.rcode.NXDOMAIN}
    for answer, _ in hushed:
        told = [str(one.text) for one in answer.options if isinstance(one, dns.edns.EDEOption)]
        assert told == ["https://isp.example/b"]
    answers = [*hushed, *asked(site.dns, MORE.name), *asked(site.dns, DAWNING), *asked(site.dns, PUBLIC)]
    assert until(lambda: lab.ask(bind.port, HUSHED).rcode() == dns.rcode.NXDOMAIN, 5)  # type: ignore[union-attr]  # it answers
    answers += [*asked(bind.port, HUSHED)]
    octets = b"\n".join(one for _, one in answers)
    return b"\n".join((octets, pages(site), (site.folder / "daemon.log").read_bytes(), published(site)))


def look_at_files(state: Path) -> None:
    """Modes: the group's at most, evidence of sealed orders the prober's alone; no file is named so."""
    every = list(state.rglob("*"))
    assert not [path for path in every if path.stat().st_mode & 0o007], "others may read or enter"
    for path in every:
        told = str(path.relative_to(state)).encode()
        assert not any(secret.found_in(told) for secret in (SEALED, MORE, DAWN))
    modes = {path.name: path.stat().st_mode & 0o777 for path in every if path.is_file()}
    assert {modes["policy.lmdb"], modes["ledger.sqlite"], modes["prober.json"]} == {0o640}
    sealed = list((state / "evidence" / "sealed").rglob("*"))
    assert sealed
    assert {path.stat().st_mode & 0o777 for path in sealed} == {0o600}
    assert any(SEALED.found_in(path.read_bytes()) for path in sealed)
    for path in (state / "evidence" / "open").rglob("*.jsonl"):
        assert not any(secret.found_in(path.read_bytes()) for secret in (SEALED, MORE))
    assert not list(state.rglob("*.new"))
