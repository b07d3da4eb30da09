"""The signature files beside a file, read: those of `x.yaml` are `x.yaml.sig` and `x.yaml.NAME.sig`.

Shell. Nothing there is trusted: plain files alone are read, no link is followed, and after so many
signatures, or files that are none, nobody looks any further.
"""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

from blocker import bounded
from blocker.approvals import sshsig
from blocker.approvals.sshsig import Flaw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocker.approvals.sshsig import Envelope

_WORDS = bounded.Words(
    unreadable="signature-unreadable",
    irregular="signature-unreadable",
    large="signature-unreadable",
    too_large="it is larger than 64 KiB, and no signature is; put the file there that ssh-keygen wrote.",
)
_MOST = 64  # signatures, and what is none: litter alone keeps no signature out
_LITTER = Flaw(
    id="signature-too-many",
    message=f"there are {_MOST} things called signatures of one file before this one, and the rest is not "
    "looked at; remove what is none.",
)
_TOO_MANY = Flaw(
    id="signature-too-many",
    message=f"there are more than {sshsig.MAX_SIGNATURES} signatures over one file, and the rest is not "
    "looked at; remove those that aren't needed.",
)


class Beside:
    """The signatures of many files; each folder is listed once."""

    def __init__(self) -> None:
        self._listings: dict[Path, list[str]] = {}

    def of(self, path: Path, shown: str) -> Iterator[tuple[str, Envelope | Flaw]]:
        """What is there, each with where. `shown` is the path of the file itself as people read it."""
        signatures = 0
        for seen, (place, found) in enumerate(self._read(path, shown)):
            signatures += not isinstance(found, Flaw)
            if seen == _MOST or signatures > sshsig.MAX_SIGNATURES:
                yield place, _LITTER if seen == _MOST else _TOO_MANY
                return
            yield place, found

    def _read(self, path: Path, shown: str) -> Iterator[tuple[str, Envelope | Flaw]]:
        for name in self._names(path):
            place = f"{shown}{bounded.printable(Path(name.removeprefix(path.name)))}"
            try:
                octets = bounded.octets(path.with_name(name), sshsig.MAX_OCTETS, _WORDS)
            except bounded.Refused as refused:
                yield place, Flaw(id=refused.id, message=str(refused))
                continue
            for one in sshsig.read(octets):
                yield place, one

    def _names(self, path: Path) -> Iterator[str]:
        listing = self._listings.get(path.parent)
        if listing is None:
            try:
                listing = sorted(one.name for one in path.parent.iterdir() if one.name.endswith(".sig"))
            except OSError:  # the file itself is read elsewhere, and complained of there
                listing = []
            self._listings[path.parent] = listing
        begin = f"{path.name}."
        for name in listing[bisect_left(listing, begin) :]:
            if not name.startswith(begin):
                return
            yield name
