"""Which of the packets that came for one query the point did not send.

Pure. It takes the packets of a capture and the observations made meanwhile, and tells duplicates,
contradictions and injections apart. The rules:

- The controls around a probe show what the point's own packets look like: the IP TTL they have left, the
  NSID, the size in their OPT record, whether their IP ID is used. A *sign* is a difference from that.
- Content alone never makes an injection: a contradiction needs a sign that tells its answers apart.
- An answer of another instance of an anycast point takes another way: its IP TTL is no sign.
- Octets that are the same are one answer that the network doubled, whatever way they took.
- A single answer with a sign is a *suspect*: what it would contradict may have been kept from us.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from blocker.prober.observe import Malformed, Mismatched, Transport, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blocker.prober.observe import Observation, Reply
    from blocker.site import Endpoint

_RESET, _SYN = 0x04, 0x02  # RFC 9293 §3.1
_LENGTH = 2  # octets before each message over TCP: RFC 1035 §4.2.2
_HALF = 1 << 31  # of the space of TCP sequence numbers


class Checksum(StrEnum):
    """What a packet's UDP or TCP checksum is worth."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"  # Over IPv4 a UDP sender may leave it out: RFC 768.
    PENDING = "pending"  # Left to the network card, which a packet on loopback never meets.


class Verdict(StrEnum):
    """What the packets for one query are together."""

    UNSEEN = "unseen"  # The query is not among the packets, so that they say nothing.
    SILENT = "silent"
    SINGLE = "single"
    SUSPECT = "suspect"
    DUPLICATES = "duplicates"
    CONTRADICTION = "contradiction"
    INJECTED = "injected"


CLEAN = frozenset({Verdict.SILENT, Verdict.SINGLE, Verdict.DUPLICATES})

SIGNS: dict[str, str] = {
    "ip-ttl": "Its IP TTL is one that no answer to a control had.",
    "ip-ttls-differ": "The answers to one query have different IP TTLs, and no control was answered.",
    "checksum": "Its UDP or TCP checksum is wrong: no operating system sends that.",
    "no-nsid": "It does not name its instance, as answers to controls do.",
    "no-edns": "It has no OPT record, as answers to controls have.",
    "edns-size": "Its OPT record has another size than those of answers to controls.",
    "attribution": "It has no Extended DNS Error 16, and another answer to the same query has.",
    "tcp-overlap": "It takes the place of other octets of the same TCP stream.",
    "tcp-reset": "A TCP reset has an IP TTL that no other packet of its connection had.",
    "ip-id": "Its IP ID is zero where those of controls are not, or the other way round.",
    "first": "It came before an answer that contradicts it: forgers must win the race.",
    "stray": "It has the point's address and our port, and does not answer the query.",
}
_WEAK = frozenset({"ip-id", "first", "stray"})  # They accompany others, and prove nothing by themselves.
_ALONE = frozenset({"ip-ttl", "checksum", "tcp-overlap"})  # They make a suspect of a single answer.


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet of a capture: `at` in epoch seconds, the IP TTL (hop limit) it had left, its IPv4 ID.

    `sequence` and `flags` are TCP's.
    """

    at: float
    source: Endpoint
    target: Endpoint
    transport: Transport
    ip_ttl: int
    ip_id: int | None = None
    checksum: Checksum = Checksum.RIGHT
    payload: bytes = b""
    sequence: int = 0
    flags: int = 0

    @property
    def is_reset(self) -> bool:
        return self.transport is Transport.TCP and bool(self.flags & _RESET)

    @property
    def opens(self) -> bool:
        """Whether it asks for a connection."""
        return self.transport is Transport.TCP and self.flags & 0x12 == _SYN


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One difference from what the point's packets look like: an id of SIGNS, and a sentence.

    `answer` is the place of the answer that has it, from 0; None: it is one of them all.
    """

    id: str
    sentence: str
    answer: int | None = None

    def __post_init__(self) -> None:
        if self.id not in SIGNS:
            raise ValueError(f"{self.id!r} is no sign")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One message that came for the query. `reply` is None if it does not answer it."""

    packet: Packet
    octets: bytes
    reply: Reply | None
    is_overlapping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What came for one query. `query` is the packet that carried it."""

    verdict: Verdict
    query: Packet | None = None
    answers: tuple[Answer, ...] = ()
    signs: tuple[Sign, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """What the point's own answers look like, by the answers to controls."""

    ttls: frozenset[int] = frozenset()
    instances: frozenset[bytes] = frozenset()
    sizes: frozenset[int | None] = frozenset()
    uses_ids: frozenset[bool] = frozenset()


def ours(packets: Iterable[Packet], observations: Iterable[Observation], point: Endpoint) -> set[Endpoint]:
    """The addresses and ports that our queries to the point left from.

    Others on this machine may ask the same point, and whom they ask for is no business of ours. Encrypted
    queries can't be found by their octets: there it is every connection that was opened to the point.
    """
    kept = list(packets)
    found = set()
    for one in observations:
        if one.variant.transport in (Transport.DOT, Transport.DOH):
            found |= {packet.source for packet in kept if packet.target == point and packet.opens}
        elif (asked := _query(kept, one, point)) is not None:
            found.add(asked.source)
    return found


def analyse(
    packets: Sequence[Packet],
    observation: Observation,
    controls: Iterable[Observation],
    point: Endpoint,
) -> Analysis:
    """What came for the observation's query; `point` is the address and port it was sent to."""
    asked = _query(packets, observation, point)
    if asked is None:
        return Analysis(verdict=Verdict.UNSEEN)
    came = [one for one in packets if one.source == point and one.target == asked.source]
    answers = _answers(came, observation)
    own = _own(
        answer
        for control in controls
        if (sent := _query(packets, control, point)) is not None
        for answer in _answers(
            [one for one in packets if one.source == point and one.target == sent.source], control
        )
    )
    signs = [sign for place, one in enumerate(answers) for sign in _signs(place, one, own)]
    signs += _between(answers, observation.qtype, own)
    signs += _resets(came)
    return Analysis(
        verdict=_verdict(answers, observation.qtype, signs),
        query=asked,
        answers=tuple(answers),
        signs=tuple(signs),
    )


def _query(packets: Iterable[Packet], one: Observation, point: Endpoint) -> Packet | None:
    """The packet that carried the query. Its id is random, so that no other query has these octets."""
    to_point = (packet for packet in packets if packet.target == point)
    return next((packet for packet in to_point if one.query and one.query in packet.payload), None)


def _answers(came: Sequence[Packet], observation: Observation) -> list[Answer]:
    """Every message that came, in the order of their arrival."""
    found = []
    for packet, octets, is_overlapping in (*_datagrams(came), *_messages(came)):
        ident = int.from_bytes(observation.query[:2], "big")
        try:
            reply = read(octets, ident=ident, name=observation.name, qtype=observation.qtype)
        except (Malformed, Mismatched):
            reply = None
        found.append(Answer(packet=packet, octets=octets, reply=reply, is_overlapping=is_overlapping))
    return sorted(found, key=lambda one: one.packet.at)


def _datagrams(came: Iterable[Packet]) -> list[tuple[Packet, bytes, bool]]:
    return [(one, one.payload, False) for one in came if one.transport is Transport.UDP]


def _messages(came: Iterable[Packet]) -> list[tuple[Packet, bytes, bool]]:
    """The messages of a TCP stream, and of what would take the place of its octets."""
    segments = [one for one in came if one.transport is Transport.TCP and one.payload]
    if not segments:
        return []
    start = segments[0].sequence

    def offset(one: Packet) -> int:
        # Sequence numbers wrap (RFC 9293 §3.4): distances from the first are what can be compared.
        return (one.sequence - start + _HALF) % (2 * _HALF) - _HALF

    segments.sort(key=offset)
    start = segments[0].sequence
    stream, begins, others = b"", [], []
    for one in segments:
        at = offset(one)
        if at > len(stream):
            break  # A packet is missing, and with it where the next message begins.
        known = stream[at : at + len(one.payload)]
        if not one.payload.startswith(known):
            others.append(one)
        elif len(known) < len(one.payload):
            begins.append((len(stream), one))
            stream += one.payload[len(known) :]
    found = [([one for start_, one in begins if start_ <= at][-1], octets) for at, octets in _cut(stream)]
    return [
        *((packet, octets, False) for packet, octets in found),
        *((one, octets, True) for one in others for _, octets in _cut(one.payload)),
    ]


def _cut(stream: bytes) -> list[tuple[int, bytes]]:
    """The whole messages of a stream, each with where it begins."""
    found, at = [], 0
    while at + _LENGTH <= len(stream):
        end = at + _LENGTH + int.from_bytes(stream[at : at + _LENGTH], "big")
        if end > len(stream):
            break
        found.append((at, stream[at + _LENGTH : end]))
        at = end
    return found


def _own(answers: Iterable[Answer]) -> _Own:
    found = [(one.packet, one.reply) for one in answers if one.reply is not None]
    return _Own(
        ttls=frozenset(packet.ip_ttl for packet, _ in found),
        instances=frozenset(reply.nsid for _, reply in found),
        sizes=frozenset(reply.edns for _, reply in found),
        uses_ids=frozenset(packet.ip_id != 0 for packet, _ in found if packet.ip_id is not None),
    )


def _signs(place: int, one: Answer, own: _Own) -> list[Sign]:
    """In what one answer differs from the point's own."""
    said = _of_packet(one, own)
    if one.reply is None:
        said["stray"] = "it comes from the point's address to our port and does not answer the query"
    else:
        said |= _of_reply(one.reply, own)
    return [Sign(id=id_, sentence=sentence, answer=place) for id_, sentence in said.items()]


def _of_packet(one: Answer, own: _Own) -> dict[str, str]:
    packet, said = one.packet, {}
    is_elsewhere = one.reply is not None and bool(one.reply.nsid) and one.reply.nsid not in own.instances
    if own.ttls and packet.ip_ttl not in own.ttls and not is_elsewhere:
        theirs = _listed(own.ttls)
        said["ip-ttl"] = f"it has an IP TTL of {packet.ip_ttl}; answers to controls came with {theirs}"
    if packet.checksum is Checksum.WRONG:
        said["checksum"] = f"its {packet.transport.upper()} checksum is wrong"
    if one.is_overlapping:
        said["tcp-overlap"] = "it takes the place of other octets of the same TCP stream"
    if packet.ip_id is not None and own.uses_ids == {packet.ip_id == 0}:
        theirs = "are not zero" if packet.ip_id == 0 else "are zero"
        said["ip-id"] = f"its IP ID is {packet.ip_id}; those of answers to controls {theirs}"
    return said


def _of_reply(reply: Reply, own: _Own) -> dict[str, str]:
    said = {}
    if not reply.nsid and own.instances and b"" not in own.instances:
        said["no-nsid"] = "it does not name its instance (NSID), which answers to controls do"
    sizes = {size for size in own.sizes if size is not None}
    if reply.edns is None and sizes and None not in own.sizes:
        said["no-edns"] = "it has no OPT record, which answers to controls have"
    elif reply.edns is not None and sizes and reply.edns not in sizes:
        said["edns-size"] = f"its OPT record says {reply.edns} octets, those of controls say {_listed(sizes)}"
    return said


def _between(answers: Sequence[Answer], qtype: int, own: _Own) -> list[Sign]:
    """In what answers to one query differ from one another."""
    replies = [(place, one.reply) for place, one in enumerate(answers) if one.reply is not None]
    if len({reply.says(qtype) for _, reply in replies}) < 2:
        return []
    found = []
    ttls = {answers[place].packet.ip_ttl for place, _ in replies}
    if not own.ttls and len(ttls) > 1:
        sentence = f"answers to one query came with IP TTLs of {_listed(ttls)}"
        found.append(Sign(id="ip-ttls-differ", sentence=sentence))
    if len({reply.is_attributed for _, reply in replies}) > 1:
        sentence = "it has no Extended DNS Error 16 (Censored), and another answer to the same query has"
        found += [
            Sign(id="attribution", sentence=sentence, answer=place)
            for place, reply in replies
            if not reply.is_attributed
        ]
    before, first = replies[0]
    later = next(place for place, reply in replies if reply.says(qtype) != first.says(qtype))
    ahead = (answers[later].packet.at - answers[before].packet.at) * 1000
    sentence = f"it came {ahead:.1f} ms before an answer that contradicts it"
    return [*found, Sign(id="first", sentence=sentence, answer=before)]


def _resets(came: Iterable[Packet]) -> list[Sign]:
    resets = [one for one in came if one.is_reset]
    others = {one.ip_ttl for one in came if not one.is_reset}
    return [
        Sign(
            id="tcp-reset",
            sentence=f"a TCP reset has an IP TTL of {one.ip_ttl}; the connection's other packets have "
            f"{_listed(others)}",
        )
        for one in resets
        if others and one.ip_ttl not in others
    ]


def _verdict(answers: Sequence[Answer], qtype: int, signs: Sequence[Sign]) -> Verdict:
    replies = [(place, one) for place, one in enumerate(answers) if one.reply is not None]
    places = {place for place, _ in replies}
    strong = [one for one in signs if one.id not in _WEAK and (one.answer is None or one.answer in places)]
    if any(one.id == "tcp-reset" for one in strong):
        return Verdict.INJECTED
    alone = {one.answer for one in strong if one.id in _ALONE}
    if len({one.octets for _, one in replies}) < 2:
        return _of_one(len(replies), is_suspect=bool(alone) and alone == places)
    said = {one.reply.says(qtype) for _, one in replies if one.reply is not None}
    if len(said) > 1:
        # A sign that every answer bears tells none of them apart.
        marked = {one.id: {each.answer for each in strong if each.id == one.id} for one in strong}
        is_apart = any(None in bearers or bearers < places for bearers in marked.values())
        return Verdict.INJECTED if is_apart else Verdict.CONTRADICTION
    return Verdict.INJECTED if alone and alone < places else Verdict.DUPLICATES


def _of_one(copies: int, *, is_suspect: bool) -> Verdict:
    """What one answer is, that came so many times."""
    if not copies:
        return Verdict.SILENT
    if is_suspect:
        return Verdict.SUSPECT
    return Verdict.SINGLE if copies == 1 else Verdict.DUPLICATES


def _listed(numbers: Iterable[int]) -> str:
    return " or ".join(str(one) for one in sorted(numbers))
