"""The engines side by side: each on loopback, with one and the same policy, pinned to the servers' core.

A starter is a context manager from a Lab to the Running it yields once it answers a blocked name.
Configurations say what ops/ says and leave out what costs speed and no answer needs (logs, statistics).
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dns.rcode
import lmdb

from blocker.names import to_key, to_wire
from blocker.plugins import dnsdist_config
from blocker.plugins.dnsdist import FILE, Dnsdist
from blocker.policy.reader import Reader
from tests.bench import processes
from tests.servers import lab, unbound_lab, unbound_rpz_lab
from tests.servers.zone_lab import ZONE, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from blocker.policy.store import Snapshot
    from blocker.site import Site

SAMPLE = 100
LOADING = 120.0
"""Seconds that an engine may take to load the names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """What starters need. `site` has its policy applied, which `names` and the file `zone` hold as well.
    `patience` are the seconds that an engine may take to load it.
    """

    folder: Path
    site: Site
    region: str
    upstream: int
    names: Sequence[str]
    zone: Path
    cores: frozenset[int] | None
    patience: float = LOADING

    def room(self, name: str) -> Path:
        """A folder for one engine."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    @contextmanager
    def policy(self) -> Iterator[Snapshot]:
        """The policy applied."""
        reader = Reader(self.site.state)
        try:
            with reader.snapshot() as policy:
                yield policy
        finally:
            reader.close()

    def is_blocked(self, port: int) -> bool:
        """Whether the server on this port blocks the ordered names: some answer before all are loaded."""
        sample = self.names[:: max(1, len(self.names) // SAMPLE)]
        said = (lab.ask(port, name, timeout=0.2) for name in sample)
        return all(one is not None and one.rcode() == dns.rcode.NXDOMAIN for one in said)

    def answers(self, port: int) -> bool:
        """Whether the server on this port answers a name that passes."""
        said = lab.ask(port, "ready.free.example", timeout=0.2)
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
        is_up = partial(start.is_up, start.port)
        processes.until(is_up, labs.patience, start.name, process, log)
        yield Running(
            name=start.name,
            port=start.port,
            pid=process.pid,
            loaded=time.monotonic() - began,
            memory=processes.memory(process.pid),
        )


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


def dnsdist(labs: Lab) -> AbstractContextManager[Running]:
    """dnsdist with what `blocker push` and `blocker dnsdist-config` make for it, and a packet cache."""
    path, room, port = lab.program("dnsdist"), labs.room("dnsdist"), lab.free_port()
    target = Dnsdist(labs.site.state)
    with labs.policy() as policy:
        target.send(target.prepare(policy, int(time.time())))
    target.close()
    rules = dnsdist_config.render(labs.site.enforcement, str(labs.site.state / FILE))
    (room / "dnsdist.conf").write_text(DNSDIST.format(port=port, upstream=labs.upstream) + rules)
    words = [path, "--supervised", "--disable-syslog", "-C", str(room / "dnsdist.conf")]
    return _run(labs, _Start(name="dnsdist", words=words, port=port, is_up=labs.is_blocked))


DNSDIST = """\
setLocal("127.0.0.1:{port}")
newServer({{address="127.0.0.1:{upstream}"}})
setSecurityPollSuffix("")
getPool(""):setCache(newPacketCache(100000))
"""

BARE_RULES = """
local names = newLMDBKVStore("{store}", "names")
addAction(KeyValueStoreLookupRule(names, KeyValueLookupKeySuffix(1, true)), RCodeAction(DNSRCode.NXDOMAIN))
"""


def bare_dnsdist(labs: Lab) -> AbstractContextManager[Running]:
    """The least that blocks with dnsdist: a look-up and a bare NXDOMAIN, for all clients, for ever."""
    path, room, port = lab.program("dnsdist"), labs.room("bare-dnsdist"), lab.free_port()
    store = room / "names.lmdb"
    write_lmdb(store, labs.names)
    (room / "dnsdist.conf").write_text(
        DNSDIST.format(port=port, upstream=labs.upstream) + BARE_RULES.format(store=store)
    )
    words = [path, "--supervised", "--disable-syslog", "-C", str(room / "dnsdist.conf")]
    return _run(labs, _Start(name="bare-dnsdist", words=words, port=port, is_up=labs.is_blocked))


def write_lmdb(store: Path, listed: Iterable[str]) -> None:
    """The names by their wire form."""
    with lmdb.open(str(store), subdir=False, map_size=1 << 32, max_dbs=4) as environment:
        names = environment.open_db(b"names")
        with environment.begin(write=True) as txn:
            txn.cursor(db=names).putmulti(sorted((to_wire(to_key(name)), b"1") for name in listed))


UNBOUND = """\
{ops}
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  use-syslog: no
  verbosity: 0
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  do-not-query-localhost: no
  do-ip6: no
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
"""


def _unbound(
    labs: Lab,
    name: str,
    ops: str,
    *,
    is_up: Callable[[int], bool] | None = None,
    env: dict[str, str] | None = None,
) -> AbstractContextManager[Running]:
    path, room, port = lab.program("unbound"), labs.room(name), lab.free_port()
    text = UNBOUND.format(ops=ops, port=port, folder=room, upstream=labs.upstream)
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
    ops = 'server:\n  module-config: "validator iterator"\n  num-threads: 1'
    return _unbound(labs, "unbound", ops, is_up=labs.answers)


def unbound_module(labs: Lab) -> AbstractContextManager[Running]:
    """Unbound with our module in it, as ops/unbound/module.conf says."""
    unbound_lab.module()
    script = labs.room("unbound-module") / "blocker-unbound.py"
    script.unlink(missing_ok=True)
    script.symlink_to(unbound_lab.SCRIPT)
    ops = f'include: "{unbound_lab.OPS / "module.conf"}"'
    env = unbound_lab.environment(labs.site.state, labs.region)
    return _unbound(labs, "unbound-module", ops, env=env)


def unbound_rpz(labs: Lab) -> AbstractContextManager[Running]:
    """Unbound with the policy as a zone, as ops/unbound/rpz.conf says, but from a file."""
    changes = {unbound_rpz_lab.PRIMARY: "", unbound_rpz_lab.ZONEFILE: str(labs.zone), ZONE: zone_name(labs)}
    return _unbound(labs, "unbound-rpz", filled(unbound_rpz_lab.CONF, changes))


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
    words = [sys.executable, "-m", "tests.bench.template", "echo", str(port)]

    def is_up(port: int) -> bool:
        return lab.ask(port, "ready.example", timeout=0.2) is not None

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
    "bare-dnsdist": bare_dnsdist,
    "unbound-module": unbound_module,
    "unbound-rpz": unbound_rpz,
    "bind-rpz": bind_rpz,
    "dnslib": dnslib,
    "unbound": unbound,
}
