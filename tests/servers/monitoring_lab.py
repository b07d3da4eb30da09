"""Four nodes on loopback, watched by Prometheus and Alertmanager with the files of ops/, times cut short.

What a node shows is planted: its store, its workers' counters, and what its prober and pusher reported. `a`
has a prober, workers and targets; `b` a prober; `c` a store that goes away; `d` goes away itself.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from blocker.fleet import report as fleet
from blocker.fleet.report import Purged, Pushed
from blocker.orders.model import NameList, Publication
from blocker.orders.schedule import schedule
from blocker.policy import writer
from blocker.policy.records import Generation, Owed, Trust
from blocker.prober import report
from blocker.prober.judge import Kind
from blocker.prober.report import Confirmed, EvidenceView, NotOk, PointView, Snapshot
from blocker.resolver import counters
from blocker.resolver.counters import Count
from blocker.site import Endpoint, Enforcement, Point
from blocker.web.view import SECRET
from tests.prober.world import apart, block, when
from tests.servers import lab
from tests.web.test_server import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blocker.orders.model import Order

OPS = Path(__file__).parents[2] / "ops"
REAL = "blocker-real"
"""The job of a site that is a real daemon, beside the nodes whose states are planted."""

HUSHED = "hushed/case-1"
ORDERS = (*(f"court/{slug}" for slug in ("one", "new", "ended", "near", "missed", "open")), HUSHED)
SECRETS = ("hush", "case-1")
"""What of the sealed order may be seen nowhere."""

BAD = (
    Kind.OVERBLOCK,
    Kind.EARLY,
    Kind.LINGERING,
    Kind.UNDERBLOCK,
    Kind.PARTIAL,
    Kind.WRONG_FORM,
    Kind.INJECTED,
    Kind.CONFLICT,
    Kind.INSUFFICIENT,
)


def orders(now: float, *, overdue: bool) -> list[Order]:
    """In force; not yet seen; ended; with deadlines near and missed; sealed; and maybe one to be reviewed."""
    hour = 3600.0
    found = [
        block("one.example", ident="court/one", start=now - hour, until=now + 24 * hour),
        block("new.example", ident="court/new", start=now - 1000, until=now + hour),
        block("ended.example", ident="court/ended", start=now - 3 * hour, until=now - 2 * hour),
        _due(block("near.example", ident="court/near", start=now - 60), now + hour),
        _due(block("missed.example", ident="court/missed", start=now - 100), now - 10),
        block(
            "hush-hush.example",
            ident=HUSHED,
            start=now - 1000,
            until=now + hour,
            publication=Publication.SEALED,
        ),
    ]
    if overdue:
        found.append(block("open.example", ident="court/open", start=now - 10**7 - 60, until=None))
    return found


def _due(order: Order, deadline: float) -> Order:
    return replace(order, received=when(deadline) - timedelta(days=1), deadline=timedelta(days=1))


def applied(state: Path, number: int, digest: str, base: str, now: float, *, is_bad: bool = False) -> None:
    """Generation `number` of the orders; if it is bad, with one quarantined, one to be reviewed, and two that
    an emergency let in, whose approvals are due and overdue.
    """
    found = orders(now, overdue=is_bad)
    writer.commit(
        state,
        writer.Target(
            generation=Generation(
                number=number,
                digest=digest,
                applied_at=time.time(),
                by="test",
                quarantined=("court/bad",) if is_bad else (),
            ),
            orders={order.id: order.digest for order in found},
            directives=schedule(found),
            enforcement=Enforcement(),
            read=lambda _: NameList(keys=()),
            owed={
                order: Owed(at=now - 3600, due=due, by="test", reason="urgent")
                for order, due in (("court/one", now + 3600), ("court/new", now - 10))
                if is_bad
            },
        ),
        base=base,
    )


def point(name: str, *instances: str) -> Point:
    address = Endpoint("127.0.0.1", 53)
    return Point(name=name, kind="unbound", address=address, region="ID", instances=instances)


POINTS = {
    "a": (point("p1", "p1-x", "p1-y"), point("p2"), point("p3", "p3-x")),
    "b": (point("p9"),),
    "c": (),
    "d": (),
}


def finding(kind: Kind, point: str, order: str = "court/one") -> NotOk:
    return NotOk(
        kind=kind,
        rule="r",
        point=point,
        order=order,
        variant="udp",
        detail="hush-hush.example 198.51.100.7",  # No rule says so; it must not be shown all the same.
        count=2,
        since=time.time(),
        last=time.time(),
    )


def confirmed(now: float, *, lift: bool = True) -> Confirmed:
    block = Confirmed(block=now, started=int(now))
    return replace(block, lift=now, ended=int(now)) if lift else block


def seen(generation: int, step: int, *, is_bad: bool) -> Snapshot:
    """What the prober of `a` reports; counters grow by `step` while it is bad."""
    now = time.time()
    never = 0.0 if is_bad else now
    started = ("court/one", "court/ended", "court/open")
    unseen = ("court/new", "court/near", "court/missed", HUSHED)
    seen_at = ("p1", "p2", "p3")
    return Snapshot(
        at=now,
        generation=generation,
        round_at=now,
        points={
            "p1": PointView(
                sent=100 + step * 10,
                lost=step * 5,
                ok=9,
                answered_at=now,
                instances={"p1-x": now, "p1-y": never, "hush-hush": now},
                strangers=step,
            ),
            "p2": PointView(sent=9, answered_at=now, controls_ok=not is_bad),
            "p3": PointView(sent=9, answered_at=now, instances={"p3-x": never}),
        },
        not_ok=(
            *(finding(kind, "p1") for kind in BAD),
            finding(Kind.UNDERBLOCK, "p1", HUSHED),
            finding(Kind.UNDERBLOCK, "p2"),
            finding(Kind.EARLY, "p2"),
            finding(Kind.UNREACHABLE, "p3"),
        )
        if is_bad
        else (),
        ok={"court/one": 9, HUSHED: 3},
        confirmed={order: dict.fromkeys(seen_at, confirmed(now, lift=not is_bad)) for order in started}
        # One point of three is enough for it to be said.
        | {order: dict.fromkeys(seen_at[: 2 if is_bad else 3], confirmed(now)) for order in unseen},
        hidden=step,
        evidence=EvidenceView(records=10 + step, octets=999, written_at=now, failures=step),
    )


def _reserved() -> socket.socket:
    """A port that is bound and does not listen: nobody else gets it, and it can be shared with who does."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


@dataclass
class Node:
    """A node's state folder, and its web side while it serves; its port is its own when it does not, too."""

    name: str
    state: Path
    reserved: socket.socket = field(default_factory=_reserved)
    running: ExitStack = field(default_factory=ExitStack)

    @property
    def port(self) -> int:
        return int(self.reserved.getsockname()[1])

    def serve(self) -> None:
        self.running.enter_context(serving(self.state, *POINTS[self.name], port=self.port))

    def write(self, name: str, text: str) -> None:
        """As the daemons do it: whole or not at all."""
        path = self.state / name
        path.parent.mkdir(exist_ok=True)
        scratch = path.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(path)


class World:
    """The nodes, and what is planted in them."""

    def __init__(self, folder: Path) -> None:
        self.now = time.time()
        self.generation = 1
        self.step = 0
        self.nodes = {name: Node(name, folder / name) for name in POINTS}
        self.workers: list[memoryview] = []
        for node in self.nodes.values():
            node.state.mkdir()
            (node.state / SECRET).write_bytes(b"one for all nodes, as the docs say")
            applied(node.state, 1, "same", "", self.now)
            shared = counters.Counters(node.state / counters.FILE, 2)
            self.workers += [shared.block(0), shared.block(1)]
        self.plant(is_bad=False)

    def start(self) -> None:
        for node in self.nodes.values():
            node.serve()

    def stop(self) -> None:
        for node in self.nodes.values():
            node.running.close()
            node.reserved.close()

    def worsen(self) -> None:
        """What happens once: other policies, a store and a node that are gone."""
        a, c = self.nodes["a"], self.nodes["c"]
        self.generation = 2
        apart(applied, a.state, 2, "other", "same", self.now, is_bad=True)
        for name in ("policy.lmdb", "policy.lmdb-lock"):
            (c.state / name).unlink()
        self.nodes["d"].running.close()

    def mend(self) -> None:
        self.generation = 3
        apart(applied, self.nodes["a"].state, 3, "same", "other", self.now)
        apart(writer.settle, self.nodes["a"].state, ("court/one", "court/new"), Trust())
        apart(applied, self.nodes["c"].state, 1, "same", "", self.now)
        self.nodes["d"].serve()

    def plant(self, *, is_bad: bool) -> None:
        """What the daemons write again and again."""
        a, b = self.nodes["a"], self.nodes["b"]
        now = time.time()
        self.step += is_bad
        a.write(report.FILE, report.to_json(seen(self.generation, self.step, is_bad=is_bad)))
        late = Snapshot(
            at=now - 100 * is_bad,
            generation=1,
            round_at=now,
            points={"p9": PointView(sent=9, answered_at=now)},
            not_ok=(finding(Kind.UNDERBLOCK, "p9"),) if is_bad else (),
            confirmed={order: {"p9": confirmed(now, lift=order == "court/ended")} for order in ORDERS},
        )
        b.write(report.FILE, report.to_json(late))
        pushed = (
            Pushed(target="dnsdist", sent_at=now, lateness=9.0 * is_bad, instant=now, at=now),
            Pushed(target="rpz id.rpz", sent_at=now, trouble="no answer" * is_bad, at=now),
            Pushed(target="rpz gb.rpz", sent_at=now, at=now - 100 * is_bad),
        )
        purged = (Purged(point="p1", skipped=self.step, trouble="no socket" * is_bad, at=now),)
        a.write(f"{fleet.FOLDER}/a.json", fleet.to_json((*pushed, *purged)))
        for at, block_ in enumerate(self.workers):
            is_old = is_bad and at == 0
            block_[Count.GENERATION] = 1 if at > 1 or is_old else self.generation
            block_[Count.QUERIES] += 10
            block_[Count.UPSTREAM_QUESTIONS] += 1
            block_[Count.UPSTREAM_MICROSECONDS] += 2000
            block_[Count.STARTS] = 1 + self.step * (at == 0)
            for count in (Count.FAILED, Count.ERRORS):
                block_[count] += 2 * is_bad


class Webhook:
    """Who is told: every notification by its receiver."""

    def __init__(self) -> None:
        told: list[tuple[str, dict[str, Any]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.append((self.path.strip("/"), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.told = told
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def shortened(text: str) -> str:
    """The file with its waiting times cut short: seconds that are compared with instants stay as they are."""
    text = re.sub(
        r"^( *)(scrape_interval|evaluation_interval|scrape_timeout|group_interval): \w+$",
        r"\1\2: 1s",
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r"^( *)(group_wait): \w+$", r"\1\2: 0s", text, flags=re.MULTILINE)
    text = re.sub(r"^ *for: \w+\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\[\d+[mh]\]", "[5s]", text)


class Monitor:
    """Prometheus and Alertmanager."""

    def __init__(self, prometheus: int, alertmanager: int) -> None:
        self.prometheus, self.alertmanager = prometheus, alertmanager

    def query(self, expression: str) -> dict[str, Any]:
        """The answer to an instant query, an error's too."""
        asked = urllib.parse.urlencode({"query": expression})
        try:
            return dict(json.loads(_get(self.prometheus, f"/api/v1/query?{asked}")))
        except urllib.error.HTTPError as error:
            return dict(json.loads(error.read()))

    def scrapes(self) -> int:
        """How often all nodes together were scraped with success."""
        (counted,) = self.query("sum(sum_over_time(up[1h])) or vector(0)")["data"]["result"]
        return int(counted["value"][1])

    def alerts(self) -> list[dict[str, Any]]:
        """What Alertmanager has that has not ended."""
        return list(json.loads(_get(self.alertmanager, "/api/v2/alerts")))

    def everything(self) -> str:
        """All that Prometheus and Alertmanager have to tell."""
        every = urllib.parse.quote('{__name__=~".+"}')
        paths = ("/api/v1/rules", "/api/v1/alerts", f"/api/v1/series?match[]={every}")
        shown = [_get(self.prometheus, path) for path in paths]
        return "\n".join([*shown, _get(self.alertmanager, "/api/v2/alerts/groups")])


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        return str(response.read().decode())


@contextmanager
def monitored(folder: Path, nodes: list[int], daemon: int, webhook: int) -> Iterator[Monitor]:
    """Both programs with the shipped files, on free ports, watching these; the daemon as another site."""
    prometheus, manager = lab.program("prometheus"), lab.program("prometheus-alertmanager")
    ports = [lab.free_port() for _ in range(2)]
    (folder / "rules").mkdir()
    for path in (OPS / "prometheus" / "rules").iterdir():
        (folder / "rules" / path.name).write_text(shortened(path.read_text()))
    config = shortened((OPS / "prometheus" / "prometheus.yml").read_text())
    config = config.replace("127.0.0.1:9093", f"127.0.0.1:{ports[1]}")
    config = config.replace('["127.0.0.1:9353"]', json.dumps([f"127.0.0.1:{node}" for node in nodes]))
    config += f"  - job_name: {REAL}\n    static_configs: [{{targets: ['127.0.0.1:{daemon}']}}]\n"
    (folder / "prometheus.yml").write_text(config)
    routes = shortened((OPS / "alertmanager" / "alertmanager.yml").read_text())
    (folder / "alertmanager.yml").write_text(routes.replace("127.0.0.1:9095", f"127.0.0.1:{webhook}"))
    with ExitStack() as stack:
        for name, arguments in (
            (
                "alertmanager",
                [
                    manager,
                    f"--config.file={folder}/alertmanager.yml",
                    f"--storage.path={folder}/alertmanager",
                    f"--web.listen-address=127.0.0.1:{ports[1]}",
                    "--cluster.listen-address=",
                ],
            ),
            (
                "prometheus",
                [
                    prometheus,
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/prometheus",
                    f"--web.listen-address=127.0.0.1:{ports[0]}",
                    "--rules.alert.resend-delay=1s",
                ],
            ),
        ):
            log = folder / f"{name}.log"
            process = stack.enter_context(lab.started(arguments, log))
            port = ports[name == "alertmanager"]
            until(partial(_is_ready, port), log.read_text)
            assert process.poll() is None
        yield Monitor(*ports)


def _is_ready(port: int) -> bool:
    try:
        return bool(_get(port, "/-/ready"))
    except OSError:
        return False


def until(
    holds: Callable[[], bool], why: Callable[[], object], *, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Wait until it holds, 40 s at most; `why` says what is missing."""
    deadline = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < deadline, why()
        meanwhile()
        time.sleep(0.25)
