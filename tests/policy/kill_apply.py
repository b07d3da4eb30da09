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
from blocker.policy.store import Reader
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


def run(state: Path, times: int, *, seed: int) -> int:
    """How many kills the store survived; `AssertionError` at the first that it did not."""
    chance = random.Random(seed)
    commit(state, SIDES[0], base="")
    began = time.monotonic()
    commit(state, SIDES[1], base=DIGESTS[0])
    usual = time.monotonic() - began
    old = 1
    for struck in range(times):
        after = chance.uniform(0, 1.2 * usual)
        ready, say = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(say, b".")
            commit(state, SIDES[1 - old], base=DIGESTS[old])
            os._exit(0)
        os.read(ready, 1)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        os.close(ready)
        os.close(say)
        now = which(state)
        held = "new" if now != old else "old"
        print(f"{struck + 1}: status {status} after {after * 1000:.1f} of {usual * 1000:.1f} ms: {held}")
        assert os.WIFSIGNALED(status) or now != old
        old = now
    return times


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "state", int(sys.argv[1]), seed=random.randrange(1 << 30))
