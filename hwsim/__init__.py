"""hwsim: which number format, on which device, at what cost, and how sure are we.

Five functions are the Python interface: `quantize`, `cost`, `predict`, `explore`, `export`. They take a
`torch.nn.Module` (or a MODEL spec string) and return values of `hwsim.core`. They are imported on first use,
so `import hwsim` stays cheap.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

# Four packages of this namespace (quant, cost_models, latency, reports) lie at the root of the checkout.
# An installed hwsim holds them inside the package; an uninstalled or editable checkout finds them because
# the root joins this package's search path. A pyproject.toml beside the package marks a checkout.
_root = Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file():
    __path__.append(str(_root))

__version__ = "0.1.0"
__all__ = ["cost", "explore", "export", "predict", "quantize"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("hwsim.api"), name)
    raise AttributeError(f"module 'hwsim' has no attribute {name!r}")
