"""`python -m tests.conformance [NUMBER [ENGINE…]]`: the table and NUMBER generated questions an engine.

Prints what was seen, and ends with 1 if an engine disagrees with the policy.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.conformance import matrix, session
from tests.conformance.engines import ENGINES


def main(words: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        results = session.run(
            Path(folder), words[1:] or tuple(ENGINES), generated=int(words[0]) if words else 0
        )
    failed = [(name, cell) for name, found in session.worst(results).items() for cell in found]
    for name, cell in failed:
        print(f"{name}: {cell}")
    print(matrix.limits())
    print(matrix.tally(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
