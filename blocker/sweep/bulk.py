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

import select
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from blocker import names
from blocker.prober.judge import Controls, controls_of
from blocker.prober.observe import A, Arrival, Malformed, Mismatched, Observation, Outcome, read
from blocker.sweep.datagrams import BATCH, channel_of, connected, dropped
from blocker.sweep.flights import Batch, Control, Drawn, Flight, Opened, Port, Tally
from blocker.sweep.pages import PAGE
from blocker.sweep.peek import Mark, Memory, question
from blocker.sweep.swept import STOPPED, Limits, Swept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.names import Key
    from blocker.policy.reader import Reader
    from blocker.prober.profile import Profile
    from blocker.site import Point
    from blocker.sweep.pages import Page, Source

TRIES = 3

_PORTS = 4
_SILENT = 512  # names in a row without any answer after which a point is left
_REFUSED = 64  # messages that nobody listens, without any answer, likewise
_UNPROVEN = 3  # pages in a row whose controls fail, likewise
_LOOK = 0.05  # seconds between two looks at what is due, at most
_TOLD = 0.1  # seconds between two reports of progress
_FULL = 0.005  # seconds to wait where the system takes nothing for now
_MOST_OPEN = 128  # pages under way: one lost datagram keeps its page open for all its tries
_PAGE_SECONDS = 2  # of a slow sweep's page: controls are to be near what they vouch for
_MOST_READ = 16  # batches read from one socket in a row: who floods us must not hold us
_MOST_ODD = 400
MOST_FORMED = 100


class Questions(Protocol):
    """What is asked of a point: a Sweep, or a Sample of one."""

    @property
    def point(self) -> Point: ...

    def page(self, policy: Source, t: float, after: Key = ..., limit: int = ...) -> Page:
        """As of Sweep."""


class Lane:
    """One point being swept."""

    def __init__(
        self,
        questions: Questions,
        reader: Reader,
        *,
        canaries: Sequence[Key] = (),
        profile: Profile | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`profile` is what the point's blocks look like, if that is known."""
        point = questions.point
        self.swept = Swept(point=point.name)
        self._questions, self._reader, self._canaries = questions, reader, tuple(canaries)
        self._limits = limits or Limits()
        self._memory = Memory(Controls.PASS if canaries else Controls.NONE, profile)
        self._ports: list[Port] = []
        try:
            self._ports += (Port(channel_of(connected(point.address, point.source))) for _ in range(_PORTS))
        except OSError as error:
            self.swept.trouble = error.strerror or str(error)
        self._turn = 0
        self._after: Key | None = names.ROOT
        self._next: deque[Batch] = deque()
        self._open: deque[Opened] = deque()
        self._control: Control | None = None
        self._silent = self._forgiven = self._unproven = self._sent = self._canary = 0
        self._odd, self._formed = Drawn(_MOST_ODD), Drawn(MOST_FORMED)
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
        self.swept.doubts, self.swept.samples = self._odd.kept, self._formed.kept
        self._ports, self._open = [], deque()
        return self.swept

    def _receive(self, port: Port) -> None:
        pending, fine = port.pending, Mark.OK
        stray = 0
        for _ in range(_MOST_READ):
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

    def _read(self, port: Port, ident: bytes, body: bytes) -> None:
        """An answer that is not known by its octets, or not as a good one."""
        asked, owner, flight = port.pending[ident]
        head, _, tail = body.partition(asked)
        mark = owner.marks.get((head, tail))
        if mark is not None and isinstance(owner, Tally):
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
        if isinstance(owner, Control):
            owner.seen, owner.is_done = seen, True
            return
        mark = owner.known.mark(owner.wanted, seen)
        if mark is Mark.OK:
            owner.ok += 1
        else:
            self._doubt(owner, asked, mark)

    def _doubt(self, owner: Tally, asked: bytes, mark: Mark | None) -> None:
        owner.page.marks[mark] += 1
        owner.page.doubts.append((mark, asked, owner))

    def _expire(self, port: Port, now: float) -> None:
        """Take flights that are over off the list; what they lost is sent again, or given up."""
        flights, pending = port.flights, port.pending
        while flights and (not flights[0].left or flights[0].deadline <= now):
            flight = flights.popleft()
            losers: list[tuple[bytes, Tally | Control]] = []
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

    def _lost(self, flight: Flight, losers: list[tuple[bytes, Tally | Control]]) -> None:
        if flight.tries < TRIES:
            questions, owners = zip(*losers, strict=True)
            # Before all others: else a silent point would be asked for a whole page before it is left.
            self._next.appendleft(Batch(flight.page, questions, owners, flight.tries + 1))
            return
        self._silent += len(losers)
        for asked, owner in losers:
            if isinstance(owner, Control):
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
    def _is_complete(page: Opened) -> bool:
        controls = [one for one in (page.before, page.after) if one is not None]
        return not page.left and all(one.is_done for one in controls)

    def _count(self, page: Opened) -> None:
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
                    swept.ok_of[tally.wanted.order] += tally.ok
                    swept.ok += tally.ok
            swept.formed += page.marks[Mark.FORMED]
            swept.odd += page.marks[Mark.ODD]
            swept.void += page.marks[Mark.VOID]
            swept.lost += page.marks[None]
            for mark, asked, owner in page.doubts:
                if mark is Mark.FORMED:
                    swept.formed_of[owner.wanted.order] += 1
                    self._formed.take(owner.wanted, asked)
                elif mark is not Mark.VOID:
                    self._odd.take(owner.wanted, asked)

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

    def _send(self, batch: Batch, most: int) -> int:
        """Send the first of the batch; how many left."""
        self._turn += 1
        part = Batch(batch.page, batch.questions[:most], batch.owners[:most], batch.tries)
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
        opened = Opened(page, before)
        sorts = {id(wanted): wanted for wanted in page.wanted}
        tallies = {
            at: Tally(wanted, self._memory.of(wanted, page.forged), opened) for at, wanted in sorts.items()
        }
        opened.tallies += tallies.values()
        owners = list(map(tallies.__getitem__, map(id, page.wanted)))
        questions = [
            question(name, wanted.qtype) for name, wanted in zip(page.names, page.wanted, strict=True)
        ]
        self._next += (
            Batch(opened, questions[at : at + BATCH], owners[at : at + BATCH])
            for at in range(0, len(questions), BATCH)
        )
        self._open.append(opened)
        self._control = opened.after = self._open_control()

    def _open_control(self) -> Control | None:
        """A canary in the queue; None if the site has none."""
        if not self._canaries:
            return None
        self._canary += 1
        control = Control(self._canaries[self._canary % len(self._canaries)])
        self._next.append(Batch(None, [question(control.name, A)], [control]))
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
