"""Kill an apply at random points; the store must open and hold the old or the new generation whole.

`python -m tests.policy.kill_apply 50` does it fifty times and prints where it struck.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from blocker.policy.plan import policy_digest
from blocker.policy.reader import Reader
from tests.policy.strategies import directive, order
from tests.policy.test_writer import commit, holds

STANDING = order("x/standing", directives=(directive("d", "s.example", excepts=["a.s.example"]),))
SIDES = [
    [STANDING, order(f"x/{side}", directives=(directive("d", *(f"{side}{n}.example" for n in range(3000))),))]
    for side in ("old", "new")
]
DIGESTS = [policy_digest({one.id: one.digest for one in side}) for side in SIDES]


def which(state: Path) -> int:
    """Which side the store holds, every name of it checked."""
    reader = Reader(state)
    with reader.snapshot() as snapshot:
        side = DIGESTS.index(snapshot.generation.digest)
        holds(snapshot, SIDES[side])
    reader.close()
    return side


def start(state: Path, base: int) -> int:
    """The process that applies the other side; it has begun when this returns."""
    ready, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(say, b".")
            commit(state, SIDES[1 - base], base=DIGESTS[base], number=time.monotonic_ns())
        finally:
            os._exit(0)
    os.read(ready, 1)
    os.close(ready)
    os.close(say)
    return child


def run(state: Path, times: int, *, seed: int) -> int:
    """How many kills the store survived; `AssertionError` at the first that it did not."""
    chance = random.Random(seed)
    commit(state, SIDES[0], base="")
    held, usual = 0, 0.0
    for _ in range(2):  # The first one is slower.
        began = time.monotonic()
        os.waitpid(start(state, held), 0)
        usual = time.monotonic() - began
        held = which(state)
    assert held == 0
    for struck in range(times):
        after = chance.uniform(0, usual)
        child = start(state, held)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        before, held = held, which(state)
        end = "killed" if os.WIFSIGNALED(status) else "ended"
        found = "old" if held == before else "new"
        print(f"{struck + 1}: {end} after {after * 1000:.1f} of {usual * 1000:.1f} ms: {found}")
        assert os.WIFSIGNALED(status) or held != before
    return times


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "state", int(sys.argv[1]), seed=random.randrange(1 << 30))
