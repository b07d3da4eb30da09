"""Court-ordered DNS blocking: orders → policy → exact enforcement → proof.

Imports point down: cli → web, metrics, fleet, plugins → resolver, rpz, prober → policy → orders →
names, errors. The architecture test keeps it so.
"""

__version__ = "0.1.0"
