"""The house holds: imports point down, pure modules touch nothing, few know of YAML or scapy."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the street down; a room may use those of its own floor and of the floors below.
FLOORS = [
    ["__main__"],
    ["cli", "demo"],
    ["web", "metrics", "fleet", "plugins"],
    ["compliance", "sweep", "feeds"],
    ["resolver", "rpz", "prober"],
    ["policy", "capabilities"],
    ["approvals"],
    ["orders"],
]
PURE = {
    "names", "errors", "site", "capabilities", "yamltext", "fields", "sitetables", "metrics", "sshkeys",
    "approvals.sshsig", "approvals.signers", "approvals.judge",
    "orders.model", "orders.parse", "orders.tables", "orders.subjects", "orders.check", "orders.relations",
    "orders.names_file", "orders.schedule", "orders.schema", "orders.timetable", "orders.removals",
    "orders.meanings", "orders.compose", "orders.questions", "orders.keys",
    "policy.directives", "policy.decide", "policy.index", "policy.plan", "policy.records", "policy.regions",
    "policy.lists", "policy.radius", "policy.hold", "policy.proposal",
    "policy.explain", "policy.standing", "policy.still", "policy.protect", "policy.chain", "policy.rollback",
    "policy.overdue", "policy.disclosure", "policy.removed", "policy.told", "policy.rules", "policy.spared",
    "policy.remembered", "policy.freed",
    "resolver.wire", "resolver.answer", "resolver.chain", "resolver.judge", "resolver.engine",
    "resolver.cache", "resolver.shares", "resolver.quick",
    "plugins.dnsdist_classes", "plugins.dnsdist_config",
    "rpz.zone", "rpz.delta", "rpz.increment", "rpz.keyfile", "rpz.transfer", "rpz.update",
    "fleet.purge", "fleet.refusal", "fleet.report",
    "prober.expect", "prober.matrix", "prober.profile", "prober.judge", "prober.schedule", "prober.observe",
    "prober.report", "prober.book", "prober.forensics", "prober.single", "prober.evidence",
    "prober.keeping", "prober.owed",
    "compliance.observed", "compliance.operator_acts", "compliance.troubles",
    "compliance.document", "compliance.schema", "compliance.life", "compliance.pictures",
    "sweep.pages", "sweep.peek", "sweep.sampling", "sweep.swept",
    "feeds.extract", "feeds.contract", "feeds.difference", "feeds.family", "feeds.formats", "feeds.textlines",
    "feeds.hazard", "feeds.certpl", "feeds.zonecopy", "feeds.zonetext", "feeds.mint",
}  # fmt: skip
WORLD = {
    "asyncio", "fcntl", "io", "lmdb", "logging", "mmap", "multiprocessing", "os", "pathlib", "random",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "tempfile", "threading", "time", "urllib",
}  # fmt: skip
ALLOWED = {
    ("policy.index", "random"): "a sample of names by a seed that the caller gives",
}
DATA = {"orders.suffixes": "the list of public suffixes: data of an installed package, read once"}
TOUCHING = {"now", "utcnow", "today", "read_text", "read_bytes", "write_text", "write_bytes", "urandom"}
YAML_READERS = {"orders", "approvals", "sitefile", "sitetables", "fields", "yamltext", "policy"}
KNOWS_YAML = {
    "yaml",
    "yamltext",
    "fields",
    "sitefile",
    "sitetables",
    "orders.files",
    "orders.parse",
    "orders.tables",
}


class Import(NamedTuple):
    """One import: `module` is within blocker, or the top package of another."""

    module: str
    is_own: bool
    is_lazy: bool
    is_for_types: bool


@cache
def sources() -> dict[str, ast.Module]:
    """Every module by its dotted name below blocker."""
    found = {}
    for path in sorted((ROOT / "blocker").rglob("*.py")):
        parts = path.relative_to(ROOT / "blocker").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    return tuple(_imports(sources()[module], is_lazy=False, is_for_types=False))


def _imports(node: ast.AST, *, is_lazy: bool, is_for_types: bool) -> list[Import]:
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            targets = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            targets = _from(child)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typed = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            found += _imports(child, is_lazy=is_lazy or inside, is_for_types=is_for_types or typed)
            continue
        for target in targets:
            top, _, own = target.partition(".")
            is_own = top == "blocker"
            found.append(Import(own if is_own else top, is_own, is_lazy, is_for_types))
    return found


def _from(node: ast.ImportFrom) -> list[str]:
    base = node.module or ""
    return [
        f"{base}.{alias.name}" if f"{base}.{alias.name}".removeprefix("blocker.") in sources() else base
        for alias in node.names
    ]


def room(module: str) -> str:
    return module.partition(".")[0]


def floor(module: str) -> int:
    """0 is the street; what is on no list is the ground that everybody stands on."""
    return next((number for number, rooms in enumerate(FLOORS) if room(module) in rooms), len(FLOORS))


MODULES = [module for module in sources() if module]
PURE_HERE = [module for module in MODULES if module in PURE]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    up = [one.module for one in imports(module) if one.is_own and floor(one.module) < floor(module)]
    assert not up


def test_no_two_rooms_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        used = {room(one.module) for one in imports(module) if one.is_own and one.module}
        graph.setdefault(room(module), set()).update(used - {room(module)})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"rooms import each other: {' → '.join(error.args[1])}")


@pytest.mark.parametrize("module", PURE_HERE)
def test_pure_modules_import_nothing_that_touches_the_world(module: str) -> None:
    touching = [
        one.module
        for one in imports(module)
        if not one.is_for_types
        and (one.module not in PURE | DATA.keys() if one.is_own and one.module else one.module in WORLD)
        and (module, one.module) not in ALLOWED
    ]
    assert not touching


@pytest.mark.parametrize("module", PURE_HERE)
def test_pure_modules_neither_read_the_clock_nor_open_files(module: str) -> None:
    calls = [node.func for node in ast.walk(sources()[module]) if isinstance(node, ast.Call)]
    touching = [
        ast.unparse(called)
        for called in calls
        if (isinstance(called, ast.Name) and called.id in {"open", "input", "print"})
        or (isinstance(called, ast.Attribute) and called.attr in TOUCHING)
    ]
    assert not touching


def test_every_exception_is_still_needed() -> None:
    needed = {(module, one.module) for module in MODULES for one in imports(module)}
    assert set(ALLOWED) <= needed
    assert set(DATA) <= {used for _, used in needed}


def test_scapy_is_imported_in_one_module_and_lazily() -> None:
    found = {module: one for module in MODULES for one in imports(module) if one.module == "scapy"}
    assert list(found) == ["prober.capture"]
    assert all(one.is_lazy for module in found for one in imports(module) if one.module == "scapy")


def test_pages_are_made_in_one_way() -> None:
    assert [module for module in MODULES if "jinja2" in {one.module for one in imports(module)}] == [
        "web.drawn"
    ]


@pytest.mark.parametrize("module", MODULES)
def test_only_what_reads_orders_and_sites_knows_yaml(module: str) -> None:
    if room(module) not in YAML_READERS:
        assert "yaml" not in {one.module for one in imports(module)}
    if room(module) in {"resolver", "rpz", "prober", "compliance", "sweep"}:
        assert KNOWS_YAML.isdisjoint(one.module for one in imports(module))


def test_the_checks_see_what_they_forbid() -> None:
    source = ast.parse(
        "import os\nif TYPE_CHECKING:\n    from pathlib import Path\n"
        "def f():\n    from scapy.all import sniff\n    from blocker.policy import store\n"
    )
    assert _imports(source, is_lazy=False, is_for_types=False) == [
        Import("os", False, False, False),
        Import("pathlib", False, False, True),
        Import("scapy", False, True, False),
        Import("policy.store", True, True, False),
    ]
    assert (
        floor("cli.apply")
        < floor("web.view")
        < floor("prober.expect")
        < floor("policy")
        < floor("orders.model")
    )
    assert floor("orders.model") < floor("names") == floor("errors")
