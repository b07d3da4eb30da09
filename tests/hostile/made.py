"""Cases that are made here: too large, too odd or too special for a file of their own in the repository.

Each takes the orders folder of a scratch site and puts the hostile thing into it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = (Path(__file__).parent / "good" / "block.yaml").read_text(encoding="utf-8")
BLOCK = BLOCK.partition("\n")[2].replace("good/block", "court/order")


def order(folder: Path, octets: bytes | str = BLOCK) -> Path:
    """The hostile order's file with these octets."""
    path = folder / "court" / "order.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(octets if isinstance(octets, bytes) else octets.encode())
    return path


def listing(folder: Path, content: bytes, *, sha256: str = "") -> Path:
    """An order with a names_file, and the path of its list."""
    digest = sha256 or hashlib.sha256(content).hexdigest()
    names = "    names: [good.example, blocked.example]"
    order(folder, BLOCK.replace(names, f"    names_file: {{file: list.txt, sha256: {digest}}}"))
    path = folder / "court" / "list.txt"
    path.write_bytes(content)
    return path


def _outside(folder: Path, name: str, content: bytes) -> Path:
    path = folder.parent / name
    path.write_bytes(content)
    return path


def no_folder(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")


def too_many_files(folder: Path) -> None:
    for number in range(10):
        order(folder).rename(folder / "court" / f"order-{number}.yaml")


def file_of_10_mib(folder: Path) -> None:
    order(folder, b"#" * (10 << 20))


def depth_100_000(folder: Path) -> None:
    order(folder, "[" * 100_000)


def depth_100_000_of_mappings(folder: Path) -> None:
    order(folder, "{a: " * 100_000)


def values_60_000(folder: Path) -> None:
    order(folder, BLOCK.replace("blocked.example", ", ".join(["x.example"] * 60_000)))


def problems_142(folder: Path) -> None:
    order(folder, BLOCK.replace("blocked.example", ", ".join(["com"] * 142)))


def keys_twice_40_000(folder: Path) -> None:
    order(folder, BLOCK + "x: y\n" * 20_000)


def nul(folder: Path) -> None:
    order(folder, BLOCK.replace("Court", "Co\0rt"))


def byte_order_mark_alone(folder: Path) -> None:
    order(folder, b"\xef\xbb\xbf")


def byte_order_mark_inside(folder: Path) -> None:
    order(folder, BLOCK.replace("blocked", "\ufeffblocked"))


def utf_16(folder: Path) -> None:
    order(folder, BLOCK.encode("utf-16"))


def utf_16_without_mark(folder: Path) -> None:
    order(folder, BLOCK.encode("utf-16-le"))


def latin_1(folder: Path) -> None:
    order(folder, BLOCK.replace("Court", "Café").encode("latin-1"))


def no_octets(folder: Path) -> None:
    order(folder, b"")


def cr_alone(folder: Path) -> None:
    """For YAML a line ends there, for most editors it doesn't: a comment would hide keys."""
    order(folder, BLOCK.replace("issued", "# on behalf of\rreference: forged\nissued"))


def line_separator(folder: Path) -> None:
    order(folder, BLOCK.replace("issued", "# on behalf of\u2028reference: forged\nissued"))


def bidi_override(folder: Path) -> None:
    """On a screen the comment swallows the except (CVE-2021-42574)."""
    order(folder, BLOCK.replace("    regions:", "    # \u202e\u2066 except: [good.example]\n    regions:"))


def bidi_in_text(folder: Path) -> None:
    order(folder, BLOCK.replace("Example Court", "Example \u202etruoC"))


def escape_sequence(folder: Path) -> None:
    """What a terminal would obey."""
    order(folder, BLOCK.replace("Court", "\x1b[2JCourt"))


def escaped_escape_sequence(folder: Path) -> None:
    """The same, written so that the file looks harmless."""
    order(folder, BLOCK.replace("Court", "\\e[2JCourt"))


def escaped_nul(folder: Path) -> None:
    order(folder, BLOCK.replace("Court", "Co\\0rt"))


def file_fifo(folder: Path) -> None:
    path = order(folder)
    path.unlink()
    os.mkfifo(path)


def file_folder(folder: Path) -> None:
    """A folder that is called as an order: what is inside has another id."""
    (folder / "court" / "order.yaml").mkdir(parents=True)
    (folder / "court" / "order.yaml" / "inner.yaml").write_text(BLOCK, encoding="utf-8")


def symlink_outside(folder: Path) -> None:
    order(folder).unlink()
    (folder / "court" / "order.yaml").symlink_to(_outside(folder, "secret.yaml", BLOCK.encode()))


def symlink_dangling(folder: Path) -> None:
    order(folder).unlink()
    (folder / "court" / "order.yaml").symlink_to("gone.yaml")


def symlink_to_itself(folder: Path) -> None:
    order(folder).unlink()
    (folder / "court" / "order.yaml").symlink_to("order.yaml")


def symlink_to_a_folder(folder: Path) -> None:
    (folder / "court").symlink_to(folder / "good")


def file_name_not_utf_8(folder: Path) -> None:
    order(folder).rename(Path(os.fsdecode(os.fsencode(folder / "court") + b"/caf\xe9.yaml")))


def file_name_with_a_line_end(folder: Path) -> None:
    """A name that would forge a line of what `check` prints."""
    order(folder).rename(folder / "court" / "order\norders good, 0 problems.yaml")


def list_symlink_outside(folder: Path) -> None:
    content = b"one.example\n"
    listing(folder, content).unlink()
    (folder / "court" / "list.txt").symlink_to(_outside(folder, "secret.txt", content))


def list_fifo(folder: Path) -> None:
    path = listing(folder, b"one.example\n")
    path.unlink()
    os.mkfifo(path)


def list_folder(folder: Path) -> None:
    path = listing(folder, b"one.example\n")
    path.unlink()
    path.mkdir()


def list_over_512_mib(folder: Path) -> None:
    with listing(folder, b"one.example\n").open("r+b") as file:
        file.truncate((512 << 20) + 1)


def list_gzip(folder: Path) -> None:
    listing(folder, bytes.fromhex("1f8b08000000000000034bcb") + bytes(range(256)))


def list_pdf(folder: Path) -> None:
    listing(folder, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n")


def list_utf_16(folder: Path) -> None:
    """As a spreadsheet exports "Unicode text"."""
    listing(folder, "one.example\r\ntwo.example\r\n".encode("utf-16"))


def list_with_nul(folder: Path) -> None:
    listing(folder, b"one.example\ntwo\0.example\n")


def list_of_one_endless_line(folder: Path) -> None:
    listing(folder, b"a" * 10_000_000)


def list_of_142_problems(folder: Path) -> None:
    listing(folder, b"com\n" * 142)


def list_of_8_000_from_a_wrong_file(folder: Path) -> None:
    """Denmark 2012: 8,000 names, google.com among them, from a file that was never meant for this."""
    listing(folder, b"".join(b"site-%d.example\n" % number for number in range(7_999)) + b"google.com\n")


def list_grown_tenfold(folder: Path) -> None:
    """Every name right, and far more of them than orders of this site have."""
    listing(folder, b"".join(b"site-%d.example\n" % number for number in range(2_000)))


MADE: dict[str, Callable[[Path], None]] = {
    name.replace("_", "-"): made
    for name, made in list(globals().items())
    if callable(made)
    and getattr(made, "__module__", "") == __name__
    and name not in {"order", "listing"}
    and not name.startswith("_")
}
