"""Configurations: defaults, lists of formats, settings on top, and an error that names file, key and nearest match."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from studies import tables

from hwsim.config import load_config, resolve, to_toml
from hwsim.config.format_lists import expand_formats
from hwsim.core.errors import InputError
from hwsim.core.formats import default_grid

pytestmark = pytest.mark.exact

MINIMAL = '[model]\nspec = "zoo:mlp"\n\n[fpga]\nparts = ["kv260"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(MINIMAL)
    return path


def test_defaults(file: Path) -> None:
    config = load_config(file)
    grid = tuple(str(fmt) for fmt in default_grid())
    assert (config.formats.weights, config.formats.acts) == (grid, grid)
    assert len(grid) == 24
    assert config.quant.recipes == ("rtn",)
    assert config.quant.seeds == (0,)
    assert config.formats.edge == "same"
    assert config.fpga.arch == "dataflow"
    assert config.search.budget is None
    assert config.search.objectives == ("error", "lut", "latency_us", "memory_bits")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"formats": {"weights": ["3..4"], "overrides": {"head.*": "int8,", "st?m": ",e4m3"}, "edge": "int8,e4m3"}},
        {"formats": {"pairs": "same", "weights": "default"}},
        {"fpga": {"parts": ["u250", "kv260"], "reuse": {"stem": 3}, "dsp": "never"}},
        {"data": {"mean": [0.5], "std": 0.25, "resize": 8}, "model": {"input_shape": [1, 1, 6, 6]}},
        {"search": {"budget": 7, "workers": 2, "objectives": "error,dsp"}, "quant": {"seeds": [3, 1, 3]}},
    ],
)
def test_a_resolved_configuration_is_a_valid_input_and_resolves_to_itself(changes: dict[str, Any]) -> None:
    data = tables(**changes)
    if changes.get("formats", {}).get("pairs") == "same":
        del data["formats"]["acts"]
    config = resolve(data)
    again = resolve(tomllib.loads(to_toml(config.as_dict())))
    assert again == config
    assert to_toml(again.as_dict()) == to_toml(config.as_dict())


@pytest.mark.parametrize(
    ("words", "count", "some"),
    [
        (["default"], 24, "e5m2"),
        (["3..8"], 24, "e5m2"),
        (["4..4"], 3, "e2m1"),
        (["int3..int8"], 6, "int5"),
        (["int4", "3..4", "e4m3"], 6, "e4m3"),
        (["int4@group32", "nvfp4"], 2, "nvfp4"),
    ],
)
def test_lists_of_formats(words: list[str], count: int, some: str) -> None:
    found = expand_formats(words)
    assert len(found) == len(set(found)) == count
    assert some in found


def test_settings_win_over_the_file(file: Path) -> None:
    settings = ["formats.weights=int4,int8", "quant.seeds=[0, 1]", "formats.overrides.blocks.0.*=int8", "fpga.reuse=4"]
    config = load_config(file, [*settings, 'gpu.devices=["v100"]', "model.spec=zoo:digits_resnet"])
    assert config.formats.weights == ("int4", "int8")
    assert config.quant.seeds == (0, 1)
    assert config.formats.overrides == {"blocks.0.*": "int8"}
    assert config.fpga.reuse == 4
    assert config.model.spec == "zoo:digits_resnet"


@pytest.mark.parametrize(
    ("addition", "where", "says"),
    [
        ("[format]\nweights = []", "study.toml", "did you mean 'formats'"),
        ("[formats]\nwieghts = ['int4']", "study.toml: [formats]", "did you mean 'weights'"),
        ("[formats]\nweights = ['int44']", "formats.weights", "int44"),
        ("[formats]\nweights = ['e4n3']", "formats.weights", "e4m3"),
        ("[formats]\nweights = []", "formats.weights", "no format"),
        ("[formats]\nweights = '9..3'", "formats.weights", "9..3"),
        ("[formats]\nacts = ['int4@group32']", "formats.acts", "groups of 32"),
        ("[formats]\nedge = 'int8,intx'", "formats.edge", "intx"),
        ("[formats]\npairs = 'some'", "formats.pairs", "'product' or 'same'"),
        ("[formats]\npairs = 'same'\nweights = ['int4']\nacts = ['int8']", "formats.acts", "other acts"),
        ("[formats.overrides]\nhead = ','", "formats.overrides.head", "no format"),
        ("[gpu]\ndevices = ['v10']", "gpu.devices", "did you mean 'v100'"),
        ("[gpu]\ndevices = ['v100']\nbatch = 0", "gpu.batch", "greater than or equal to 1"),
        ("[gpu]\ndevices = ['v100']\nbatch = '8'", "gpu.batch", "integer"),
        ("[gpu]\nruntime = 'jit'", "gpu.runtime", "eager"),
        ("[quant]\nrecipes = ['rnt']", "quant.recipes", "did you mean 'rtn'"),
        ("[quant]\nrecipes = []", "quant.recipes", "no recipe"),
        ("[quant]\nseeds = []", "quant.seeds", "at least 1"),
        ("[quant]\nseeds = [-1]", "quant.seeds", "greater than or equal to 0"),
        ("[search]\nbudget = 0", "search.budget", "greater than or equal to 1"),
        ("[search]\nobjectives = ['error', 'luts']", "search.objectives", "did you mean 'lut'"),
        ("[search]\nobjectives = ['lut']", "search.objectives", "error"),
        ("[data]\ncalib = 3", "data.calib", "string"),
        ("nonsense", "study.toml", "TOML"),
    ],
)
def test_a_bad_value_names_file_key_and_what_is_allowed(file: Path, addition: str, where: str, says: str) -> None:
    file.write_text(MINIMAL + "\n" + addition + "\n")
    with pytest.raises(InputError) as caught:
        load_config(file)
    assert str(file) in caught.value.where
    assert where in caught.value.where
    assert says in str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("data", "where", "says"),
    [
        ({"fpga": {"parts": ["kv260"]}}, "configuration", "'model' is missing"),
        ({"model": {}, "fpga": {"parts": ["kv260"]}}, "[model]", "'spec' is missing"),
        ({"model": {"spec": "zoo:mlp"}}, "configuration", "no target"),
        ({"model": {"spec": "zoo:mlp"}, "fpga": {"parts": ["kv26"]}}, "fpga.parts", "did you mean 'kv260'"),
        ({"model": "zoo:mlp"}, "model", "zoo:mlp"),
        ({"model": {"spec": "zoo:mlp"}, "fpga": {"parts": ["kv260"], "reuse": "most"}}, "fpga.reuse", "auto"),
    ],
)
def test_missing_and_mistaken_tables(data: dict[str, Any], where: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(data)
    assert where in caught.value.where
    assert says in str(caught.value)


@pytest.mark.parametrize("setting", ["weights=int4", "formats.weights", "=1", "formats.=3", "model.spec.x=1"])
def test_bad_settings(file: Path, setting: str) -> None:
    with pytest.raises(InputError, match="--set"):
        load_config(file, [setting])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.toml"):
        load_config(tmp_path / "nothing.toml")
