"""The table of hostile and mistaken orders: what each case is and what the command line says to it.

A case is `cases/NAME.yaml` (the order `court/order`), a folder `cases/NAME/` (what is put below orders/) or
a function in `made`; beside it, `cases/NAME.txt` holds what `check` says and what is live after `apply
--yes` on a site where two good orders were in force and a third came with the case.

    python -m tests.hostile.table

writes every .txt anew; nothing else does. Read the difference before you commit it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from click.testing import CliRunner

from blocker.cli.main import cli
from blocker.errors import BlockerError
from blocker.orders import files
from blocker.policy.examine import live_policy
from tests.hostile.made import MADE

HERE = Path(__file__).parent
CASES = HERE / "cases"
GOOD = ("good/block", "good/ended", "good/new")

SITE = """\
site: {operator: "Example Net", contact: "mailto:legal@isp.example", node: n1}
state: state
orders: orders
protected: protected.yaml
regions: {ID: ["192.0.2.0/24"], GB-SCT: ["198.51.100.0/24"]}
limits: {max_added: 1000, max_added_ratio: 0.3, max_removed_ratio: 0.3}
"""
PROTECTED = "protected: [isp.example, www.shop.example, in-addr.arpa]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the command line said to a case: the text of its .txt, and what can be asserted of all."""

    text: str
    ids: frozenset[str]
    errors: frozenset[str]
    broken: frozenset[str]
    code: int
    live: tuple[str, ...]


def names() -> list[str]:
    """Every case."""
    written = {path.stem if path.suffix == ".yaml" else path.name for path in CASES.iterdir()}
    return sorted({name for name in written if not name.endswith(".txt")} | set(MADE))


def make_site(folder: Path) -> None:
    """A site whose first two good orders are applied."""
    folder.mkdir()
    (folder / "site.yaml").write_text(SITE, encoding="utf-8")
    (folder / "protected.yaml").write_text(PROTECTED, encoding="utf-8")
    (folder / "orders" / "good").mkdir(parents=True)
    for name in ("block", "ended"):
        shutil.copy(HERE / "good" / f"{name}.yaml", folder / "orders" / "good")
    with chdir(folder):
        _call("apply", "--yes")


def meet(name: str, site: Path, folder: Path) -> Outcome:
    """Put the case and a good order beside the site's own, in a copy of it, then check and apply."""
    shutil.copytree(site, folder, dirs_exist_ok=True)
    orders = folder / "orders"
    shutil.copy(HERE / "good" / "new.yaml", orders / "good")
    if name in MADE:
        MADE[name](orders)
    elif (CASES / name).is_dir():
        shutil.copytree(CASES / name, orders, dirs_exist_ok=True)
    else:
        (orders / "court").mkdir()
        shutil.copy(CASES / f"{name}.yaml", orders / "court" / "order.yaml")
    with chdir(folder), mock.patch.object(files, "MAX_FILES", 12):
        _, checked, _ = _call("check")
        _, listed, _ = _call("check", "--json")
        code, _, refused = _call("apply", "--yes")
    live = tuple(sorted(live_policy(folder / "state").orders))
    found = json.loads(listed)
    lines = [checked, *([refused] if code == 3 else []), f"exit code {code}, live: {', '.join(live)}\n"]
    return Outcome(
        text="".join(lines).replace(f"{folder.resolve()}/", ""),
        ids=frozenset(one["id"] for one in found),
        errors=frozenset(one["id"] for one in found if one["severity"] == "error"),
        broken=frozenset(
            one["path"].rpartition("orders/")[2].removesuffix(".yaml")
            for one in found
            if one["severity"] == "error"
        ),
        code=code,
        live=live,
    )


def _call(*words: str) -> tuple[int, str, str]:
    """The exit code and what was said: on standard output, and as an error."""
    result = CliRunner().invoke(cli, ["--site", "site.yaml", *words], standalone_mode=False)
    if isinstance(result.exception, BlockerError):
        return result.exception.exit_code, result.stdout, f"blocker: {result.exception}\n"
    if result.exception is not None:
        raise result.exception
    return int(result.return_value or 0), result.stdout, result.stderr


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        make_site(Path(scratch) / "site")
        for case in names():
            outcome = meet(case, Path(scratch) / "site", Path(scratch) / case)
            (CASES / f"{case}.txt").write_text(outcome.text, encoding="utf-8")
