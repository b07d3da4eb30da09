"""What verbs read before they call: the site, the orders folder, the live policy, the person."""

from __future__ import annotations

import getpass
import os
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from blocker import names
from blocker.cli import show
from blocker.policy.examine import Examined, examine, live_policy, recall_all
from blocker.policy.reader import Reader
from blocker.policy.withholding import no_such_generation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from blocker.names import Key
    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled
    from blocker.policy.store import Snapshot
    from blocker.site import Site


def read_orders(site: Site) -> Examined:
    """The orders folder as it is, and which form of each order stands; Problems go to standard error.

    Lists are parsed when they are asked for. Raises OrdersInvalid, StoreError.
    """
    examined = examine(site, now=time.time())
    show.problems(examined.problems)
    return examined


def live_directives(site: Site) -> list[Scheduled]:
    """Every applied directive and cut. Raises StoreError if nothing was applied."""
    with live(site) as policy:
        return list(policy.directives.values())


def live_orders(site: Site) -> dict[str, Order]:
    """Every applied order that can be read back; of the others it is told why. Raises StoreError."""
    return readable(site, live_policy(site.state).orders)


def readable(site: Site, digests: Mapping[str, str]) -> dict[str, Order]:
    """Those of the applied orders (id → digest) that can be read back; of the others it is told why."""
    found, unread = recall_all(site, digests)
    for error in unread.values():
        show.warning(str(error))
    return found


@contextmanager
def live(site: Site) -> Iterator[Snapshot]:
    """The live policy. Raises StoreError if nothing was applied."""
    reader = Reader(site.state)
    try:
        with reader.snapshot() as policy:
            yield policy
    finally:
        reader.close()


def generation(site: Site, text: str) -> int:
    """The number of a generation as it was typed. Raises OrdersInvalid if it is none, StoreError."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        with live(site) as policy:
            raise no_such_generation(text[:20], policy.generation.number, policy.first)
    return int(text)


def question(name: str, qtype: str) -> tuple[Key, int]:
    """The key and the number of what was typed; a type is a mnemonic or TYPEn (RFC 3597 §5).

    Raises click.BadParameter.
    """
    from dns.rdatatype import RdataType, UnknownRdatatype  # it takes a while, and most verbs ask nothing

    try:
        return names.to_key(names.canonical(name)), int(RdataType.from_text(qtype))
    except names.NameInvalid as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error
    except (UnknownRdatatype, ValueError) as error:
        raise click.BadParameter(f"{qtype!r} is not a query type", param_hint="--type") from error


def whoami(site: Site) -> str:
    """The person at the keyboard, for the record."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A container may run as a user that has no name.
        user = f"uid {os.getuid()}"
    return f"{user}@{site.node}"
