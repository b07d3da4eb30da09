"""The project's face: installer, image, make targets, CI and reference pages keep what they promise."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import blocker
from tests import reference
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
INSTALL = ROOT / "ops" / "install"
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def run(
    *command: str | Path, cwd: Path, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def stage(name: str) -> list[str]:
    """The instructions of a stage of the Dockerfile, joined over line ends."""
    joined = DOCKERFILE.replace("\\\n", " ")
    stages = re.split(r"^(?=FROM )", joined, flags=re.MULTILINE)[1:]
    (found,) = [one for one in stages if one.splitlines()[0].endswith(name)]
    return [line for line in found.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which pip can build this project without asking anyone for anything."""
    backend = tmp_path_factory.mktemp("backend")
    parts = {path.parts[0] for path in distribution("setuptools").files or () if path.parts[0] != ".."}
    for part in parts - {"distutils-precedence.pth"}:
        source = Path(str(distribution("setuptools").locate_file(part)))
        (backend / part).symlink_to(source)
    return {"PYTHONPATH": str(backend), "PIP_NO_INDEX": "1", "PYTHON": sys.executable}


OFFLINE = ("--", "--no-deps", "--no-build-isolation")


def test_the_image_is_installed_by_the_installer_from_what_its_build_stage_copies(
    tmp_path: Path, offline: dict[str, str]
) -> None:
    source, prefix = tmp_path / "src", tmp_path / "opt"
    for line in stage(" AS build"):
        if line.startswith("COPY "):
            *parts, target = line.split()[1:]
            for part in parts:
                into = source / target / part if target == "./" else source / target
                into.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
                copy(ROOT / part, into)
    (command,) = [line.removeprefix("RUN ") for line in stage(" AS build") if line.startswith("RUN ")]
    assert command == "ops/install --copy --prefix /opt/blocker"

    run(*shlex.split(command.replace("/opt/blocker", str(prefix))), *OFFLINE, cwd=source, env=offline)

    shutil.rmtree(source)  # The image's second stage has the prefix alone.
    code = "import blocker; print(blocker.__file__, blocker.__version__)"
    told = run(prefix / "bin" / "python", "-c", code, cwd=tmp_path, env={"PYTHONPATH": ""}).stdout.split()
    assert told[0].startswith(str(prefix))
    assert told[1] == blocker.__version__
    assert (prefix / "bin" / "blocker").exists()


def test_the_installer_does_nothing_when_all_is_installed_and_again_when_pyproject_changed(
    tmp_path: Path,
) -> None:
    (tmp_path / "ops").mkdir()
    shutil.copy(INSTALL, tmp_path / "ops" / "install")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    # An environment whose Python only notes what it is called with.
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("python", "blocker"):
        (binaries / name).write_text('#!/bin/sh\necho "$@" >>"$0.calls"\n', encoding="utf-8")
        (binaries / name).chmod(0o755)

    def installed(*options: str) -> list[str]:
        calls = binaries / "python.calls"
        calls.write_text("", encoding="utf-8")
        run("ops/install", *options, cwd=tmp_path)
        return [line for line in calls.read_text(encoding="utf-8").splitlines() if "pip install" in line]

    here = str(tmp_path)
    assert [call.split()[-2:] for call in installed()] == [["--editable", here]]
    assert installed() == []
    assert [call.split()[-2:] for call in installed("--dev")] == [["--editable", f"{here}[dev]"]]
    assert installed("--dev") == []
    assert installed() == [], "what tests need includes what running needs"
    (tmp_path / "pyproject.toml").write_text(f"{PYPROJECT}\n# changed\n", encoding="utf-8")
    assert [call.split()[-2:] for call in installed()] == [["--editable", f"{here}[dev]"]]


def test_the_installer_touches_no_directory_that_holds_somebodys_files(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious", encoding="utf-8")
    done = run(INSTALL, "--prefix", tmp_path, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "holds files and is no virtual environment" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_the_installer_says_which_python_it_needs(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    old.chmod(0o755)
    done = run(INSTALL, "--prefix", tmp_path / "env", cwd=ROOT, check=False, env={"PYTHON": str(old)})
    assert done.returncode == 1
    assert "no Python 3.11 or later" in done.stderr
    assert "set PYTHON to one" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--fast"], "'--fast'"), (["--prefix"], "needs a directory")]
)
def test_the_installer_refuses_options_it_does_not_know(arguments: list[str], words: str) -> None:
    done = run(INSTALL, *arguments, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert words in done.stderr


def test_the_image_runs_as_its_own_user_with_a_health_check() -> None:
    final = stage("-slim")
    assert "USER blocker" in final
    (check,) = [line for line in final if line.startswith("HEALTHCHECK ")]
    assert "http://127.0.0.1:9353/healthz" in check
    assert 'web: {listen: "127.0.0.1:9353"}' in (ROOT / "policies" / "site.yaml").read_text(encoding="utf-8")


def test_everything_the_image_copies_is_let_through_to_its_build() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    copied = {
        part
        for name in (" AS build", "-slim")
        for line in stage(name)
        if line.startswith("COPY ") and "--from" not in line
        for part in line.split()[1:-1]
    }
    assert copied == kept


@pytest.mark.parametrize("target", ["run", "lint", "types", "demo", "docs", "bench"])
def test_every_make_target_that_runs_code_sets_itself_up(target: str) -> None:
    (needs,) = re.findall(rf"^{target}: (.*?) ##", MAKEFILE, re.MULTILINE)
    assert needs in ("install", "install-dev")


def test_make_test_is_lint_and_types_and_tests_and_coverage() -> None:
    steps = [
        r"test: lint types ##.*",
        r"\t\$\(VENV\)/coverage run -m pytest",
        r"\t\$\(VENV\)/coverage report",
    ]
    assert re.search("^" + r"\n".join(steps) + "$", MAKEFILE, re.MULTILINE)


def test_make_alone_tells_every_target() -> None:
    told = run("make", "--no-print-directory", cwd=ROOT).stdout
    targets = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    assert [line.split()[1] for line in told.splitlines()] == targets


def test_ci_requires_the_engines_and_ends_with_make_test() -> None:
    assert "set -euo pipefail" in CI
    assert CI.rstrip().endswith("export BLOCKER_ENGINES=required\nmake test")
    run("bash", "-n", ROOT / ".ci" / "run", cwd=ROOT)


SKIPPING = {
    "call": "import pytest\ndef test_a(): pytest.skip('no unbound')\n",
    "mark": "import pytest\n@pytest.mark.skip(reason='no unbound')\ndef test_a(): pass\n",
    "module": "import pytest\npytest.skip('no unbound', allow_module_level=True)\n",
}


def test_a_skipped_test_fails_where_engines_are_required_and_only_there(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    for name, code in SKIPPING.items():
        (tmp_path / f"test_{name}.py").write_text(code, encoding="utf-8")
    options = ("-p", "no:cacheprovider", "--rootdir", ".", "--continue-on-collection-errors", "-rA", ".")
    command = (sys.executable, "-m", "pytest", *options)

    at_home = run(*command, cwd=tmp_path, check=False, env={"BLOCKER_ENGINES": ""}).stdout
    on_ci = run(*command, cwd=tmp_path, check=False, env={"BLOCKER_ENGINES": "required"}).stdout

    assert "3 skipped" in at_home
    assert "1 failed, 2 errors" in on_ci
    assert on_ci.count("no unbound") >= len(SKIPPING)


@pytest.mark.parametrize("name", ["checks.md", "cli.md", "findings.md", "metrics.md"])
def test_the_reference_page_is_what_the_code_says(name: str) -> None:
    written = (ROOT / "ops" / "docs" / name).read_text(encoding="utf-8")
    assert written == reference.pages()[name], "run `make docs`"


def test_every_reference_page_is_in_ops_docs_and_what_people_wrote_begins_with_its_title() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "ops" / "docs").iterdir()}
    assert set(reference.pages()) <= set(found)
    assert all(re.match(r"# \w.*\n\n", text) for text in found.values())


def test_every_dependency_has_its_reason_beside_it() -> None:
    project = tomllib.loads(PYPROJECT)["project"]
    for needed in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        assert re.search(rf'^    "{re.escape(needed)}", +# \w+', PYPROJECT, re.MULTILINE), needed


def test_files_that_are_not_code_are_installed_with_it() -> None:
    declared = tomllib.loads(PYPROJECT)["tool"]["setuptools"]["package-data"]
    others = {
        path.relative_to(ROOT)
        for path in (ROOT / "blocker").rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert others
    for path in others:
        patterns = declared[".".join(path.parent.parts)]
        assert any(path.match(pattern) for pattern in patterns), path


def test_the_version_is_one_everywhere() -> None:
    assert tomllib.loads(PYPROJECT)["project"]["version"] == blocker.__version__ == version("blocker")
    assert f"\n## {blocker.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_licence_is_mit() -> None:
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n")
    assert tomllib.loads(PYPROJECT)["project"]["license"] == "MIT"


def test_nothing_is_put_off_in_a_comment() -> None:
    put_off = re.compile(r"#.*\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
    for folder in ("blocker", "tests", "ops", "policies"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert not put_off.search(path.read_text(encoding="utf-8", errors="replace")), path


def test_ci_installs_every_package_whose_absence_makes_a_test_skip() -> None:
    named = set()
    for path in (ROOT / "tests").rglob("*.py"):
        named |= set(re.findall(r"not installed: apt-get install ([a-z0-9-]+)", path.read_text("utf-8")))
    named |= set(lab.PACKAGES.values())
    (installed,) = re.findall(r"^packages=\((.*)\)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    assert "faketime" in named
    assert named <= set(installed.split())


def test_what_a_check_is_told_to_pass_over_has_its_reason_on_the_line() -> None:
    without = re.compile(r"#\s*(?:noqa(?:: [A-Z0-9, ]+)?|type: ignore(?:\[[a-z, -]+\])?)\s*$")
    sources = [path for room in ("blocker", "tests", "ops") for path in (ROOT / room).rglob("*.py")]
    assert [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if without.search(line)
    ] == []
