"""The policy inside Unbound: a script for its Python module, named by `python-script:`.

Four functions, thin over `decide`, for one region; ops/docs/unbound.md says how to install it. The contract:

- must: a blocked name, and an alias chain up to its first blocked owner, get the answer of the embedded
  resolver: form, SOA, TTL, EDE 16. No such answer is kept in Unbound's cache: a lift shows at the next query.
- must: what passes and has a coming start in its chain leaves the cache before it. Unbound answers from its
  cache without asking us, so what it stored is taken back and stored anew with lower TTLs. A start that
  nobody may learn of bounds the kept message alone: the TTLs that clients see say nothing.
- must: Unbound's own queries (addresses of name servers, keys) are never answered by us, for it needs them on
  its way to names that are free; what they leave in the cache is taken back where it is blocked.
- must: no fault takes resolution down. What can't be decided passes, is kept for a second at most, counted,
  and logged once a minute. What was decided is blocked, at worst by a bare rcode.
- must: a configuration under which the policy can't hold is refused, by not letting Unbound start.
- may: a zone of the same policy (RPZ) stands beside it and answers first. Those answers get their EDE here.

BLOCKER_STATE is the folder of the policy store, BLOCKER_REGION the region whose orders hold here. The file
finds the environment it was installed in by its own place: the site-packages that hold it or the .venv of its
checkout; PYTHONPATH may name another.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if __name__ == "__main__":  # Unbound runs this file in an interpreter that knows of no environment.
    import importlib.util
    import site

    _root = Path(__file__).resolve().parents[2]
    _python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    _own = _root if _root.name == "site-packages" else _root / ".venv" / "lib" / _python / "site-packages"
    sys.path[:0] = [str(_root), str(_own)]  # Before the system's own packages, which may be older.
    site.addsitedir(str(_own))
    if not all(map(importlib.util.find_spec, ("dnslib", "idna", "lmdb"))):
        raise ImportError(
            f"{_own} is no environment of the toolkit for the {_python} that Unbound has in it: "
            f"make one (PYTHON=/usr/bin/{_python} ops/install), or name it in PYTHONPATH"
        )

import lmdb

from blocker import names
from blocker.errors import StoreError
from blocker.journal import kind
from blocker.orders.model import Form
from blocker.orders.timetable import boundaries
from blocker.plugins import unboundconf, unboundmsg
from blocker.policy.decide import Decider, Verdict, cap, path_of, steady
from blocker.resolver import answer, chain, wire
from blocker.resolver.judge import Judged, judge
from blocker.resolver.live import LivePolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocker.names import Key
    from blocker.policy.decide import NamePath
    from blocker.policy.store import Snapshot

_LOG_EVERY = 60.0
_UNDECIDED = 1  # seconds; with 0 a store that can't be read would send every query on to others
_MOST_SHAPES = 4096
_NO_SHAPE = (0.0, None)
_KEPT = (wire.NOERROR, wire.NXDOMAIN)


class Asked(NamedTuple):
    """One query of Unbound's mesh. `qname` in wire form and lower case; `path` and `verdict` are those of it.

    `qstate` is Unbound's own, a pointer behind which Python sees no types, and where every look costs half a
    microsecond.
    """

    qstate: Any
    policy: Snapshot
    t: float
    qname: bytes
    qtype: int
    path: NamePath
    verdict: Verdict

    @property
    def is_client(self) -> bool:
        """Whether somebody waits for it, besides Unbound itself."""
        return self.qstate.mesh_info.reply_list is not None


class Guest:
    """The policy of one region in this Unbound; `max_ttl` is Unbound's own cap on what it takes in."""

    def __init__(self, ub: Any, state: Path, region: str, max_ttl: int) -> None:
        self._ub = ub
        self._region = region
        self._max_ttl = max_ttl
        self._live = LivePolicy(state, beat=lambda: None)
        self._decider = Decider()
        # By path, not by name: memos of many names would cost more than they save, for Python's collector
        # walks them again and again.
        self._shapes: dict[tuple[NamePath, int], tuple[float, unboundmsg.Shape]] = {}
        self._epoch = -1
        self._next: int | None = None  # the next transition of the whole policy
        self._turn = threading.Lock()  # Decider and snapshot belong to one query at a time.
        self._stamp = -1
        self._failures = 0
        self._silent_till = 0.0

    def check(self) -> None:
        """Read the policy before anybody asks. Raises ConfigRefused if it knows no such region."""
        try:
            with self._live.snapshot() as policy:
                known = policy.enforcement.regions
        except Exception as error:  # noqa: BLE001 - the contract: a fault of the store takes nothing down
            self.failed(error)
            return
        if self._region not in known:
            regions = ", ".join(known) or "none"
            raise unboundconf.ConfigRefused(
                f"BLOCKER_REGION is {self._region!r}, which is not among the site's regions ({regions})"
            )

    def operate(self, event: int, qstate: Any) -> int:
        """What Unbound shall do next with the query, after the policy was asked."""
        ub = self._ub
        is_new = event in (ub.MODULE_EVENT_NEW, ub.MODULE_EVENT_PASS)
        if not is_new and event != ub.MODULE_EVENT_MODDONE:
            return int(ub.MODULE_ERROR)
        is_finished = not is_new
        try:
            qinfo = qstate.qinfo
            if (
                qinfo.qclass == wire.ANY
            ):  # As the embedded resolver does: no lookup of anybody's, and no way around.
                qstate.return_msg, qstate.return_rcode = None, wire.REFUSED
                is_finished = True
            elif qinfo.qclass == wire.IN:
                with self._turn, self._live.snapshot() as policy:
                    asked = self._asked(policy, qstate, qinfo)
                    if is_new:
                        is_finished = self._begin(asked)
                    else:
                        self._end(asked)
        except Exception as error:  # noqa: BLE001 - the contract: no fault takes resolution down
            self.failed(error)
            if is_finished:
                self._doubt(qstate)
        return int(ub.MODULE_FINISHED if is_finished else ub.MODULE_WAIT_MODULE)

    def _doubt(self, qstate: Any) -> None:
        """What passes undecided is kept for a moment alone: enough for the names that everybody asks for."""
        try:
            message = qstate.return_msg
            if message is not None:
                unboundmsg.take_back(self._ub, qstate, message)
                unboundmsg.lower(message.rep, _UNDECIDED)
                if message.rep.ttl > 0 and not qstate.no_cache_store:
                    unboundmsg.keep(self._ub, qstate, message, _UNDECIDED)
        except Exception as error:  # noqa: BLE001 - as above
            self.failed(error)

    def decorate(self, qinfo: Any, rep: Any, rcode: int, options: Any, region: Any) -> None:
        """Give an answer of a zone beside us its EDE, if the policy blocks the name and the answer does, too.

        Of whatever type: a zone denies DS and DNSKEY where the policy lets them pass. Data of the operator's
        own for a name that is ordered to be blocked is no order's doing.
        """
        try:
            with self._turn, self._live.snapshot() as policy:
                verdict = self._decide(policy, names.from_wire(bytes(qinfo.qname)), time.time())
                if not verdict.is_blocked:
                    return
                said = _said(verdict, policy, qinfo.qtype, 0)
                if rcode & 0xF or unboundmsg.is_said(rep, said, qinfo.qtype):
                    unboundmsg.explain(self._ub, unboundmsg.edes(said, qinfo.qtype), options, region)
        except Exception as error:  # noqa: BLE001 - as above
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Count a fault, and log it unless one was logged a moment ago."""
        self._failures += 1
        if isinstance(error, StoreError | lmdb.Error | OSError):
            with self._turn:
                self._live.failed()
        why = str(error) if isinstance(error, StoreError) else kind(error)
        self._complain(f"{self._failures} times passed what could not be decided: {why}")

    def _complain(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._silent_till:
            self._silent_till = now + _LOG_EVERY
            self._ub.log_err(f"blocker: {' '.join(text.split())}")

    def close(self) -> None:
        """Let the store go."""
        self._live.close()

    def _asked(self, policy: Snapshot, qstate: Any, qinfo: Any) -> Asked:
        """The query, after everything was forgotten that holds no longer."""
        t = time.time()
        epoch = self._decider.refresh(policy, t)
        if epoch != self._epoch:
            self._epoch = epoch
            self._shapes.clear()
            self._next = next(iter(boundaries(policy.directives.values(), after=t)), None)
        if policy.stamp != self._stamp:
            self._stamp = policy.stamp
            number = policy.generation.number
            self._ub.log_info(f"blocker: generation {number} is enforced for {self._region}")
        if self._live.trouble:
            self._complain(self._live.trouble)
        qname = bytes(qinfo.qname).lower()
        path = path_of(policy, names.from_wire(qname))
        verdict = self._decider.along(policy, path, self._region, t)
        return Asked(qstate, policy, t, qname, qinfo.qtype, path, verdict)

    def _decide(self, policy: Snapshot, key: Key, t: float, exempt: frozenset[str] = frozenset()) -> Verdict:
        return self._decider.decide(policy, key, self._region, t, exempt=exempt)

    def _begin(self, asked: Asked) -> bool:
        """Answer what is blocked without asking anybody; whether that was so."""
        if asked.verdict.form_for(asked.qtype) is None or not asked.is_client:
            return False
        try:
            till, shape = self._shapes.get((asked.path, asked.qtype), _NO_SHAPE)
            if shape is None or asked.t >= till:
                shape = self._shape_of(asked)
            unboundmsg.give(self._ub, asked.qstate, (asked.qname, asked.qtype), shape)
        except Exception as error:  # noqa: BLE001 - the contract: what was decided is blocked
            self._give_bare(asked, asked.verdict, error)
        return True

    def _shape_of(self, asked: Asked) -> unboundmsg.Shape:
        """The answer to all blocked names of this path, for as long as its TTL stays what it is."""
        verdict, policy = asked.verdict, asked.policy
        shape = unboundmsg.shape(_said(verdict, policy, asked.qtype, asked.t), asked.qtype)
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        till = steady(verdict.until, policy.enforcement.ttl, asked.t)
        self._shapes[asked.path, asked.qtype] = (till, shape)
        return shape

    def _end(self, asked: Asked) -> None:
        """Judge what was found, of which Unbound has already kept a copy."""
        message = asked.qstate.return_msg
        first = asked.verdict
        if first.form_for(asked.qtype) is not None:  # It began while others were asked.
            self._refuse(asked, (asked.qname,), first)
            return
        if message is None:
            return
        rep = message.rep
        try:
            received = unboundmsg.received(self._ub, rep, asked.qname, asked.qtype)
        except wire.Malformed:
            self._refuse(asked, (asked.qname,), None)
            return
        judged = Judged(until=first.until) if received is None else self._judged(asked, received)
        owners = (asked.qname,) if received is None else received.owners
        if judged.is_unusable:
            self._refuse(asked, owners, None)
        elif received is not None and judged.verdict is not None:
            links = tuple(link for step in received.links[: judged.at] for link in step)
            verdict = replace(judged.verdict, until=judged.until)
            self._refuse(asked, owners, verdict, links, owners[judged.at])
        elif rep.flags & 0xF in _KEPT:
            self._shorten(asked, message, rep, judged.until, owners)

    def _judged(self, asked: Asked, received: chain.Chain) -> Judged:
        def decide(key: Key, exempt: frozenset[str] = frozenset()) -> Verdict:
            return self._decide(asked.policy, key, asked.t, exempt)

        return judge(received, asked.qtype, asked.verdict, decide)

    def _refuse(
        self,
        asked: Asked,
        owners: Sequence[bytes],
        verdict: Verdict | None,
        links: tuple[chain.Link, ...] = (),
        owner: bytes = b"",
    ) -> None:
        """Nothing of what was found stays or is shown: the blocked answer, without a verdict SERVFAIL.

        `links` lead to the blocked `owner`, if that is not the name that was asked for.
        """
        try:
            self._withdraw(asked, owners, links)
            if verdict is None or not asked.is_client:
                self._give_bare(asked, None)
                return
            most = cap(verdict.until, asked.policy.enforcement.max_ttl, asked.t)
            unboundmsg.give(
                self._ub,
                asked.qstate,
                (asked.qname, asked.qtype),
                unboundmsg.shape(_said(verdict, asked.policy, asked.qtype, asked.t), asked.qtype),
                links=[replace(link, ttl=min(link.ttl, most)) for link in links],
                owner=owner,
            )
        except Exception as error:  # noqa: BLE001 - the contract: what was decided is blocked
            self._give_bare(asked, verdict, error)

    def _withdraw(self, asked: Asked, owners: Sequence[bytes], links: tuple[chain.Link, ...]) -> None:
        """Take what was found out of Unbound's cache, but for these links."""
        ub, qstate, message = self._ub, asked.qstate, asked.qstate.return_msg
        if message is not None:  # With its records: found anew, they would revive other aliases of theirs.
            unboundmsg.take_back(ub, qstate, message)
            if links:
                unboundmsg.keep_links(ub, qstate, message, links)
        unboundmsg.forget(ub, qstate, owners, asked.qtype)

    def _give_bare(self, asked: Asked, verdict: Verdict | None, error: Exception | None = None) -> None:
        """The rcode alone, SERVFAIL where that says nothing; to Unbound itself what it found."""
        if error is not None:
            self._complain(f"a blocked answer went out without its reason: {kind(error)}")
        if asked.is_client:
            form = verdict.form_for(asked.qtype) if verdict is not None else None
            rcode = answer.RCODES[form] if form is not None else wire.SERVFAIL
            asked.qstate.return_msg, asked.qstate.return_rcode = None, rcode or wire.SERVFAIL

    def _shorten(
        self, asked: Asked, message: Any, rep: Any, until: int | None, owners: Sequence[bytes]
    ) -> None:
        """See to it that nothing of a passing answer is kept or shown for longer than its verdict holds."""
        ub, qstate = self._ub, asked.qstate
        most = cap(until, asked.policy.enforcement.max_ttl, asked.t)
        kept = min(most, self._unseen(asked, owners))
        # Where Unbound caps by itself, an answer without a coming start needs no look at its records.
        is_long = (until is not None or self._max_ttl > most) and unboundmsg.longest(rep) > most
        if not is_long and rep.ttl <= kept and (len(owners) == 1 or unboundmsg.longest(rep) <= kept):
            return
        is_kept = rep.ttl > 0 and not qstate.no_cache_store
        if is_long:
            if is_kept:  # Taken back with its records: Unbound would keep the longer TTL of equal ones.
                unboundmsg.take_back(ub, qstate, message)
            unboundmsg.lower(rep, most)
        # Under the name that an alias leads to Unbound keeps what it found, too.
        unboundmsg.forget(ub, qstate, owners[1:] if kept else owners, asked.qtype)
        if is_kept and kept:
            unboundmsg.keep(ub, qstate, message, kept)

    def _unseen(self, asked: Asked, owners: Sequence[bytes]) -> int:
        """For how many seconds nothing starts that nobody may learn of.

        Names that no order speaks of have no such start; others are looked at again at the next transition.
        """
        below = (path_of(asked.policy, names.from_wire(owner))[0] for owner in owners[1:])
        if not asked.path[0] and not any(below):
            return chain.LONGEST
        return cap(self._next, chain.LONGEST, asked.t)


def _said(verdict: Verdict, policy: Snapshot, qtype: int, t: float) -> answer.Block:
    """How to say that a name with this verdict is blocked."""
    enforcement = policy.enforcement
    return answer.Block(
        form=verdict.form_for(qtype) or Form.NODATA,
        addresses=verdict.action.addresses if verdict.action is not None else (),
        ttl=cap(verdict.until, enforcement.ttl, t),
        text=answer.reason(verdict, enforcement.info_url),
    )


_guests: list[Guest] = []


def init_standard(number: int, env: Any) -> bool:
    """Unbound starts: its configuration and ours are checked, the policy is read."""
    import unboundmodule as ub  # type: ignore[import-not-found]  # noqa: PLC0415 - exists within Unbound alone

    settings = unboundconf.read(Path("/proc/self/cmdline").read_bytes(), env.cfg)
    for warning in unboundconf.check(settings):
        ub.log_warn(f"blocker: {warning}")
    state, region = (os.environ.get(f"BLOCKER_{name}", "") for name in ("STATE", "REGION"))
    if not state or not region:
        raise unboundconf.ConfigRefused("Unbound's environment needs BLOCKER_STATE and BLOCKER_REGION")
    guest = Guest(ub, Path(state), region, env.cfg.max_ttl)
    guest.check()
    _guests.append(guest)

    def decorate(
        qinfo: Any, _state: Any, rep: Any, rcode: int, _edns: Any, options: Any, region: Any, **_: Any
    ) -> bool:
        guest.decorate(qinfo, rep, rcode, options, region)
        return True

    return bool(ub.register_inplace_cb_reply_local(decorate, env, number))


def deinit(_number: int) -> bool:
    """Unbound ends."""
    while _guests:
        _guests.pop().close()
    return True


def inform_super(_number: int, _qstate: Any, _super: Any, _data: Any) -> bool:
    """A query of ours has ended; we make none."""
    return True


def operate(number: int, event: int, qstate: Any, _data: Any) -> bool:
    """A query came, or what others found for it."""
    qstate.set_ext_state(number, _guests[0].operate(event, qstate))
    return True
