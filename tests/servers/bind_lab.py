"""BIND as ops/bind has it: the hidden primary, and resolvers that enforce its zone."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update

from tests.servers import lab
from tests.servers.zone_lab import OPS, ZONE, filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PRIMARY, SECONDARY, EMPTY = (OPS / "bind" / name for name in ("primary.conf", "secondary.conf", "empty.zone"))
SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
TRANSFER_SECRET = "dHJhbnNmZXItdHJhbnNmZXItdHJhbnNmZXItMDEyMzQ="
KEY, TRANSFER_KEY = (
    f'key "{name}" {{\n\talgorithm hmac-sha256;\n\tsecret "{secret}";\n}};\n'
    for name, secret in (("blocker", SECRET), ("blocker-transfer", TRANSFER_SECRET))
)
KEYRING = dns.tsigkeyring.from_text({"blocker": SECRET, "blocker-transfer": TRANSFER_SECRET})
KEYS = {"/etc/bind/blocker.key": KEY, "/etc/bind/blocker-transfer.key": TRANSFER_KEY}
"""Every key by the path that the files of ops/ name: what updates the zones, what may fetch them."""

_CONTROLS = """\
include "{folder}/rndc.key";
controls {{ inet 127.0.0.1 port {control} allow {{ 127.0.0.1; }} keys {{ "rndc"; }}; }};
"""
_RNDC = f'key "rndc" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'


@dataclass
class Bind:
    """A named in a folder; `control` are the first words of its control command."""

    folder: Path
    port: int
    control: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """Start it (again), and wait until it answers."""
        words = [lab.program("named"), "-g", "-n", "1", "-c", str(self.folder / "named.conf")]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, cwd=self.folder)
        lab.until_answering(self.port, self.process, self.log)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def controlled(self, *words: str) -> str:
        """What the control command says."""
        ran = subprocess.run([*self.control, *words], capture_output=True, text=True, check=True, timeout=30)
        return ran.stdout

    def serial(self, zone: str = ZONE) -> int | None:
        """The zone's serial, as whoever has the key sees it."""
        query = dns.message.make_query(zone, dns.rdatatype.SOA)
        query.use_tsig(KEYRING, keyname="blocker-transfer", algorithm=dns.tsig.HMAC_SHA256)
        try:
            answer = dns.query.udp(query, "127.0.0.1", port=self.port, timeout=2)
        except (dns.exception.Timeout, OSError):
            return None
        return next((int(one[0].serial) for one in answer.answer), None)


@contextmanager
def _running(folder: Path, port: int, conf: str) -> Iterator[Bind]:
    control = lab.free_port()
    (folder / "rndc.key").write_text(_RNDC)
    (folder / "named.conf").write_text(conf + _CONTROLS.format(folder=folder, control=control))
    rndc = (lab.program("rndc"), "-s", "127.0.0.1", "-p", str(control), "-k", str(folder / "rndc.key"))
    found = Bind(folder, port, rndc)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def _own(folder: Path, port: int, directory: str) -> dict[str, str]:
    """What every named of a lab has otherwise than its file of ops/."""
    options = (
        f'directory "{folder}";\n    pid-file "{folder}/pid";\n    session-keyfile "{folder}/session.key";'
    )
    return {f'directory "{directory}";': options}


def keyed(folder: Path, path: Path) -> dict[str, str]:
    """The keys that a file of ops/ includes, written into the folder."""
    found = {}
    for named, key in KEYS.items():
        if f'include "{named}";' in path.read_text(encoding="utf-8"):
            own = folder / named.rpartition("/")[2]
            own.write_text(key)
            found[named] = str(own)
    return found


@contextmanager
def primary(
    folder: Path,
    secondaries: Sequence[int] = (),
    *,
    unsigned: Sequence[int] = (),
    port: int = 0,
    records: str = "",
) -> Iterator[Bind]:
    """The hidden primary with a zone that is empty but for `records`; it notifies these ports of 127.0.0.1,
    `unsigned` without a key.
    """
    folder.mkdir()
    (folder / f"{ZONE}.zone").write_text(EMPTY.read_text(encoding="utf-8") + records)
    port = port or lab.free_port()
    notified = " ".join(
        [
            *(f'127.0.0.1 port {one} key "blocker-transfer";' for one in secondaries),
            *(f"127.0.0.1 port {one};" for one in unsigned),
        ]
    )
    changes = {
        **_own(folder, port, "/var/lib/bind"),
        **keyed(folder, PRIMARY),
        "port 5354 { 127.0.0.1; 192.0.2.53; }": f"port {port} {{ 127.0.0.1; }}",
        "{ 192.0.2.71; }": "{ 127.0.0.1; }" if unsigned else "{ none; }",
        'also-notify { 192.0.2.61 key "blocker-transfer"; 192.0.2.71; };': f"also-notify {{ {notified} }};",
    }
    with _running(folder, port, filled(PRIMARY, changes)) as found:
        yield found


def update(bind: Bind, *records: str) -> None:
    """Give the zone these records more, as `owner TYPE data`."""
    change = changing()
    for record in records:
        owner, rdtype, data = record.split(" ", 2)
        change.add(owner, 30, rdtype, data)
    send(bind, change)


def changing() -> dns.update.UpdateMessage:
    """An update of the zone, signed when it is sent."""
    change = dns.update.UpdateMessage(ZONE)
    change.use_tsig(KEYRING, keyname="blocker", algorithm=dns.tsig.HMAC_SHA256)
    return change


def send(bind: Bind, change: dns.update.UpdateMessage) -> None:
    """Have the zone changed."""
    answer = dns.query.tcp(change, "127.0.0.1", port=bind.port, timeout=5)
    assert answer.rcode() == dns.rcode.NOERROR, dns.rcode.to_text(answer.rcode())


@contextmanager
def secondary(
    folder: Path, upstream: int, *, primary: int | None = None, zone_file: Path | None = None, port: int = 0
) -> Iterator[Bind]:
    """A resolver that forwards to a port, with the zone of the primary at this port, or of a file.

    `rndc reload ZONE` makes it read the file again.
    """
    folder.mkdir()
    port = port or lab.free_port()
    forward = f"recursion yes;\n    forward only;\n    forwarders {{ 127.0.0.1 port {upstream}; }};"
    changes = {
        **_own(folder, port, "/var/cache/bind"),
        **keyed(folder, SECONDARY),
        "port 53 { 127.0.0.1; }": f"port {port} {{ 127.0.0.1; }}",
        "recursion yes;": forward,
        "dnssec-validation auto;": "dnssec-validation no;",
    }
    conf = filled(SECONDARY, changes)
    if zone_file is None:
        assert primary is not None
        conf = conf.replace("port 5354 { 192.0.2.53", f"port {primary} {{ 127.0.0.1")
    else:
        head, _, _ = conf.rpartition("\nzone ")
        conf = f'{head}\nzone "{ZONE}" {{ type primary; file "{zone_file}"; check-names ignore; }};\n'
    with _running(folder, port, conf) as found:
        yield found


def until_serial(bind: Bind, serial: int, *, seconds: float = 20) -> None:
    """Wait until the resolver has this serial of the zone, or a later one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (held := bind.serial()) is not None and held >= serial:
            return
        time.sleep(0.02)
    raise AssertionError(
        f"serial {bind.serial()}, not {serial}:\n{bind.log.read_text(errors='replace')[-3000:]}"
    )
