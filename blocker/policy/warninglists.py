"""The warning lists as the package `pymispwarninglists` has them: the extra `blocker[radius]`.

Shell: it finds and reads files. The package itself is not imported, for it would read all of its 65 MB.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.policy.lists import SOURCES, Lists, chosen, edition, part, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from blocker.names import Key

PACKAGE = "pymispwarninglists"
FEW = 60
"""Names up to which searching the octets is faster than looking at each entry."""

TYPED = 1 << 22
"""Octets up to which a list may be typed by people, who write capitals. The larger ones are rankings of what
machines ask for, and lower case takes as long as all the rest of reading them.
"""


def known_of(keys: Collection[Key] | None, *, progress: Callable[[int, int], None] | None = None) -> Lists:
    """What the lists know of these names, or of all if None is given.

    `progress` is told lists read and to read, unless the names are few.
    """
    found = files()
    if keys is None:
        table = whole(found, progress=progress)
    elif len(keys) > FEW:
        table = chosen(found, keys, progress=progress)
    else:
        table = part(found, keys)
    return Lists(
        table=table,
        package=f"{PACKAGE} {version(PACKAGE)}" if found else "",
        editions=tuple(edition(*one) for one in sorted(found.items())),
    )


def files() -> dict[str, bytes]:
    """The octets of each list by its folder, names in lower case; none if the package isn't installed."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return {}
    folder = Path(spec.origin).parent / "data" / "misp-warninglists" / "lists"
    at = {source.folder: folder / source.folder / "list.json" for source in SOURCES}
    return {name: _lower(path.read_bytes()) for name, path in at.items() if path.is_file()}


def _lower(octets: bytes) -> bytes:
    return octets.lower() if len(octets) <= TYPED else octets
