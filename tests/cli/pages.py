"""The plan of the example site as people see it: `python -m tests.cli.pages` writes the golden pages anew.

The site is that of policies/examples, copied, at an instant that doesn't move; a terminal is a real one.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from datetime import datetime
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "policies" / "examples"
GOLDEN = Path(__file__).parent / "golden"
NOW = datetime.fromisoformat("2026-11-28T12:00:00+00:00").timestamp()
WIDTHS = (80, 160)

_AT = """
import runpy, sys, time
now = float(sys.argv.pop(1))
time.time = lambda: now
runpy.run_module("blocker", run_name="__main__")
"""


def copied(folder: Path) -> Path:
    """The example site with a state of its own; its site.yaml."""
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    site = folder / "site.yaml"
    site.write_text(
        site.read_text(encoding="utf-8").replace("../../state/examples", "state"), encoding="utf-8"
    )
    return site


def ran(site: Path, *words: str, columns: int, whole: bool = False) -> str:
    """What a verb prints on a terminal so wide, without its colours; `whole`: with its standard error."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "NO_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-c", _AT, str(NOW), "--site", site.name, *words],
        cwd=site.parent,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs if whole else subprocess.DEVNULL,
        env={**environment, "TERM": "xterm-256color"},
    ):
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: nobody writes any more.
                break
            if not piece:
                break
            seen += piece
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode()).replace("\r\n", "\n")


def made(folder: Path) -> dict[str, str]:
    """Every golden page by its name, from the site in a folder."""
    site = copied(folder)
    pages = {f"plan-{columns}.txt": undated(ran(site, "plan", columns=columns)) for columns in WIDTHS}
    ran(site, "plan", "--html", "plan.html", columns=80)
    return {**pages, "plan.html": undated((folder / "plan.html").read_text(encoding="utf-8"))}


def undated(text: str) -> str:
    """Without what the installed lists say of themselves, which changes with them."""
    text = re.sub(r"^judged by .*?(?=^plan )", "judged by …\n", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?<=<dt>Suffixes</dt>).*?(?=</dl>)", "…\n", text, flags=re.DOTALL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made_in:
        for name, text in made(Path(made_in)).items():
            GOLDEN.mkdir(exist_ok=True)
            (GOLDEN / name).write_text(text, encoding="utf-8")
