"""The house rules, checked on the syntax tree of every file: who may import whom, sizes, names, types."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

pytestmark = pytest.mark.exact

ROOT = Path(__file__).resolve().parent.parent
MAPPED = ("quant", "cost_models", "latency", "reports")
FOLDERS = ("hwsim", *MAPPED)

LOWER = {"core", "stats", "zoo", "reports", "capture", "quant", "cost_models", "latency"}
ALL = LOWER | {"search", "hls", "exchange", "dynamic", "config", "cli", "api"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "stats": {"core"},
    "zoo": {"core"},
    "reports": {"core"},
    "capture": {"core", "zoo"},
    "quant": {"core", "stats", "capture"},
    "cost_models": {"core", "stats"},
    "latency": {"core", "stats"},
    "latency/profile": {"core", "stats", "capture"},
    "search": LOWER,
    "hls": LOWER,
    "exchange": LOWER,
    "dynamic": LOWER,
    "config": ALL,
    "api": ALL,
    "cli": ALL,
    "hwsim": {"api"},  # hwsim/__init__.py, which re-exports the five functions on first use
}
# api stands for every module directly in hwsim/: the front door, imported on the first use of a function.
TORCH_AT_IMPORT = {"quant", "capture", "zoo", "dynamic", "hls", "exchange", "search", "latency/profile", "api"}
TORCH_INSIDE_FUNCTIONS = TORCH_AT_IMPORT | {"stats", "config", "cli"}
FORBIDDEN_STEMS = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
MOST_LINES, MOST_FUNCTION_LINES, MOST_PUBLIC_NAMES = 400, 50, 14

Check = Callable[[PurePosixPath, str], list[str]]


def room_of(path: PurePosixPath) -> str:
    """The room that a file lies in, by its path from the root of the checkout."""
    folder, *rest = path.parts
    if folder == "latency" and rest[0].startswith("profil"):
        return "latency/profile"
    if folder in MAPPED:
        return folder
    if len(rest) == 1:
        return {"__init__.py": "hwsim", "config.py": "config"}.get(rest[0], "api")
    return rest[0]


def room_of_module(name: str) -> str | None:
    """The room of a dotted module name, or None where it is not one of ours."""
    first, _, rest = name.partition(".")
    room = rest.partition(".")[0]
    return None if first != "hwsim" else room if room in ALL or (ROOT / "hwsim" / room).is_dir() else "api"


def imports(tree: ast.AST, path: PurePosixPath) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import: statements anywhere, and import_module of a string with a literal head."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                package = path.parent.parts if path.parts[0] == "hwsim" else ("hwsim", *path.parent.parts)
                module = ".".join((*package[: len(package) - node.level + 1], *([node.module] if node.module else [])))
            else:
                module = node.module or ""
            if module == "hwsim":
                yield from ((node.lineno, f"hwsim.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            text = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            if called in ("import_module", "__import__") and isinstance(text, ast.Constant):
                yield node.lineno, str(text.value).rstrip(".")


def at_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: not bodies of functions, not `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (x for branch in child.orelse for x in (branch, *at_import_time(branch)))
            continue
        yield child
        yield from at_import_time(child)


def import_arrows(path: PurePosixPath, source: str) -> list[str]:
    room, found = room_of(path), []
    if room not in MAY_IMPORT:
        return [f"{path}: room {room!r} is not in MAY_IMPORT; add it there and to the table of rooms in the README"]
    for line, name in imports(ast.parse(source, str(path)), path):
        target = room_of_module(name)
        if target not in (None, room.partition("/")[0], *MAY_IMPORT[room]):
            allowed = ", ".join(sorted(MAY_IMPORT[room])) or "nothing of ours"
            found.append(f"{path}:{line}: {room} may not import {name} (allowed: {allowed})")
    return found


def own_names(path: PurePosixPath, source: str) -> list[str]:
    found = []
    tree = ast.parse(source, str(path))
    for line, name in imports(tree, path):
        if name.partition(".")[0] in MAPPED:
            found.append(f"{path}:{line}: import hwsim.{name}, not {name}: the top-level name belongs to the user")
        if name.startswith("hwsim.hwsim"):
            found.append(f"{path}:{line}: {name}: the package is hwsim")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append(f"{path}:{node.lineno}: a relative import; write it as `from hwsim...`")
    return found


def torch_where_it_may_be(path: PurePosixPath, source: str) -> list[str]:
    room, tree = room_of(path), ast.parse(source, str(path))

    def lines(nodes: Iterator[ast.AST]) -> set[int]:
        flat = ast.Module([n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)], [])
        return {line for line, name in imports(flat, path) if name.partition(".")[0] in ("torch", "torchvision")}

    found = []
    if room not in TORCH_AT_IMPORT:
        found += [f"{path}:{n}: {room} may not import torch at its top level" for n in lines(at_import_time(tree))]
    if room not in TORCH_INSIDE_FUNCTIONS:
        found += [f"{path}:{n}: {room} may not import torch at all" for n in lines(ast.walk(tree))]
    return found


def core_needs_numpy_at_most(path: PurePosixPath, source: str) -> list[str]:
    if room_of(path) != "core":
        return []
    allowed = {*sys.stdlib_module_names, "numpy", "hwsim"}
    names = imports(ast.parse(source, str(path)), path)
    return [f"{path}:{n}: core may not import {name}" for n, name in names if name.partition(".")[0] not in allowed]


def short_files(path: PurePosixPath, source: str) -> list[str]:
    lines = len(source.splitlines())
    return [f"{path}: {lines} lines, at most {MOST_LINES}"] if lines > MOST_LINES else []


def short_functions(path: PurePosixPath, source: str) -> list[str]:
    """Lines of the body that hold code: without signature, docstring, blank lines and comments."""
    lines, found = source.splitlines(), []
    for node in ast.walk(ast.parse(source, str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            span = range(body[0].lineno, (node.end_lineno or 0) + 1) if body else ()
            code = sum(1 for n in span if lines[n - 1].strip() and not lines[n - 1].lstrip().startswith("#"))
            if code > MOST_FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {code} lines, at most {MOST_FUNCTION_LINES}")
    return found


def typed_functions(path: PurePosixPath, source: str) -> list[str]:
    found, tree = [], ast.parse(source, str(path))
    methods = {f for c in ast.walk(tree) if isinstance(c, ast.ClassDef) for f in c.body}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        a = node.args
        arguments = [*a.posonlyargs, *a.args]
        if node in methods and arguments and arguments[0].arg in ("self", "cls"):
            arguments = arguments[1:]
        arguments += [*a.kwonlyargs, *(x for x in (a.vararg, a.kwarg) if x)]
        bare = [x.arg for x in arguments if x.annotation is None] + (["return"] if node.returns is None else [])
        if bare:
            found.append(f"{path}:{node.lineno}: {node.name} has no type for {', '.join(bare)}")
    return found


def telling_names(path: PurePosixPath, source: str) -> list[str]:
    bad = [part for part in path.with_suffix("").parts if part in FORBIDDEN_STEMS]
    return [f"{path}: {bad[0]!r} says nothing; name the file by its one idea"] if bad else []


def few_public_names(path: PurePosixPath, source: str) -> list[str]:
    """`__all__` of a package is one literal list, or `sorted(TABLE)` of a literal table of the same file."""
    if path.name != "__init__.py":
        return []
    found, literals = [], {}
    for node in ast.parse(source, str(path)).body:
        names = [t.id for t in getattr(node, "targets", [getattr(node, "target", None)]) if isinstance(t, ast.Name)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "sorted" and isinstance(value.args[0], ast.Name):
            value = literals.get(value.args[0].id)
        literals.update(dict.fromkeys(names, value))
        if "__all__" in names:
            members = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", None)
            if members is None or isinstance(node, ast.AugAssign):
                found.append(f"{path}:{node.lineno}: __all__ is to be one literal list, or sorted(a literal table)")
            elif len(members) > MOST_PUBLIC_NAMES:
                found.append(f"{path}:{node.lineno}: {len(members)} public names, at most {MOST_PUBLIC_NAMES}")
    return found


CHECKS: list[Check] = [
    import_arrows,
    own_names,
    torch_where_it_may_be,
    core_needs_numpy_at_most,
    short_files,
    short_functions,
    typed_functions,
    telling_names,
    few_public_names,
]


def sources() -> list[tuple[PurePosixPath, str]]:
    paths = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))
    return [(PurePosixPath(p.relative_to(ROOT).as_posix()), p.read_text(encoding="utf-8")) for p in paths]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_house(check: Check) -> None:
    files = sources()
    assert len(files) > 10, f"no sources under {ROOT}"
    found = [line for path, source in files for line in check(path, source)]
    assert not found, "\n" + "\n".join(found)


def test_every_folder_of_the_house_is_a_known_room() -> None:
    rooms = {room_of(path) for path, _ in sources()}
    assert rooms <= set(MAY_IMPORT), f"rooms without a rule: {sorted(rooms - set(MAY_IMPORT))}"


LONG_FUNCTION = "def f(\n    a: int,\n) -> None:\n" + "    x = 1\n" * 51
FULL_FUNCTION = "def f() -> None:\n    '''a\n" + "b\n" * 60 + "'''\n" + "    # c\n\n" * 60 + "    x = 1\n" * 50
BAD: list[tuple[Check, str, str]] = [
    (import_arrows, "hwsim/core/x.py", "from hwsim.quant.layers import f"),
    (import_arrows, "hwsim/core/x.py", "def f() -> None:\n    import hwsim.stats.presto"),
    (import_arrows, "hwsim/core/x.py", "from hwsim import stats"),
    (import_arrows, "hwsim/core/x.py", "from hwsim import quantize"),
    (import_arrows, "hwsim/core/x.py", "import importlib\nimportlib.import_module('hwsim.zoo.data')"),
    (import_arrows, "hwsim/capture/x.py", "from ..search import study"),
    (import_arrows, "hwsim/capture/x.py", "if TYPE_CHECKING:\n    from hwsim.quant import model"),
    (import_arrows, "quant/deep/x.py", "from hwsim.cost_models.parts import f"),
    (import_arrows, "quant/x.py", "from hwsim.zoo.data import digits"),
    (import_arrows, "cost_models/x.py", "from hwsim.latency import f"),
    (import_arrows, "latency/x.py", "from hwsim.capture.graph import capture"),
    (import_arrows, "reports/x.py", "from hwsim.stats import f"),
    (import_arrows, "hwsim/search/x.py", "from hwsim.hls.project import f"),
    (import_arrows, "hwsim/hls/x.py", "from hwsim.config import f"),
    (import_arrows, "hwsim/attic/x.py", ""),
    (own_names, "hwsim/api.py", "import quant"),
    (own_names, "hwsim/api.py", "from reports.page import f"),
    (own_names, "latency/x.py", "def f() -> None:\n    from latency.devices import g"),
    (own_names, "hwsim/api.py", "import hwsim.hwsim.core"),
    (own_names, "hwsim/api.py", "from hwsim import hwsim"),
    (own_names, "hwsim/cli/x.py", "from . import main"),
    (torch_where_it_may_be, "hwsim/core/x.py", "import torch"),
    (torch_where_it_may_be, "hwsim/core/x.py", "def f() -> None:\n    import torch"),
    (torch_where_it_may_be, "hwsim/cli/x.py", "from torch import nn"),
    (torch_where_it_may_be, "hwsim/cli/x.py", "try:\n    import torch.nn\nexcept ImportError:\n    pass"),
    (torch_where_it_may_be, "hwsim/stats/x.py", "class A:\n    import torch"),
    (torch_where_it_may_be, "latency/roofline.py", "def f() -> None:\n    import torch"),
    (torch_where_it_may_be, "reports/x.py", "if TYPE_CHECKING:\n    import torch"),
    (core_needs_numpy_at_most, "hwsim/core/x.py", "def f() -> None:\n    import scipy.stats"),
    (short_files, "quant/x.py", "\n" * 401),
    (short_functions, "quant/x.py", LONG_FUNCTION),
    (short_functions, "quant/x.py", "class A:\n" + "".join(f"    {line}\n" for line in LONG_FUNCTION.splitlines())),
    (typed_functions, "quant/x.py", "def f(x) -> None: ..."),
    (typed_functions, "quant/x.py", "def f(*, x) -> None: ..."),
    (typed_functions, "quant/x.py", "def f(*x, **y) -> None: ..."),
    (typed_functions, "quant/x.py", "def f(x: int): ..."),
    (typed_functions, "quant/x.py", "def f(self) -> None: ..."),
    (typed_functions, "quant/x.py", "class A:\n    def f(self, x) -> None: ..."),
    (typed_functions, "quant/x.py", "def f() -> None:\n    def g(x: int): ..."),
    (telling_names, "quant/utils.py", ""),
    (telling_names, "quant/common/x.py", ""),
    (telling_names, "quant/base.py", ""),
    (few_public_names, "quant/__init__.py", f"__all__ = {[f'n{i}' for i in range(15)]}"),
    (few_public_names, "quant/__init__.py", "__all__ = ['a']\n__all__ += ['b']"),
    (few_public_names, "quant/__init__.py", f"T = {dict.fromkeys(map(str, range(15)))}\n__all__ = sorted(T)"),
    (few_public_names, "quant/__init__.py", "__all__ = sorted(globals())"),
    (import_arrows, "quant/__init__.py", "import_module(f'hwsim.search.{x}')"),
    (import_arrows, "hwsim/__init__.py", "import hwsim.core.formats"),
    (import_arrows, "hwsim/search/x.py", "from hwsim.inputs import network_of"),
    (torch_where_it_may_be, "hwsim/__init__.py", "def f() -> None:\n    import torch"),
]
GOOD: list[tuple[Check, str, str]] = [
    (import_arrows, "hwsim/core/x.py", "from hwsim.core.formats import Int\nimport numpy, hwsimulator"),
    (import_arrows, "hwsim/capture/x.py", "from hwsim import zoo\nfrom hwsim.core import formats"),
    (import_arrows, "latency/profile.py", "from hwsim.capture.graph import capture\nfrom hwsim.latency import devices"),
    (import_arrows, "latency/profiling/timer.py", "from hwsim.capture.graph import capture"),
    (import_arrows, "hwsim/search/x.py", "from hwsim.quant import a\nfrom hwsim.reports import b"),
    (import_arrows, "hwsim/cli/main.py", "from hwsim import explore\nfrom hwsim.search import study"),
    (import_arrows, "hwsim/api.py", "from hwsim.inputs import network_of\nimport hwsim.search.run"),
    (import_arrows, "quant/__init__.py", "import_module(f'hwsim.quant.{x}')\nimport_module(x)"),
    (torch_where_it_may_be, "hwsim/inputs.py", "import torch"),
    (import_arrows, "hwsim/__init__.py", "from importlib import import_module\nimport_module('hwsim.api')"),
    (own_names, "quant/x.py", "from hwsim.quant import layers\nimport quantizers, latency_tools"),
    (torch_where_it_may_be, "quant/x.py", "import torch"),
    (torch_where_it_may_be, "latency/profile.py", "import torch"),
    (torch_where_it_may_be, "hwsim/stats/x.py", "def fit() -> None:\n    import torch"),
    (torch_where_it_may_be, "hwsim/api.py", "if TYPE_CHECKING:\n    import torch"),
    (core_needs_numpy_at_most, "hwsim/core/x.py", "import json\nimport numpy as np\nfrom hwsim.core import formats"),
    (core_needs_numpy_at_most, "hwsim/zoo/x.py", "import sklearn"),
    (short_files, "quant/x.py", "x = 1\n" * 400),
    (short_functions, "quant/x.py", FULL_FUNCTION),
    (short_functions, "quant/x.py", "def f(\n" + "    a: int,\n" * 60 + ") -> None: ..."),
    (typed_functions, "quant/x.py", "class A:\n    def f(self, *a: int, b: int = 1) -> None: ...\n    x = lambda y: y"),
    (typed_functions, "quant/x.py", "class A:\n    @classmethod\n    def f(cls) -> None: ..."),
    (telling_names, "quant/observers.py", ""),
    (few_public_names, "quant/__init__.py", f"__all__ = {[f'n{i}' for i in range(14)]}"),
    (few_public_names, "quant/__init__.py", "_HOMES = {'a': 'b'}\n__all__ = sorted(_HOMES)"),
    (few_public_names, "quant/kernels.py", f"__all__ = {[f'n{i}' for i in range(15)]}"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "path", "source"), BAD)
def test_each_check_can_fail(check: Check, path: str, source: str) -> None:
    found = check(PurePosixPath(path), source)
    assert found
    assert all(line.startswith(path) for line in found)


@pytest.mark.parametrize(("check", "path", "source"), GOOD)
def test_each_check_lets_good_sources_pass(check: Check, path: str, source: str) -> None:
    assert check(PurePosixPath(path), source) == []
