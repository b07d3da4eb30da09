"""Bulk probing: every name of a sweep asked of its point over UDP, as fast as the point may be asked.

Shell, of plain sockets. What comes back is marked by `peek`; what is not plainly as ordered is handed back
for a full probe with controls and a second sample (`rounds`), bounded in number. The rules:

- Everything asked is accounted for: asked = ok + formed + odd + lost + void + unproven + unanswered.
- An answer counts if it came to the socket that asked, with the id and the very question. What else arrives
  is counted as mismatched, malformed or stray.
- A datagram without an answer is sent again, twice, under a fresh id. So an answer that never comes costs
  time, never the sweep. A point that is silent altogether, or whose controls fail page after page, is left.
- Control, probe, control: a canary before, between pages and after. A page counts only if both its controls
  pass, and if its policy was in force from its first question to its last answer.
- At most `window` queries are under way, `rate` a second leave, and `most` in all, retries included.

Wall-clock times are for judging; waiting is monotonic.
"""

from __future__ import annotations

import secrets
import select
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import repeat
from random import SystemRandom
from typing import TYPE_CHECKING, Protocol

from blocker import names
from blocker.prober.datagrams import BATCH, Channel, channel_of, connected, dropped
from blocker.prober.judge import Controls, controls_of
from blocker.prober.observe import A, Arrival, Malformed, Mismatched, Observation, Outcome, read
from blocker.prober.peek import HEAD, TAIL, Mark, Memory, question
from blocker.prober.sweep import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.names import Key
    from blocker.policy.reader import Reader
    from blocker.prober.expect import Expectation
    from blocker.prober.peek import Known
    from blocker.prober.sweep import Page, Source
    from blocker.site import Point

TRIES = 3
STOPPED = "stopped"
WINDOW = 192
"""Queries under way: so many fit into the socket buffer that Linux gives by default, ours and the point's."""

_PORTS = 4
_SILENT = 512  # names in a row without any answer after which a point is left
_REFUSED = 64  # messages that nobody listens, without any answer, likewise
_UNPROVEN = 3  # pages in a row whose controls fail, likewise
_LOOK = 0.05  # seconds between two looks at what is due, at most
_TOLD = 0.1  # seconds between two reports of progress
_FULL = 0.005  # seconds to wait where the system takes nothing for now
_MOST_OPEN = 128  # pages under way: one lost datagram keeps its page open for all its tries
_PAGE_SECONDS = 2  # of a slow sweep's page: controls are to be near what they vouch for
_MOST_ODD = 400
MOST_FORMED = 100


class Questions(Protocol):
    """What is asked of a point: a Sweep, or a Sample of one."""

    @property
    def point(self) -> Point: ...

    def page(self, policy: Source, t: float, after: Key = ..., limit: int = ...) -> Page:
        """As of Sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How hard a point is asked. `rate` in queries a second (None: as fast as it answers), `most` queries
    in all, `timeout` in seconds for each try.
    """

    rate: float | None = None
    most: int | None = None
    window: int = WINDOW
    timeout: float = 1.0


@dataclass(slots=True, kw_only=True)
class Swept:
    """What one point was asked and what came of it, in names.

    Of those asked, `ok` are as ordered; `formed` have the ordered form and no attribution; `odd` are anything
    else; `lost` were never answered; of `void` ones the policy changed; `unproven` had failing controls;
    `unanswered` were under way when the sweep was stopped. `retried` counts queries sent again and
    `controls` canaries asked, which are not among `asked`. `stray`: answers to nothing under way, second ones
    and late ones. `dropped`: what found no room in our own sockets. `by_ref` counts the ok ones by the
    directive that blocks (or excepts) them. `doubts` are some of what is not ok, drawn evenly. `trouble` says
    why not everything was asked, if so.
    """

    point: str
    asked: int = 0
    ok: int = 0
    formed: int = 0
    odd: int = 0
    lost: int = 0
    void: int = 0
    unproven: int = 0
    unanswered: int = 0
    retried: int = 0
    controls: int = 0
    stray: int = 0
    mismatched: int = 0
    malformed: int = 0
    dropped: int = 0
    read: int = 0
    seconds: float = 0.0
    by_ref: Counter[str] = field(default_factory=Counter)
    doubts: list[Expectation] = field(default_factory=list)
    instances: set[bytes] = field(default_factory=set)
    trouble: str = ""

    @property
    def sent(self) -> int:
        """Queries, in all."""
        return self.asked + self.retried + self.controls

    @property
    def rate(self) -> float:
        """Queries a second."""
        return self.sent / self.seconds if self.seconds else 0.0

    @property
    def unaccounted(self) -> int:
        """Names asked of which nothing is known: none, or there is a bug."""
        told = self.ok + self.formed + self.odd + self.lost + self.void + self.unproven + self.unanswered
        return self.asked - told

    @property
    def is_fine(self) -> bool:
        """Whether all there was to ask was asked, and all of it is as ordered."""
        return not self.trouble and self.ok == self.asked


class _Page:
    """A page under way. `left` are names without a result yet, `asked` those whose query left."""

    __slots__ = ("after", "asked", "before", "doubts", "left", "marks", "page", "tallies")

    def __init__(self, page: Page, before: _Control | None) -> None:
        self.page = page
        self.before: _Control | None = before
        self.after: _Control | None = None
        self.left = len(page.names)
        self.asked = 0
        self.tallies: list[_Tally] = []
        self.marks: Counter[Mark | None] = Counter()
        self.doubts: list[tuple[Mark | None, bytes, _Tally]] = []


class _Tally:
    """The names of one page that must be answered alike, and how many were plainly as ordered."""

    __slots__ = ("known", "marks", "ok", "page", "wanted")

    def __init__(self, wanted: Expectation, known: Known, page: _Page) -> None:
        self.wanted, self.known, self.page = wanted, known, page
        self.marks = known.marks
        self.ok = 0


class _Control:
    """A canary under way: what came of it, once `is_done`."""

    __slots__ = ("is_done", "marks", "name", "seen")

    def __init__(self, name: Key) -> None:
        self.name = name
        self.marks: dict[tuple[bytes, bytes], Mark] = {}  # No answer to a canary is known beforehand.
        self.is_done = False
        self.seen: Observation | None = None


_Entry = tuple[bytes, "_Tally | _Control", "_Flight"]


class _Flight:
    """Queries that left in one batch, for the `tries`th time, at `sent` (epoch seconds)."""

    __slots__ = ("deadline", "idents", "left", "page", "sent", "tries")

    def __init__(self, page: _Page | None, idents: Sequence[bytes], tries: int, deadline: float) -> None:
        self.page, self.idents, self.tries, self.deadline = page, idents, tries, deadline
        self.left = len(idents)
        self.sent = time.time()


@dataclass(slots=True)
class _Batch:
    """Queries to be sent, all of one page, or one canary (no page)."""

    page: _Page | None
    questions: Sequence[bytes]
    owners: Sequence[_Tally | _Control]
    tries: int = 1


@cache
def _ring() -> list[bytes]:
    """Every id there is, in an order that nobody can foresee; twice, so that a slice never ends early."""
    found = [number.to_bytes(2, "big") for number in range(65536)]
    SystemRandom().shuffle(found)
    return found + found[:BATCH]


class _Port:
    """One socket of a point: its own ids, and what it has under way."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.pending: dict[bytes, _Entry] = {}
        self.flights: deque[_Flight] = deque()
        self._at = secrets.randbelow(65536)

    def send(self, batch: _Batch, timeout: float) -> int:
        """Send what of the batch the system takes now; how many that is."""
        idents = _ring()[self._at : self._at + len(batch.questions)]
        self._at = (self._at + len(idents)) % 65536
        if not self.pending.keys().isdisjoint(idents):
            idents = [one for one in idents if one not in self.pending]
        messages = list(map(b"".join, zip(idents, repeat(HEAD), batch.questions, repeat(TAIL), strict=False)))
        count = self.channel.send(messages) if messages else 0
        if count:
            idents = idents[:count]
            flight = _Flight(batch.page, idents, batch.tries, time.monotonic() + timeout)
            self.flights.append(flight)
            entries = zip(batch.questions, batch.owners, repeat(flight), strict=False)
            self.pending.update(zip(idents, entries, strict=False))
        return count


@dataclass(slots=True)
class _Drawn:
    """At most `most` of all that were `seen`."""

    most: int
    seen: int = 0
    kept: list[Expectation] = field(default_factory=list)


class Lane:
    """One point being swept."""

    def __init__(
        self,
        questions: Questions,
        reader: Reader,
        *,
        canaries: Sequence[Key] = (),
        limits: Limits | None = None,
    ) -> None:
        point = questions.point
        self.swept = Swept(point=point.name)
        self._questions, self._reader, self._canaries = questions, reader, tuple(canaries)
        self._limits = limits or Limits()
        self._memory = Memory(Controls.PASS if canaries else Controls.NONE)
        self._ports: list[_Port] = []
        try:
            self._ports += (_Port(channel_of(connected(point.address, point.source))) for _ in range(_PORTS))
        except OSError as error:
            self.swept.trouble = error.strerror or str(error)
        self._turn = 0
        self._after: Key | None = names.ROOT
        self._next: deque[_Batch] = deque()
        self._open: deque[_Page] = deque()
        self._control: _Control | None = None
        self._silent = self._forgiven = self._unproven = self._sent = self._canary = 0
        self._odd, self._formed = _Drawn(_MOST_ODD), _Drawn(MOST_FORMED)
        self._began = time.monotonic()
        rate = self._limits.rate or 0.0
        self._burst = max(1.0, min(rate, max(BATCH, rate * _LOOK)))
        self._allowed_at, self._allowance = self._began, self._burst

    @property
    def handles(self) -> list[int]:
        """The file descriptors to wait on."""
        return [port.channel.sock.fileno() for port in self._ports]

    @property
    def is_done(self) -> bool:
        return bool(self.swept.trouble) or (self._after is None and not self._open)

    @property
    def _under_way(self) -> int:
        return sum(len(port.pending) for port in self._ports)

    @property
    def _refused(self) -> int:
        return sum(port.channel.refused for port in self._ports)

    def turn(self) -> float:
        """Take in what came, give up what is late, send what may leave; the seconds until more is to be done.

        Raises StoreError.
        """
        for port in self._ports:
            self._receive(port)
        now = time.monotonic()
        for port in self._ports:
            self._expire(port, now)
        self._settle()
        return _LOOK if self.is_done else self._fill(now)

    def close(self) -> Swept:
        """End it, with what was seen so far."""
        for port in self._ports:
            self.swept.dropped += dropped(port.channel.sock)
            port.channel.sock.close()
        if not self.is_done:
            self.swept.trouble = STOPPED
        for flight in (flight for port in self._ports for flight in port.flights):
            if flight.page is not None:
                flight.page.left -= len(flight.idents) - flight.left
        for page in self._open:
            self._count(page)
        self.swept.seconds = time.monotonic() - self._began
        self.swept.doubts = self._odd.kept + self._formed.kept
        self._ports, self._open = [], deque()
        return self.swept

    def _receive(self, port: _Port) -> None:
        pending, fine = port.pending, Mark.OK
        stray = 0
        while True:
            idents, bodies = port.channel.receive()
            for ident, body in zip(idents, bodies, strict=True):
                entry = pending.get(ident)
                if entry is None:
                    stray += 1
                    continue
                asked, owner, flight = entry
                head, _, tail = body.partition(asked)
                if owner.marks.get((head, tail)) is fine:
                    owner.ok += 1  # type: ignore[union-attr]  # a control has no marks
                    flight.left -= 1
                    del pending[ident]
                else:
                    self._read(port, ident, body)
            if idents:
                self._silent, self._forgiven = 0, self._refused
            if len(idents) < BATCH:
                break
        self.swept.stray += stray

    def _read(self, port: _Port, ident: bytes, body: bytes) -> None:
        """An answer that is not known by its octets, or not as a good one."""
        asked, owner, flight = port.pending[ident]
        head, _, tail = body.partition(asked)
        mark = owner.marks.get((head, tail))
        if mark is not None and isinstance(owner, _Tally):
            del port.pending[ident]
            flight.left -= 1
            self._doubt(owner, asked, mark)
            return
        name, qtype = names.from_wire(asked[:-4]), int.from_bytes(asked[-4:-2], "big")
        wire = ident + body
        try:
            reply = read(wire, ident=int.from_bytes(ident, "big"), name=name, qtype=qtype)
        except Mismatched:
            self.swept.mismatched += 1
            return
        except Malformed:
            self.swept.malformed += 1
            return
        del port.pending[ident]
        flight.left -= 1
        if reply.nsid:
            self.swept.instances.add(reply.nsid)
        seen = Observation(
            point=self.swept.point,
            name=name,
            qtype=qtype,
            sent=flight.sent,
            outcome=Outcome.ANSWERED,
            received=time.time(),
            reply=reply,
            arrivals=(Arrival(reply=reply, octets=wire, latency=0.0),),
        )
        if isinstance(owner, _Control):
            owner.seen, owner.is_done = seen, True
            return
        mark = owner.known.mark(owner.wanted, seen)
        if mark is Mark.OK:
            owner.ok += 1
        else:
            self._doubt(owner, asked, mark)

    def _doubt(self, owner: _Tally, asked: bytes, mark: Mark | None) -> None:
        owner.page.marks[mark] += 1
        owner.page.doubts.append((mark, asked, owner))

    def _expire(self, port: _Port, now: float) -> None:
        """Take flights that are over off the list; what they lost is sent again, or given up."""
        flights, pending = port.flights, port.pending
        while flights and (not flights[0].left or flights[0].deadline <= now):
            flight = flights.popleft()
            losers: list[tuple[bytes, _Tally | _Control]] = []
            if flight.left:
                for ident in flight.idents:
                    entry = pending.get(ident)
                    if entry is not None and entry[2] is flight:  # Else it is another query's by now.
                        del pending[ident]
                        losers.append(entry[:2])
            if flight.page is not None:
                flight.page.left -= len(flight.idents) - len(losers)
            if losers:
                self._lost(flight, losers)

    def _lost(self, flight: _Flight, losers: list[tuple[bytes, _Tally | _Control]]) -> None:
        if flight.tries < TRIES:
            questions, owners = zip(*losers, strict=True)
            # Before all others: else a silent point would be asked for a whole page before it is left.
            self._next.appendleft(_Batch(flight.page, questions, owners, flight.tries + 1))
            return
        self._silent += len(losers)
        for asked, owner in losers:
            if isinstance(owner, _Control):
                owner.seen, owner.is_done = _silence(self.swept.point, owner.name, flight.sent), True
            else:
                owner.page.left -= 1
                self._doubt(owner, asked, None)

    def _settle(self) -> None:
        """Count the pages that are complete, in order, and leave a point that has nothing to say."""
        while self._open and self._is_complete(self._open[0]):
            self._count(self._open.popleft())
        if self._refused - self._forgiven >= _REFUSED:
            self._give_up("nothing listens there")
        if self._silent >= min(_SILENT, self._limits.window * TRIES):
            self._give_up("the point is silent")
        if self._unproven >= _UNPROVEN:
            self._give_up("its controls fail")
        for port in self._ports:
            if port.channel.trouble:
                self._give_up(port.channel.trouble)

    @staticmethod
    def _is_complete(page: _Page) -> bool:
        controls = [one for one in (page.before, page.after) if one is not None]
        return not page.left and all(one.is_done for one in controls)

    def _count(self, page: _Page) -> None:
        """Take the page's figures over."""
        swept = self.swept
        done = len(page.page.names) - page.left
        swept.asked += page.asked
        swept.unanswered += page.asked - done
        with self._reader.snapshot() as policy:
            holds = page.page.holds(policy.stamp, time.time())
        controls = [one.seen for one in (page.before, page.after) if one is not None and one.seen is not None]
        is_proven = not self._canaries or (len(controls) == 2 and controls_of(controls) is Controls.PASS)
        self._unproven = 0 if is_proven else self._unproven + 1
        if not holds:
            swept.void += done
        elif not is_proven:
            swept.unproven += done
        else:
            for tally in page.tallies:
                if tally.ok:
                    swept.by_ref[tally.wanted.ref] += tally.ok
                    swept.ok += tally.ok
            swept.formed += page.marks[Mark.FORMED]
            swept.odd += page.marks[Mark.ODD]
            swept.void += page.marks[Mark.VOID]
            swept.lost += page.marks[None]
            for mark, asked, owner in page.doubts:
                if mark is not Mark.VOID:
                    self._keep(owner.wanted, asked, self._formed if mark is Mark.FORMED else self._odd)

    @staticmethod
    def _keep(wanted: Expectation, asked: bytes, drawn: _Drawn) -> None:
        """Keep some of the doubts, each as likely as any other."""
        drawn.seen += 1
        at = len(drawn.kept) if len(drawn.kept) < drawn.most else secrets.randbelow(drawn.seen)
        if at < drawn.most:
            drawn.kept[at : at + 1] = [replace(wanted, name=names.from_wire(asked[:-4]))]

    def _fill(self, now: float) -> float:
        """Send what may leave; the seconds until there is more to do."""
        limits = self._limits
        room = limits.window - self._under_way
        while self._next or self._prepare():
            if not self._next:  # Nothing of that page is in force here.
                return 0.0
            batch = self._next[0]
            if room < min(len(batch.questions), BATCH // 2, limits.window):
                break
            allowed = self._allowed(now)
            if limits.most is not None:
                allowed = min(allowed, limits.most - self._sent)
                if not allowed and limits.most == self._sent:
                    self._give_up("the budget is spent")
                    break
            if allowed < 1:
                return min(_LOOK, 1 / (limits.rate or 1.0))
            sent = self._send(batch, min(room, allowed, BATCH))
            if not sent:
                return _FULL
            room -= sent
        due = [port.flights[0].deadline - now for port in self._ports if port.flights]
        return max(0.0, min([_LOOK, *due]))

    def _send(self, batch: _Batch, most: int) -> int:
        """Send the first of the batch; how many left."""
        self._turn += 1
        part = _Batch(batch.page, batch.questions[:most], batch.owners[:most], batch.tries)
        sent = self._ports[self._turn % _PORTS].send(part, self._limits.timeout)
        batch.questions, batch.owners = batch.questions[sent:], batch.owners[sent:]
        if not batch.questions:
            self._next.popleft()
        self._sent += sent
        if self._limits.rate is not None:
            self._allowance -= sent
        if batch.tries > 1:
            self.swept.retried += sent
        elif batch.page is not None:
            batch.page.asked += sent
        else:
            self.swept.controls += sent
        return sent

    def _allowed(self, now: float) -> int:
        """How many queries may leave now, as far as the rate goes."""
        rate = self._limits.rate
        if rate is None:
            return BATCH
        self._allowance = min(self._burst, self._allowance + (now - self._allowed_at) * rate)
        self._allowed_at = now
        return int(self._allowance)

    def _give_up(self, trouble: str) -> None:
        self.swept.trouble = self.swept.trouble or trouble

    def _prepare(self) -> bool:
        """Put the next page's queries in the queue, and the control that goes before them or after all."""
        if self._after is None or len(self._open) >= _MOST_OPEN:
            return False
        rate = self._limits.rate
        limit = PAGE if rate is None else max(BATCH, min(PAGE, int(rate * _PAGE_SECONDS)))
        with self._reader.snapshot() as policy:
            page = self._questions.page(policy, time.time(), self._after, limit)
        self._after = page.after
        self.swept.read += page.read
        if page.names:
            self._put(page)
        return True

    def _put(self, page: Page) -> None:
        before = self._open_control() if self._control is None else self._control
        opened = _Page(page, before)
        sorts = {id(wanted): wanted for wanted in page.wanted}
        tallies = {
            at: _Tally(wanted, self._memory.of(wanted, page.forged), opened) for at, wanted in sorts.items()
        }
        opened.tallies += tallies.values()
        owners = list(map(tallies.__getitem__, map(id, page.wanted)))
        questions = [
            question(name, wanted.qtype) for name, wanted in zip(page.names, page.wanted, strict=True)
        ]
        self._next += (
            _Batch(opened, questions[at : at + BATCH], owners[at : at + BATCH])
            for at in range(0, len(questions), BATCH)
        )
        self._open.append(opened)
        self._control = opened.after = self._open_control()

    def _open_control(self) -> _Control | None:
        """A canary in the queue; None if the site has none."""
        if not self._canaries:
            return None
        self._canary += 1
        control = _Control(self._canaries[self._canary % len(self._canaries)])
        self._next.append(_Batch(None, [question(control.name, A)], [control]))
        return control


def run(
    lanes: Sequence[Lane],
    *,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[Sequence[Swept]], None] = lambda _: None,
) -> list[Swept]:
    """Sweep the points side by side until all is asked or `stop()`; what came of each.

    `told` is called now and then with what was seen so far. Raises StoreError.
    """
    poll = select.poll()
    for lane in lanes:
        for handle in lane.handles:
            poll.register(handle, select.POLLIN)
    tell_at = 0.0
    try:
        active = list(lanes)
        while active and not stop():
            wait = min([lane.turn() for lane in active])
            for lane in [one for one in active if one.is_done]:
                active.remove(lane)
                for handle in lane.handles:
                    poll.unregister(handle)
            if tell_at <= (now := time.monotonic()):
                tell_at = now + _TOLD
                told([lane.swept for lane in lanes])
            if active and wait:
                poll.poll(wait * 1000)
    finally:
        done = [lane.close() for lane in lanes]
    told(done)
    return done


def _silence(point: str, name: Key, sent: float) -> Observation:
    """A canary that was never answered."""
    return Observation(point=point, name=name, qtype=A, sent=sent, outcome=Outcome.SILENT)
