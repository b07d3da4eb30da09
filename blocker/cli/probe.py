"""`blocker probe`: one question to one point, seen in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocker.prober.capture import Capture
    from blocker.prober.examine import Examined
    from blocker.prober.observe import Variant
    from blocker.site import Point, Site

_MARKS = {"no-edns": ("edns", False), "do": ("do", True), "cd": ("cd", True), "mixed-case": ("mixed", True)}


@click.command("probe")
@click.argument("name")
@click.option("--point", "point_name", required=True, help="The point of site.yaml to ask.")
@click.option("--type", "qtype", default="A", show_default=True, help="The query type.")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    default=("udp",),
    show_default=True,
    help="In which way, as findings name it: udp, tcp, dot or doh, and any of +no-edns, +do, +cd, "
    "+mixed-case, +address-2 and so on, +outside. May be given several times.",
)
@click.option(
    "--capture",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Capture every packet of it and write them to this file as pcapng, mode 0600. Needs CAP_NET_RAW.",
)
@click.option(
    "--hops",
    type=click.IntRange(1, 255),
    help="With --capture: ask over UDP once more with this IP TTL, too little to get as far as the point; an "
    "answer to that was made on the way.",
)
@click.option(
    "--linger",
    type=click.FloatRange(0, 30),
    default=1.0,
    show_default=True,
    help="Seconds to wait after the first answer for another.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 30),
    default=1.5,
    show_default=True,
    help="Seconds to wait for the first answer.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="An object: name, type, point, probes (a list of {variant, expected, finding, unjudged, "
    "samples, controls, captured, nearer}), capture ({file, packets, lost} or null), stopped.",
)
@click.pass_obj
def command(
    site: Path,
    name: str,
    point_name: str,
    qtype: str,
    variants: Sequence[str],
    file: Path | None,
    hops: int | None,
    linger: float,
    timeout: float,
    as_json: bool,
) -> int:
    """Ask one point about NAME and show all that came back: the query, every answer with its time, IP TTL,
    flags, records and EDE, what the policy expects of it, and the judgement with its rule.

    With --capture every packet of the exchange is kept, and answers that the point did not send are told
    apart from its own: one of them has another IP TTL than the answers to the controls around the probe,
    names no instance, or has a wrong checksum. The file may hold the names of sealed orders, and so may
    what is printed. Ctrl-C ends it with what was seen. Exit code 1 if anything is not as ordered or can't
    be told, as with verify; 5 if packets can't be captured.
    """
    from blocker.cli import approvals, inputs
    from blocker.prober.examine import Examined
    from blocker.prober.observe import Transport

    loaded = approvals.load(site)
    key, number = inputs.question(name, qtype)
    point = next((one for one in loaded.points if one.name == point_name), None)
    if point is None:
        known = ", ".join(one.name for one in loaded.points) or "none"
        raise click.BadParameter(
            f"{point_name!r} is no point of this site; it has {known}", param_hint="--point"
        )
    chosen = [_variant(label, point) for label in dict.fromkeys(variants)]
    asked = [Examined(point=point, name=key, qtype=number, variant=variant) for variant in chosen]
    if hops is not None and (file is None or any(one.transport is not Transport.UDP for one in chosen)):
        raise click.BadParameter("it needs --capture, and goes over UDP", param_hint="--hops")
    captures, is_stopped = _asked(loaded, asked, file, timeout=timeout, linger=linger, hops=hops)
    return _told(asked, captures, file, is_stopped=is_stopped, as_json=as_json)


def _asked(
    site: Site,
    asked: list[Examined],
    file: Path | None,
    *,
    timeout: float,
    linger: float,
    hops: int | None,
) -> tuple[list[Capture], bool]:
    """Ask one after the other; what was captured, and whether Ctrl-C ended it."""
    import asyncio
    import contextlib

    from blocker.prober import capture
    from blocker.prober.examine import ask_near, examine

    captures: list[Capture] = []
    if file is not None:
        capture.require_room(file)
        captures = [capture.Capture(where) for where in dict.fromkeys(one.asked for one in asked)]

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for one in captures:
                await stack.enter_async_context(one)
            for each in asked:
                await examine(site, each, timeout=timeout, linger=linger)
                if hops is not None:
                    await ask_near(each, hops, timeout)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        return captures, True
    return captures, False


def _told(
    asked: list[Examined],
    captures: list[Capture],
    file: Path | None,
    *,
    is_stopped: bool,
    as_json: bool,
) -> int:
    """Print it all and write the file; the exit code."""
    from blocker.cli import probed, show
    from blocker.errors import StoreError
    from blocker.names import to_text
    from blocker.prober import forensics
    from blocker.prober.book import FINE
    from blocker.prober.examine import keep

    first = asked[0]
    analyses = [one.analyses(captures) for one in asked]
    nearer = [one.nearer(captures) for one in asked]
    all_told = list(zip(asked, analyses, nearer, strict=True))
    packets, unwritten = 0, ""
    lost = sum(one.lost for one in captures)
    if file is not None:
        try:
            packets = keep(file, asked, captures)
        except OSError as error:  # What was seen is told all the same.
            file, unwritten = None, f"{file}: {error.strerror or error}"
    if as_json:
        show.as_json(
            {
                "name": to_text(first.name),
                "type": probed.type_name(first.qtype),
                "point": first.point.name,
                "probes": [probed.record(*each) for each in all_told],
                "capture": None if file is None else {"file": str(file), "packets": packets, "lost": lost},
                "stopped": is_stopped,
            }
        )
    else:
        click.echo(f"{to_text(first.name)} {probed.type_name(first.qtype)} at {first.point.name}")
        for each in all_told:
            click.echo()
            probed.printed(*each)
        if file is not None:
            click.echo(f"\n{show.counted(packets, 'packet')} written to {file}")
            if lost:
                click.echo(f"{show.counted(lost, 'packet')} lost, or beyond what is kept")
    if unwritten:
        raise StoreError(unwritten)
    if is_stopped:
        raise KeyboardInterrupt
    is_clean = all(one.verdict in forensics.CLEAN for found in analyses for one in found)
    is_fine = all(one.finding is not None and one.finding.kind in FINE for one in asked)
    return 0 if is_clean and is_fine else 1


def _variant(label: str, point: Point) -> Variant:
    """The way that a label names, if the point can be asked in it."""
    from blocker.prober.observe import Transport, Variant

    first, *marks = label.lower().split("+")
    try:
        chosen: dict[str, Any] = {"transport": Transport(first)}
        for mark in marks:
            if mark.startswith("address-"):
                chosen["place"] = int(mark.removeprefix("address-")) - 1
            elif mark == "outside":
                chosen["outside"] = True
            else:
                field, value = _MARKS[mark]
                chosen[field] = value
    except (ValueError, KeyError) as error:
        raise click.BadParameter(
            f"{label!r} is no way to ask; write it like udp, tcp+do or udp+no-edns", param_hint="--variant"
        ) from error
    variant = Variant(**chosen)
    tls = point.tls
    ways = {
        Transport.DOT: tls is not None and tls.dot is not None,
        Transport.DOH: tls is not None and tls.doh is not None,
    }
    if not ways.get(variant.transport, True):
        missing = f"no {first} in its tls"
    elif not 0 <= variant.place < len(point.addresses):
        missing = f"{len(point.addresses)} of them"
    elif variant.outside and point.outside is None:
        missing = "no outside"
    else:
        return variant
    raise click.BadParameter(
        f"{point.name} can't be asked over {label}: site.yaml gives it {missing}", param_hint="--variant"
    )
