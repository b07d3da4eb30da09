"""One order's life in forty seconds, on the real daemon: `blocker demo`."""
