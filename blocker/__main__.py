"""`python -m blocker`, and the `blocker` script."""

from __future__ import annotations

from blocker.cli.main import main

if __name__ == "__main__":
    main()
