"""Reading a configuration: every key, format, recipe and target is checked before any work begins."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from hwsim.config.format_lists import check_pair, expand_formats
from hwsim.core.design import OBJECTIVES
from hwsim.core.errors import HwsimError, InputError, nearest
from hwsim.search.settings import StudyConfig


def load_config(path: Path | str, settings: Iterable[str] = ()) -> StudyConfig:
    """A study's configuration from a TOML file.

    Parameters
    ----------
    settings : `table.key=value` texts that win over the file; a value is TOML, or a bare string.

    Raises
    ------
    InputError
        No such file, no TOML, an unknown key, or a value that is not allowed; file and key are named.
    """
    source = str(path)
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(error.strerror or str(error), where=source, hint="a TOML configuration is wanted") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(str(error), where=source, hint="a TOML configuration is wanted") from None
    return resolve(with_settings(data, settings), source)


def resolve(data: Mapping[str, Any], source: str = "configuration") -> StudyConfig:
    """A checked configuration from nested tables: lists of formats expanded, all defaults filled in.

    The result's `as_dict()` resolves to itself.
    """
    try:
        config = StudyConfig.model_validate(dict(data))
    except ValidationError as error:
        raise _explain(error, source) from None
    config = _expanded(config, source)
    _check_formats(config, source)
    _check_targets(config, source)
    _check_search(config, source)
    from hwsim.quant.recipe import parse_recipe

    for text in config.quant.recipes:
        _at(f"{source}: quant.recipes", parse_recipe, text)
    return config


def with_settings(data: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """A copy of the tables with `table.key=value` texts laid over them."""
    result = deepcopy(dict(data))
    for text in settings:
        path, equals, value = text.partition("=")
        keys = path.strip().split(".", 2)  # a layer's name keeps its dots
        if not equals or len(keys) < 2 or not all(keys):
            raise InputError(f"{text!r}", where="--set", hint="wanted: TABLE.KEY=VALUE, e.g. quant.seeds=[0,1]")
        table = result
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise InputError(f"{key!r} is no table", where=f"--set {text}", hint="wanted: TABLE.KEY=VALUE")
        table[keys[-1]] = _toml_value(value.strip())
    return result


def _expanded(config: StudyConfig, source: str) -> StudyConfig:
    formats = config.formats
    lists = {}
    for side in ("weights", "acts"):
        lists[side] = _at(f"{source}: formats.{side}", expand_formats, getattr(formats, side))
        if not lists[side]:
            raise InputError("no format", where=f"{source}: formats.{side}", hint='e.g. ["int4", "e4m3"], "3..8"')
    if formats.pairs == "same":
        if "acts" in formats.model_fields_set and lists["acts"] != lists["weights"]:
            hint = 'leave acts out, or take pairs = "product"'
            raise InputError('pairs = "same" with other acts than weights', where=f"{source}: formats.acts", hint=hint)
        lists["acts"] = lists["weights"]
    once = {"quant": ("recipes", "seeds"), "fpga": ("parts",), "gpu": ("devices",), "search": ("objectives",)}
    update: dict[str, BaseModel] = {"formats": formats.model_copy(update=lists)}
    for table, keys in once.items():
        part = getattr(config, table)
        update[table] = part.model_copy(update={key: tuple(dict.fromkeys(getattr(part, key))) for key in keys})
    return config.model_copy(update=update)


def _check_formats(config: StudyConfig, source: str) -> None:
    policy = config.policy("none", "none")
    for side, check in (("weights", policy.weight_spec), ("acts", policy.act_spec)):
        for text in getattr(config.formats, side):
            _at(f"{source}: formats.{side}", check, text)
    if config.formats.edge != "same":
        _at(f"{source}: formats.edge", check_pair, policy, config.formats.edge)
    for glob, text in config.formats.overrides.items():
        _at(f"{source}: formats.overrides.{glob}", check_pair, policy, text)


def _check_targets(config: StudyConfig, source: str) -> None:
    from hwsim.cost_models import part
    from hwsim.latency import device

    found: dict[str, str] = {}
    for key, names, load in (("fpga.parts", config.fpga.parts, part), ("gpu.devices", config.gpu.devices, device)):
        for spec in names:
            name = _at(f"{source}: {key}", load, spec).name
            if name in found:
                hint = "tables and fronts go by name: give each its own"
                raise InputError(f"{found[name]!r} and {spec!r} are both {name}", where=f"{source}: {key}", hint=hint)
            found[name] = spec
    if not config.fpga.parts and not config.gpu.devices:
        raise InputError("no target", where=source, hint="name [fpga] parts or [gpu] devices")
    if not config.quant.recipes:
        raise InputError("no recipe", where=f"{source}: quant.recipes", hint="see hwsim recipes")


def _check_search(config: StudyConfig, source: str) -> None:
    where = f"{source}: search.objectives"
    for name in config.search.objectives:
        if name not in OBJECTIVES:
            raise InputError(f"no objective {name!r}", where=where, hint=nearest(name, OBJECTIVES))
    if "error" not in config.search.objectives or len(config.search.objectives) < 2:
        raise InputError("an objective is missing", where=where, hint="error, and a cost to set it against: lut, ...")


def _at(where: str, action: Callable[..., Any], *args: Any) -> Any:
    """Run a check; what it finds is told with the key of the configuration."""
    try:
        return action(*args)
    except HwsimError as error:
        place = f"{where}: {error.where}" if error.where else where
        raise type(error)(error.message, where=place, hint=error.hint) from None


def _explain(error: ValidationError, source: str) -> InputError:
    """The first complaint of pydantic in the words of hwsim."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key, parent = path[-1], ".".join(path[:-1])
    if first["type"] == "extra_forbidden":
        where = f"{source}: [{parent}]" if parent else source
        return InputError(f"unknown key {key!r}", where=where, hint=nearest(key, _keys(path[:-1])))
    if first["type"] == "missing":
        where = f"{source}: [{parent}]" if parent else source
        what = "key" if parent else "table"
        return InputError(f"{what} {key!r} is missing", where=where, hint='e.g. [model] spec = "zoo:digits_resnet"')
    place = path[:2]
    reasons = [e["msg"] for e in error.errors() if [str(part) for part in e["loc"][:2]] == place]
    shown = first["input"]
    return InputError(f"{shown!r}", where=f"{source}: {'.'.join(place)}", hint=" or: ".join(dict.fromkeys(reasons)))


def _keys(path: list[str]) -> list[str]:
    """The keys that a table of the configuration allows."""
    model: Any = StudyConfig
    for key in path:
        model = model.model_fields[key].annotation
    return list(model.model_fields)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
