"""dnsperf as a value: a load in, a rate out. A rate of which more than 1 % was lost isn't one."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import processes
from tests.bench.load import percentile
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MOST_LOST = 0.01

# So many fit into the socket buffer that Linux gives by default (about 270 datagrams): no engine loses any
# for want of memory alone.
_UNDER_WAY = 200
_CLIENTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One run. `latencies` (seconds) are those of every answer if they were asked for, else empty."""

    sent: int
    completed: int
    seconds: float
    rcodes: dict[str, int]
    latencies: Sequence[float] = ()

    @property
    def each_second(self) -> float:
        return self.completed / self.seconds

    @property
    def lost(self) -> float:
        """The share of the queries that had no answer."""
        return 1 - self.completed / self.sent if self.sent else 1.0

    def share(self, rcode: str) -> float:
        """The share of the answers that had this rcode."""
        return self.rcodes.get(rcode, 0) / self.completed if self.completed else 0.0

    def percentile(self, share: float) -> float:
        """Seconds that `share` of the answers did not exceed."""
        return percentile(self.latencies, share) if self.latencies else float("nan")


def write(path: Path, names: Iterable[str]) -> Path:
    """A file of A questions."""
    path.write_text("".join(f"{name} A\n" for name in names))
    return path


def run(
    port: int,
    questions: Path,
    *,
    seconds: float,
    core: int | None,
    edns: bool = False,
    most: int | None = None,
    clients: int = _CLIENTS,
    host: str = "127.0.0.1",
) -> Rate:
    """Ask as fast as answers come, or at most `most` times a second, and then with every latency.

    `core` is the one that dnsperf is pinned to; None: wherever the system puts it.
    """
    words = [lab.program("dnsperf"), "-s", host, "-p", str(port), "-d", str(questions), "-l", str(seconds)]
    words += ["-q", str(_UNDER_WAY), "-c", str(clients), "-t", "1"]
    words += ["-e"] if edns else []
    words += ["-Q", str(most), "-v"] if most else []
    cores = None if core is None else frozenset({core})
    with tempfile.TemporaryFile("w+") as output, processes.pinned(cores):
        subprocess.run(words, stdout=output, stderr=subprocess.STDOUT, check=True)
        output.seek(0)
        return _read(output)


def warm(port: int, questions: Path) -> None:
    """Ask each question once, a few at a time, so that every cache has its answer."""
    subprocess.run(
        [lab.program("dnsperf"), "-p", str(port), "-d", str(questions), "-n", "1", "-q", "20", "-t", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def _read(lines: Iterable[str]) -> Rate:
    latencies: list[float] = []
    rest: list[str] = []
    for line in lines:
        if line.startswith("> "):
            last = line.rsplit(None, 1)[-1]
            if not line.startswith("> T "):  # It timed out.
                latencies.append(float(last))
        else:
            rest.append(line)
    text = "".join(rest)
    figures = {
        what: re.search(rf"{what}:\s+([\d.]+)", text)
        for what in ("Queries sent", "Queries completed", r"Run time \(s\)")
    }
    sent, completed, seconds = (float(found[1]) if found else 0.0 for found in figures.values())
    codes = re.search(r"Response codes:\s+(.*)", text)
    return Rate(
        sent=int(sent),
        completed=int(completed),
        seconds=seconds or float("inf"),
        rcodes={code: int(n) for code, n in re.findall(r"(\w+) (\d+) \(", codes[1])} if codes else {},
        latencies=latencies,
    )
