"""Mutated order files: whatever is in them, the answer is Problems, soon.

    python -m tests.fuzz_orders [COUNT] [SEED]

Each round mutates the octets of a good order file and reads it as `load` would; a good one is scheduled
too. An exception, a wait of more than a second, or anything that is not a Problem ends the run with the
seed and the octets.
"""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING

from blocker.errors import Problem
from blocker.orders import check, names_file, parse, relations
from blocker.orders.schedule import schedule
from tests.hostile.table import CASES
from tests.orders.test_parse import FULL
from tests.orders.texts import BLOCK, FACTS, act

if TYPE_CHECKING:
    from collections.abc import Callable

ADD = ("add:", "  - {id: two, names: [two.example], regions: [ID], from: 2026-02-01, until: 2026-03-01}")
SEEDS = [
    BLOCK.encode(),
    FULL.encode(),
    *(act("a/c", kind, "a/b/one").encode() for kind in ("suspend", "reinstate", "lift")),
    act("a/c", "amend", "a/b", *ADD, "remove: [x.blocked.example]", "until: 2026-06-01").encode(),
    *(path.read_bytes() for path in sorted(CASES.rglob("*.yaml")) if path.stat().st_size < 2_000),
]
TOKENS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b"::",
    b"- ",
    b"? ",
    b"&a ",
    b"*a",
    b"!!str ",
    b"!",
    b"%",
    b"---\n",
    b"...\n",
    b"|\n",
    b">\n",
    b"'",
    b'"',
    b"#",
    b"\\",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\r\n",
    b"\t",
    b"\n",
    b" " * 40,
    b"[" * 30,
    b"~",
    b"null",
    b"2026-13-40",
    b"9" * 400,
    b"-",
    b"a/b",
    b"\xc3\xbc",
    b"*.",
    b"<<",
    b"\xe3\x80\x82",
    b"\xef\xbc\x8f",
    b"names",
    b"directives",
    b"until: ",
    b"of: a/c",
    b"lift",
    b"amend",
    b".",
    b"@",
]


def cut(octets: bytes, at: random.Random) -> bytes:
    start = at.randrange(len(octets) + 1)
    return octets[:start] + octets[start + at.randrange(1, 30) :]


def insert(octets: bytes, at: random.Random) -> bytes:
    start = at.randrange(len(octets) + 1)
    return octets[:start] + at.choice(TOKENS) * at.choice([1, 1, 1, 2, 50]) + octets[start:]


def flip(octets: bytes, at: random.Random) -> bytes:
    changed = bytearray(octets or b"x")
    for _ in range(at.randrange(1, 5)):
        changed[at.randrange(len(changed))] = at.randrange(256)
    return bytes(changed)


def swap_lines(octets: bytes, at: random.Random) -> bytes:
    lines = octets.split(b"\n")
    one, other = at.randrange(len(lines)), at.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def repeat(octets: bytes, at: random.Random) -> bytes:
    start = at.randrange(len(octets) + 1)
    piece = octets[start : start + at.randrange(1, 200)]
    return octets[:start] + piece * at.choice([2, 3, 100]) + octets[start:]


def splice(octets: bytes, at: random.Random) -> bytes:
    other = at.choice(SEEDS)
    return octets[: at.randrange(len(octets) + 1)] + other[at.randrange(len(other) + 1) :]


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    cut,
    insert,
    insert,
    flip,
    swap_lines,
    repeat,
    splice,
]


def judge(octets: bytes, block: parse.Filed) -> bool:
    """Read the octets every way there is; whether they are a good order."""
    draft, problems = parse.draft(octets, path="x.yaml", id_="a/c")
    _, list_problems = names_file.parse(octets, "x.txt")
    if draft is not None:
        problems = problems + check.check(draft, FACTS)
    filed = draft if isinstance(draft, parse.Filed) else None
    if filed is not None and filed.id == filed.order.id:
        problems = problems + relations.check([block, filed])
        if not any(problem.severity == "error" for problem in problems):
            schedule([block.order, filed.order])
    for problem in [*problems, *list_problems]:
        if not isinstance(problem, Problem) or problem.id not in check.REGISTRY or len(str(problem)) > 2_000:
            raise AssertionError(f"not a Problem that anyone knows or can read: {problem!r}")
    if filed is None and not problems:
        raise AssertionError("neither an order nor a Problem")
    return filed is not None and not problems


def fuzz(count: int, seed: int) -> int:
    """Run so many rounds; how many were good orders still."""
    at = random.Random(seed)  # Repeatable by its seed; nothing here is a secret.
    block, _ = parse.read(BLOCK.encode(), path="b.yaml", id_="a/b")
    if block is None:
        raise AssertionError("the first seed is a good order")
    good = 0
    for number in range(count):
        octets = at.choice(at.choice([SEEDS, SEEDS[:6]]))
        for _ in range(at.choice([1, 1, 1, 2, 3, 5])):
            octets = at.choice(MUTATIONS)(octets, at)[:200_000]
        started = time.process_time()
        try:
            good += judge(octets, block)
        except Exception as error:
            raise AssertionError(f"seed {seed}, round {number}: {octets!r}") from error
        if time.process_time() - started > 1:
            raise AssertionError(f"seed {seed}, round {number} took more than a second: {octets!r}")
    return good


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    print(f"{count:,} mutated order files, {fuzz(count, seed):,} of them good orders: no exception, no wait")


if __name__ == "__main__":
    main()
