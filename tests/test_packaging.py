"""What users receive: one top-level name that holds everything, a cheap import, and their own modules left alone."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.exact

ROOT = Path(__file__).resolve().parent.parent
MAPPED = ("quant", "cost_models", "latency", "reports")
HEAVY = ("torch", "pandas", "sklearn", "scipy", "matplotlib", "plotly", "optuna", "moocore")
REPORT = f"import json, sys; print(json.dumps(sorted(set(sys.modules) & set({HEAVY!r}))), file=sys.stderr)"


def tree(root: Path) -> set[str]:
    """Module and data files of the five folders, by their name inside a wheel."""
    found = set()
    for folder in ("hwsim", *MAPPED):
        for path in (root / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.add(("" if folder == "hwsim" else "hwsim/") + path.relative_to(root).as_posix())
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone holds, never installed."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ("hwsim", *MAPPED):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that this checkout builds, by pip's way into the build backend."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: make dev")
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source") / "hwsim"
    shutil.copytree(checkout, source)
    command = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", command, str(out)], cwd=source, check=True, capture_output=True, text=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip would lay it into site-packages."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(arguments: Sequence[str], cwd: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python where nothing of an editable or installed hwsim can help.

    Without `site` no .pth file is read; third-party packages come last on the path.
    """
    packages = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PYTHONPATH"] = os.pathsep.join([*map(str, path), *packages])
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, "-S", *arguments]
    run = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run


@pytest.mark.slow
def test_wheel_holds_every_file_under_one_name(checkout: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if name.startswith("hwsim/")}
    information = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    wanted = tree(checkout)
    assert not wanted - inside, f"missing from the wheel: {sorted(wanted - inside)}"
    assert not inside - wanted, f"in the wheel alone: {sorted(inside - wanted)}"
    assert names == inside | information, f"a second top-level name: {sorted(names - inside - information)}"
    assert any(name.endswith("licenses/LICENSE") for name in information)
    assert any(name.endswith(".toml") for name in inside), "no data file: the check above would prove little"


@pytest.mark.slow
def test_wheel_leaves_the_four_names_to_the_user(site: Path, tmp_path: Path) -> None:
    code = """
import importlib, hwsim, hwsim.core.formats
for name in ("quant", "cost_models", "latency", "reports"):
    assert importlib.import_module(f"hwsim.{name}").__name__ == f"hwsim.{name}"
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} is importable from the top level")
print(hwsim.__path__)
"""
    assert python(["-c", code], tmp_path, site).stdout.strip() == repr([str(site / "hwsim")])


USER = """
import quant, models, reports, latency
for module in (quant, models, reports, latency):
    assert module.OWNER == "user", module.__file__
import hwsim.quant, hwsim.reports, hwsim.latency, hwsim.cost_models
from hwsim.core.scaled import parse
import quant.layer
assert quant.layer.OWNER == quant.OWNER == reports.OWNER == "user"
assert hwsim.quant is not quant and not hasattr(hwsim.quant, "OWNER")
assert hwsim.reports is not reports
print(hwsim.__file__, [list(m.__path__) for m in (hwsim.quant, hwsim.cost_models, hwsim.latency, hwsim.reports)])
"""


def write_user_project(folder: Path) -> None:
    """A repository with its own quant package and models, reports, latency modules, as many have."""
    (folder / "quant").mkdir()
    (folder / "quant" / "__init__.py").write_text("OWNER = 'user'\n")
    (folder / "quant" / "layer.py").write_text("OWNER = 'user'\n")
    for name in ("models", "reports", "latency"):
        (folder / f"{name}.py").write_text("OWNER = 'user'\n")
    (folder / "net.py").write_text(USER)


def test_a_users_own_modules_win_beside_an_uninstalled_checkout(checkout: Path, tmp_path: Path) -> None:
    write_user_project(tmp_path)
    run = python(["net.py"], tmp_path, checkout)
    assert run.stdout.startswith(str(checkout / "hwsim" / "__init__.py"))
    for name in MAPPED:
        assert str(checkout / name) in run.stdout


def test_a_users_own_modules_win_in_this_environment(tmp_path: Path) -> None:
    """However hwsim is installed here: plainly, editable, or found by PYTHONPATH."""
    write_user_project(tmp_path)
    run = subprocess.run([sys.executable, "net.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_a_users_own_modules_win_beside_a_wheel(site: Path, tmp_path: Path) -> None:
    write_user_project(tmp_path)
    run = python(["net.py"], tmp_path, site)
    assert run.stdout.startswith(str(site / "hwsim" / "__init__.py"))


def test_the_uninstalled_checkout_works_from_anywhere(checkout: Path, tmp_path: Path) -> None:
    code = "import hwsim; from hwsim.core.scaled import parse; print(hwsim.__file__, parse('e4m3fn'))"
    run = python(["-c", code], tmp_path, checkout)
    assert run.stdout.strip() == f"{checkout / 'hwsim' / '__init__.py'} e4m3fn@tensor:f32"


def loaded_by(code: str, folder: Path) -> list[str]:
    """The heavy packages that are loaded after `code` ran in a fresh interpreter."""
    command = [sys.executable, "-c", f"{code}\n{REPORT}"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stderr.splitlines()[-1])


def test_the_probe_sees_a_heavy_import(tmp_path: Path) -> None:
    (tmp_path / "plotly.py").write_text("")
    assert loaded_by("import plotly", tmp_path) == ["plotly"]


def test_importing_hwsim_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_by("import hwsim", tmp_path) == []


def test_importing_all_of_core_loads_nothing_heavy(tmp_path: Path) -> None:
    modules = [f"hwsim.core.{path.stem}" for path in sorted((ROOT / "hwsim" / "core").glob("[a-z]*.py"))]
    assert len(modules) > 8
    assert loaded_by(f"import {', '.join(modules)}", tmp_path) == []


@pytest.mark.parametrize("words", ["--help", "quantize --help", "formats e2m1", "formats --json"])
def test_the_command_line_loads_nothing_heavy_before_it_must(words: str, tmp_path: Path) -> None:
    if not (ROOT / "hwsim" / "cli" / "main.py").is_file():
        pytest.skip("hwsim/cli/main.py is not there yet")
    code = f"""
import sys
sys.argv = ["hwsim", *{words.split()!r}]
from hwsim.cli.main import run
try:
    run()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert loaded_by(code, tmp_path) == []


def test_the_five_functions_are_the_interface() -> None:
    import hwsim

    assert hwsim.__all__ == ["cost", "explore", "export", "predict", "quantize"]
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        _ = hwsim.quantise  # type: ignore[attr-defined]
