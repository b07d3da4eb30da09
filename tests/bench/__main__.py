"""`make bench`: every figure with the machine it was measured on. Absolute times are no promises."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import click
import pytest

from tests.bench import (
    big_start,
    confirm,
    engines,
    feeds,
    instants,
    life,
    national,
    processes,
    scale,
    scrape,
    start,
    sweep,
)
from tests.bench.options import Options


def machine() -> str:
    """What this was measured on."""
    found = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((line.split()[1] for line in _lines("/proc/meminfo")), "0")
    return (
        f"{os.cpu_count()} x {found[0] if found else platform.machine()}, {int(memory) / 1e6:.0f} GB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


BENCHES = {
    "scale": scale,
    "national": national,
    "start": start,
    "life": life,
    "engines": engines,
    "instants": instants,
    "big_start": big_start,
    "confirm": confirm,
    "scrape": scrape,
    "sweep": sweep,
    "feeds": feeds,
}


@click.command()
@click.argument("bench", nargs=-1, type=click.Choice(list(BENCHES)))
@click.option("--quick", is_flag=True, help="A minute each, for figures that only show that it runs.")
@click.option("--names", type=int, help="Names of the big list.")
@click.option("--seconds", type=float, help="Seconds of one run of load.")
@click.option("--rounds", type=int, help="How often each is run.")
@click.option("--only", multiple=True, help="Engines to run, if not all.")
def main(
    bench: tuple[str, ...],
    *,
    quick: bool,
    names: int | None,
    seconds: float | None,
    rounds: int | None,
    only: tuple[str, ...],
) -> None:
    """Run the benchmarks named, or all of them."""
    processes.leave_on_signals()
    options = Options(quick=quick, names=names, seconds=seconds, rounds=rounds, only=only)
    click.echo(machine())
    for name in bench or BENCHES:
        click.echo(f"\n{name}: {BENCHES[name].__doc__}")
        try:
            BENCHES[name].run(options)
        except pytest.skip.Exception as why:
            click.echo(f"{name}: left out, {why}")


if __name__ == "__main__":
    main()
