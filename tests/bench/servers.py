"""The engines side by side: each on loopback, with one and the same policy, pinned to the servers' core.

A starter is a context manager from a Lab to the Running it yields once it answers a blocked name.
Configurations say what ops/ says and leave out what costs speed and no answer needs (logs, statistics).
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import dns.rcode
import lmdb

from tests.bench import processes
from tests.servers import lab

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from blocker.site import Site

LOADING = 120.0
"""Seconds that an engine may take to load the names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """What starters need. `site` has its policy applied; `blocked` is ordered; `zone` is a zone file."""

    folder: Path
    site: Site
    region: str
    upstream: int
    blocked: str
    zone: Path
    cores: frozenset[int] | None

    def room(self, name: str) -> Path:
        """A folder for one engine."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def is_blocked(self, port: int, name: str | None = None) -> bool:
        """Whether the server on this port blocks the name."""
        said = lab.ask(port, name or self.blocked, timeout=0.5)
        return said is not None and said.rcode() == dns.rcode.NXDOMAIN

    def answers(self, port: int) -> bool:
        """Whether the server on this port answers a name that passes."""
        said = lab.ask(port, "ready.free.example", timeout=0.5)
        return said is not None and said.rcode() == dns.rcode.NOERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One engine that enforces; `loaded` are the seconds from its start to its first blocked answer."""

    name: str
    port: int
    pid: int
    loaded: float
    memory: processes.Memory


@dataclass(slots=True, kw_only=True)
class _Start:
    """What a starter has found out: the words that start it, and how to see that it is up."""

    name: str
    words: list[str]
    port: int
    is_up: Callable[[int], bool]
    env: dict[str, str] = field(default_factory=dict)


@contextmanager
def _run(labs: Lab, start: _Start) -> Iterator[Running]:
    log = labs.room(start.name) / "log"
    began = time.monotonic()
    with processes.started(start.words, log, cores=labs.cores, env=start.env) as process:
        _wait(process, start, log)
        yield Running(
            name=start.name,
            port=start.port,
            pid=process.pid,
            loaded=time.monotonic() - began,
            memory=processes.memory(process.pid),
        )


def _wait(process: subprocess.Popen[bytes], start: _Start, log: Path) -> None:
    processes.until(lambda: start.is_up(start.port), LOADING, start.name, process, log)


def embedded(labs: Lab) -> AbstractContextManager[Running]:
    """Our resolver as `blocker serve` runs it: supervised, regions, counters, attribution."""
    assert labs.site.resolver is not None
    return _run(
        labs,
        _Start(
            name="embedded",
            words=lab.blocker(labs.site.path, "serve"),
            port=labs.site.resolver.listen[0].port,
            is_up=labs.is_blocked,
        ),
    )


DNSDIST = """\
setLocal("127.0.0.1:{port}")
setACL({{"127.0.0.0/8"}})
newServer({{address="127.0.0.1:{upstream}", healthCheckMode="up", maxCheckFailures=1000}})
setSecurityPollSuffix("")
local names = newLMDBKVStore("{store}", "names")
addAction(KeyValueStoreLookupRule(names, KeyValueLookupKeySuffix(0, true)), RCodeAction(DNSRCode.NXDOMAIN))
getPool(""):setCache(newPacketCache(100000, {{maxTTL=86400}}))
"""


@contextmanager
def dnsdist(labs: Lab) -> Iterator[Running]:
    """dnsdist with the names in LMDB, and its packet cache for what passes."""
    path, room, port = lab.program("dnsdist"), labs.room("dnsdist"), lab.free_port()
    store = room / "names.lmdb"
    began = time.monotonic()
    write_lmdb(store, labs.zone)
    print(f"dnsdist: {time.monotonic() - began:.1f} s to write its store", file=sys.stderr)
    (room / "dnsdist.conf").write_text(DNSDIST.format(port=port, upstream=labs.upstream, store=store))
    words = [path, "--supervised", "--disable-syslog", "-C", str(room / "dnsdist.conf")]
    with _run(labs, _Start(name="dnsdist", words=words, port=port, is_up=labs.is_blocked)) as running:
        yield running


def write_lmdb(store: Path, zone: Path) -> None:
    """The owners of a zone file by their wire form."""
    with lmdb.open(str(store), subdir=False, map_size=1 << 32, max_dbs=4) as environment:
        names = environment.open_db(b"names")
        with environment.begin(write=True) as txn, zone.open() as lines:
            found = []
            for line in lines:
                owner, _, rest = line.partition(" ")
                if rest.startswith("CNAME") and not owner.startswith("*."):
                    wire = b"".join(bytes((len(label),)) + label.encode() for label in owner.split("."))
                    found.append((wire + b"\0", b"1"))
            found.sort()
            txn.cursor(db=names).putmulti(found)


UNBOUND = """\
server:
  interface: 127.0.0.1
  port: {port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  use-syslog: no
  verbosity: 0
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  module-config: "{modules}"
  do-not-query-localhost: no
  do-ip6: no
  num-threads: 1
  msg-cache-size: 64m
  rrset-cache-size: 128m
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
{more}
"""

UNBOUND_RPZ = """\
rpz:
  name: "{name}"
  zonefile: "{zone}"
  rpz-log: no
"""


def _unbound(
    labs: Lab,
    name: str,
    modules: str,
    *,
    more: str = "",
    is_up: Callable[[int], bool] | None = None,
    env: dict[str, str] | None = None,
) -> AbstractContextManager[Running]:
    path, room, port = lab.program("unbound"), labs.room(name), lab.free_port()
    text = UNBOUND.format(port=port, folder=room, modules=modules, upstream=labs.upstream, more=more)
    (room / "unbound.conf").write_text(text)
    return _run(
        labs,
        _Start(
            name=name,
            words=[path, "-d", "-p", "-c", str(room / "unbound.conf")],
            port=port,
            is_up=is_up or labs.is_blocked,
            env=env or {},
        ),
    )


def unbound(labs: Lab) -> AbstractContextManager[Running]:
    """Unbound that blocks nothing: what its cache hits cost."""
    return _unbound(labs, "unbound", "iterator", is_up=labs.answers)


def unbound_rpz(labs: Lab) -> AbstractContextManager[Running]:
    """Unbound with the policy as a zone."""
    more = UNBOUND_RPZ.format(name=zone_name(labs), zone=labs.zone)
    return _unbound(labs, "unbound-rpz", "respip iterator", more=more)


NAMED = """\
options {{
    directory "{folder}";
    pid-file "{folder}/named.pid";
    session-keyfile "{folder}/session.key";
    managed-keys-directory "{folder}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion yes;
    allow-query {{ 127.0.0.0/8; }};
    forward only;
    forwarders {{ 127.0.0.1 port {upstream}; }};
    dnssec-validation no;
    minimal-responses yes;
    querylog no;
    response-policy {{ zone "{name}"; }} qname-wait-recurse no break-dnssec yes min-update-interval 0;
}};
controls {{ }};
logging {{ category default {{ null; }}; }};
zone "{name}" {{
    type primary;
    file "{zone}";
    check-names ignore;
    notify no;
    allow-query {{ none; }};
}};
"""


def bind_rpz(labs: Lab) -> AbstractContextManager[Running]:
    """BIND with the policy as a zone."""
    path, room, port = lab.program("named"), labs.room("bind-rpz"), lab.free_port()
    (room / "named.conf").write_text(
        NAMED.format(folder=room, port=port, upstream=labs.upstream, name=zone_name(labs), zone=labs.zone)
    )
    return _run(
        labs,
        _Start(
            name="bind-rpz",
            words=[path, "-f", "-n", "1", "-c", str(room / "named.conf")],
            port=port,
            is_up=labs.is_blocked,
        ),
    )


def dnslib(labs: Lab) -> AbstractContextManager[Running]:
    """dnslib's own server with our plugin."""
    port = lab.free_port()
    words = [sys.executable, "-m", "tests.bench.dnslib_server", str(labs.site.state), str(port)]
    return _run(labs, _Start(name="dnslib", words=words, port=port, is_up=labs.is_blocked, env=_importable()))


def echo(labs: Lab) -> AbstractContextManager[Running]:
    """Python that decides nothing: the ceiling."""
    port = lab.free_port()
    words = [sys.executable, "-m", "tests.bench.echo", str(port)]

    def is_up(port: int) -> bool:
        return lab.ask(port, "ready.example", timeout=0.5) is not None

    return _run(labs, _Start(name="echo", words=words, port=port, is_up=is_up, env=_importable()))


def _importable() -> dict[str, str]:
    """This checkout, for processes that run elsewhere."""
    return {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}


def zone_name(labs: Lab) -> str:
    """The name of the region's zone."""
    return labs.site.rpz.zone_of(labs.region) if labs.site.rpz is not None else f"{labs.region.lower()}.rpz"


STARTERS: Mapping[str, Callable[[Lab], AbstractContextManager[Running]]] = {
    "echo": echo,
    "embedded": embedded,
    "dnsdist": dnsdist,
    "unbound-rpz": unbound_rpz,
    "bind-rpz": bind_rpz,
    "dnslib": dnslib,
    "unbound": unbound,
}
