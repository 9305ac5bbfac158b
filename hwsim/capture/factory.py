"""Finding and calling a user's own code: `path/to/file.py:factory` and `package.module:factory`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import site
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from hwsim.core.errors import HwsimError, InputError, nearest

_INSTALLED = tuple(
    str(Path(path).resolve())
    for path in (
        *(sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")),
        site.getusersitepackages(),
    )
)


def is_factory(spec: str) -> bool:
    """Whether a spec string names a callable in a file or module."""
    head, colon, name = spec.rpartition(":")
    return bool(colon and head) and name.isidentifier()


def call_factory(spec: str, use: Callable[[Any], Any]) -> Any:
    """Load what `spec` names and return `use(it)`, both with the user's folder first on the search path.

    The folder is the file's own, or the working folder for `package.module`; it is searched only while this runs.
    What the user's code prints goes to stderr, for stdout belongs to data.

    Raises
    ------
    InputError
        The file, module or name is not there, or the user's code fails: with its own last line, no traceback.
    """
    head, _, name = spec.rpartition(":")
    is_file = head.endswith(".py")
    path = Path(head).expanduser()
    if is_file and not path.is_file():
        near = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        hint = nearest(path.name, near) if near else "give path/to/file.py:factory or package.module:factory"
        raise InputError("no such file", where=head, hint=hint)
    folder = path.resolve().parent if is_file else Path.cwd()
    with _first_on_path(folder), redirect_stdout(sys.stderr):
        try:
            module = _import_file(path.resolve()) if is_file else importlib.import_module(head)
        except HwsimError:
            raise
        except (Exception, SystemExit) as error:
            raise _import_failure(error, head, is_file) from error
        try:
            return use(_attribute(module, name, head))
        except HwsimError:
            raise
        except (Exception, SystemExit) as error:
            raise user_failure(error, f"{head}:{name}", "fails when called") from error


def user_failure(error: BaseException, where: str, what: str) -> InputError:
    """An exception of the user's code as an InputError that quotes its type, message and innermost line."""
    last = traceback.format_exception_only(error)[-1].strip()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_users(f.filename)]
    at = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    if isinstance(error, SyntaxError):
        at = f" ({error.filename}, line {error.lineno})"
    return InputError(f"{what}: {last}{at}", where=where, hint="run it in Python to see the whole traceback")


def _attribute(module: ModuleType, name: str, head: str) -> Any:
    if not hasattr(module, name):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(f"nothing named {name!r}", where=head, hint=nearest(name, names) if names else "it is empty")
    return getattr(module, name)


def _import_failure(error: BaseException, head: str, is_file: bool) -> InputError:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if not is_file and missing and (head == missing or head.startswith(missing + ".")):
        hint = "modules are looked up in the working folder and in what is installed; or give path/to/file.py:factory"
        return InputError(f"no module named {missing!r}", where=head, hint=hint)
    failure = user_failure(error, head, "fails on import")
    if is_file and "relative import" in str(error):
        failure.hint = "a file inside a package is given as package.module:factory"
    return failure


def _import_file(path: Path) -> ModuleType:
    """Run a file as a module of its own, under a name that no other module has."""
    name = f"hwsim_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # the suffix is .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch look modules up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Search `folder` first; same-named modules of another project, loaded before, make room."""
    for name in _names_in(folder):
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded and not _is_installed(loaded) and not Path(loaded).resolve().is_relative_to(folder):
            for key in [k for k in sys.modules if k == name or k.startswith(name + ".")]:
                del sys.modules[key]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _names_in(folder: Path) -> set[str]:
    files = {p.stem for p in folder.glob("*.py")}
    return {name for name in files | {p.parent.name for p in folder.glob("*/__init__.py")} if name != "hwsim"}


def _is_users(filename: str) -> bool:
    own = Path(filename).resolve().is_relative_to(Path(__file__).resolve().parent.parent)
    return not (own or filename.startswith("<") or _is_installed(filename))


def _is_installed(filename: str) -> bool:
    return str(Path(filename).resolve()).startswith(_INSTALLED)
