"""hls4ml itself: imported when first needed, silenced, and taught two layers."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hwsim.core.errors import HwsimError, MissingToolError
from hwsim.hls.layer_list import CLAMP_LAYER, SHIFT_LAYER, Settings, hls4ml_config, layer_list
from hwsim.hls.stages import Plan

HEADER = Path(__file__).parent / "templates" / "nnet_hwsim.h"
_STAMP = "hwsim"


@dataclass(frozen=True, slots=True)
class Generated:
    """What hls4ml made of a stage, by name.

    Attributes
    ----------
    result_type, reuse : as hls4ml resolved them.
    weight_header : file of the weights, or "".
    """

    result_type: str
    reuse: int
    weight_header: str


def write_sources(plan: Plan, settings: Settings, folder: Path, *, trace: bool = False) -> dict[str, Generated]:
    """Write the HLS project of a plan into an existing folder; the same plan gives the same bytes.

    Parameters
    ----------
    trace : also store the result of every stage in C simulation.

    Raises
    ------
    HwsimError
        When hls4ml fails on a plan that it should take.
    MissingToolError
        Without hls4ml.
    """
    log = io.StringIO()
    try:
        with quiet(log):
            _teach(settings.backend)
            from hls4ml.model import ModelGraph

            config = hls4ml_config(plan, settings, str(folder), trace)
            graph = ModelGraph.from_layer_list(config, layer_list(plan), [plan.stages[0].name], [plan.output.name])
            graph.write()
    except ImportError as error:
        raise MissingToolError(str(error), where="HLS export", hint="pip install 'hls4ml>=1.3,<1.4'") from None
    except Exception as error:
        last = log.getvalue().strip().splitlines()[-1:]
        raise HwsimError(f"hls4ml: {error}", where=plan.name, hint=" ".join(last)) from error
    _settle(folder, str(graph.config.config["Stamp"]))
    return {name: _generated(graph.graph[name]) for name in (s.name for s in plan.stages) if name in graph.graph}


@contextlib.contextmanager
def quiet(log: io.StringIO) -> Iterator[None]:
    """Keep what hls4ml prints out of stdout, which belongs to data."""
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def version() -> str:
    from importlib.metadata import version as installed

    return installed("hls4ml")


def _generated(node: Any) -> Generated:
    weights = node.weights
    header = f"firmware/weights/{weights['weight'].name}.h" if "weight" in weights else ""
    return Generated(str(node.get_output_variable().type.precision), int(node.get_attr("reuse_factor", 1)), header)


def _settle(folder: Path, stamp: str) -> None:
    """Take the random stamp and the folder's temporary name out of the files."""
    for name in ("build_lib.sh", "hls4ml_config.yml"):
        path = folder / name
        text = path.read_text().replace(stamp, _STAMP)
        text = re.sub(r"(?m)^OutputDir: .*$", "OutputDir: .", text)
        path.write_text(text)


@cache
def _teach(backend_name: str) -> None:
    """Register the shift and the clamp layer with hls4ml, once a process."""
    from hls4ml.backends import get_backend
    from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
    from hls4ml.model.layers import Layer, register_layer

    class HwsimChannelShift(Layer):  # type: ignore[misc]
        def initialize(self) -> None:
            self.add_output_variable(self.get_input_variable().shape)

    class HwsimClamp(Layer):  # type: ignore[misc]
        def initialize(self) -> None:
            self.add_output_variable(self.get_input_variable().shape)

    def config_template(layer: type, write: Any) -> type:
        class Template(LayerConfigTemplate):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(layer)

            def format(self, node: Any) -> str:
                return str(write(node))

        return Template

    def call_template(layer: type, function: str) -> type:
        class Template(FunctionCallTemplate):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(layer, include_header=[f"nnet_utils/{HEADER.name}"])

            def format(self, node: Any) -> str:
                text = "nnet::" + function + "<{input_t}, {output_t}, {config}>({input}, {output});"
                return text.format(**self._default_function_params(node))

        return Template

    backend = get_backend(backend_name)
    for name, layer, function, write in (
        (SHIFT_LAYER, HwsimChannelShift, "channel_shift", _shift_config),
        (CLAMP_LAYER, HwsimClamp, "clamp", _clamp_config),
    ):
        register_layer(name, layer)
        backend.register_template(config_template(layer, write))
        backend.register_template(call_template(layer, function))
    backend.register_source(HEADER)


def _shift_config(node: Any) -> str:
    shifts = node.get_attr("shifts")
    return (
        f"struct config{node.index} {{\n"
        f"    static const unsigned n_in = {node.get_input_variable().size()};\n"
        f"    static const unsigned n_chan = {len(shifts)};\n"
        f"    typedef {node.get_attr('wide')} wide_t;\n"
        f"    static const unsigned shift[n_chan];\n"
        "};\n"
        f"const unsigned config{node.index}::shift[] = {{{', '.join(map(str, shifts))}}};\n"
    )


def _clamp_config(node: Any) -> str:
    low, high = node.get_attr("bounds")
    finite = [bound not in (float("inf"), float("-inf")) for bound in (low, high)]
    return (
        f"struct config{node.index} {{\n"
        f"    static const unsigned n_in = {node.get_input_variable().size()};\n"
        f"    typedef {node.get_attr('wide')} wide_t;\n"
        f"    static const bool has_low = {str(finite[0]).lower()};\n"
        f"    static const bool has_high = {str(finite[1]).lower()};\n"
        f"    static constexpr double low = {low if finite[0] else 0.0!r};\n"
        f"    static constexpr double high = {high if finite[1] else 0.0!r};\n"
        "};\n"
    )
