"""Unbound with our module for half an hour at 80 % of what it can do, with a transition every 10 s.

`python -m tests.servers.soak_unbound [MINUTES]` prints what went wrong and the slope of its memory; it exits
with 1 if Unbound ended or an answer was not the policy's. An apply comes every minute.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dns.rcode

from tests.resolver import live
from tests.resolver.world import block
from tests.servers import lab, unbound_lab
from tests.servers.authority import authority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocker.orders.model import Order

EVERY = 10
WARM = 60.0  # seconds until the caches are full and memory says something
WATCHED = "watched.pulse.example"

# Names of the load, and of how many queries in a hundred they are.
LOAD = ((70, "cached{}.example", 2000), (20, "n{}.pulse.example", 500), (10, "short{}.example", 500))


class Sample(NamedTuple):
    """What one look found; `at` in seconds since the start, `memory` in octets."""

    at: float
    memory: int


def orders(begin: int, end: int, extra: int) -> list[Order]:
    """Every other ten seconds of the run are blocked; `extra` further orders have nothing to do with it."""
    found = [
        block("pulse.example", ident=f"soak/p{start}", start=start, until=start + EVERY)
        for start in range(begin + EVERY, end, 2 * EVERY)
    ]
    return found + [
        block(f"o{n}.example", ident=f"soak/o{n}", start=begin, until=end + 999) for n in range(extra)
    ]


def queries(path: Path) -> None:
    lines = []
    for number in range(20_000):
        place = number * 37 % 100
        for share, name, many in LOAD:
            if place < share:
                lines.append(f"{name.format(number % many)} A")
                break
            place -= share
    path.write_text("\n".join(lines) + "\n")


def dnsperf(port: int, path: Path, seconds: int, rate: int = 0) -> list[str]:
    limit = ["-Q", str(rate)] if rate else []
    server = ["-s", "127.0.0.1", "-p", str(port), "-d", str(path), "-l", str(seconds), "-e", "-q", "100"]
    return [lab.program("dnsperf"), *server, *limit]


def counted(text: str, what: str) -> float:
    found = re.search(rf"{what}:\s+([0-9.]+)", text)
    assert found, text
    return float(found[1])


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def slope(samples: Sequence[Sample]) -> float:
    """Octets a second, by least squares."""
    middle = sum(one.at for one in samples) / len(samples)
    weight = sum((one.at - middle) ** 2 for one in samples)
    return sum((one.at - middle) * one.memory for one in samples) / weight if weight else 0.0


def watch(port: int, begin: int, ended: threading.Event, wrong: list[str]) -> None:
    """Ask for one name all the time, and note each answer that is not the policy's."""
    while not ended.is_set():
        sent = time.time()
        answer = lab.ask(port, WATCHED, timeout=2)
        came = time.time()
        should = {t >= begin and int(t - begin) // EVERY % 2 == 1 for t in (sent, came)}
        if answer is None:
            wrong.append(f"{sent - begin:.3f} s: no answer")
        elif (answer.rcode() == dns.rcode.NXDOMAIN) not in should:
            wrong.append(f"{sent - begin:.3f} s: {dns.rcode.to_text(answer.rcode())}")
        time.sleep(0.02)


def soak(folder: Path, minutes: float) -> int:
    seconds = int(minutes * 60)
    state, asked = folder / "state", folder / "queries"
    queries(asked)
    begin = int(time.time()) + 10
    end = begin + seconds + 2 * EVERY
    live.store(state, *orders(begin, end, 0))
    samples: list[Sample] = []
    wrong: list[str] = []
    applied = 1
    with authority() as upstream:
        for number in range(LOAD[2][2]):
            name = LOAD[2][1].format(number)
            upstream.records[name, "A"] = (f"{name} 1 IN A 192.0.2.7",)
        with unbound_lab.unbound(folder / "unbound", state, upstream.port, region="ID") as running:
            most = subprocess.run(
                dnsperf(running.port, asked, 8), capture_output=True, text=True, check=True
            ).stdout
            rate = int(counted(most, "Queries per second") * 0.8)
            print(
                f"{rate} queries a second for {minutes:g} minutes, a transition every {EVERY} s", flush=True
            )
            ended = threading.Event()
            watcher = threading.Thread(target=watch, args=(running.port, begin, ended, wrong))
            watcher.start()
            # Not through a pipe, for nobody reads it meanwhile.
            with (
                (folder / "dnsperf").open("w") as output,
                subprocess.Popen(
                    dnsperf(running.port, asked, seconds, rate), stdout=output, stderr=output
                ) as load,
            ):
                while load.poll() is None:
                    time.sleep(1)
                    at = time.time() - begin
                    samples.append(Sample(at, memory(running.pid)))
                    if at // 60 + 1 > applied:
                        applied += 1
                        live.store(state, *orders(begin, end, applied), number=applied)
            ended.set()
            watcher.join()
            alive = lab.ask(running.port, "cached1.example") is not None
            log = running.log
    said = (folder / "dnsperf").read_text()
    late = [one for one in samples if one.at >= min(WARM, seconds / 2)]
    first, last = (one.memory / 2**20 for one in (late[0], late[-1]))
    print(f"ended before its time: {'no' if alive else 'YES'}; applies: {applied}")
    print(f"queries {counted(said, 'Queries completed'):.0f}, lost {counted(said, 'Queries lost'):.0f}")
    print(f"faults logged: {log.count('could not be decided')}; answers not of the policy: {len(wrong)}")
    print("\n".join(wrong[:10]))
    print(f"memory {first:.1f} MiB at {late[0].at:.0f} s, {last:.1f} MiB at the end")
    print(f"slope {slope(late) * 3600 / 2**20:+.2f} MiB an hour")
    return 0 if alive and not wrong else 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.exit(soak(Path(place), float(sys.argv[1]) if len(sys.argv) > 1 else 30))
