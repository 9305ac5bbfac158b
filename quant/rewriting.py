"""Rewrites as steps of a recipe: (network, config, x) -> network of the same function."""

from __future__ import annotations

import logging

from torch import Tensor

from hwsim.capture.graph import Network

_log = logging.getLogger(__name__)


def equalize(network: Network, config: object, x: Tensor) -> Network:
    """Cross-layer equalization; what had to be left out goes to the log."""
    from hwsim.quant.rewrite.equalize import Equalize
    from hwsim.quant.rewrite.equalize import equalize as run

    assert isinstance(config, Equalize)
    found, report = run(network, config)
    _log.info("equalize: %s", report)
    return found


def smooth(network: Network, config: object, x: Tensor) -> Network:
    """SmoothQuant on the ranges that calibration rows give."""
    from hwsim.quant.rewrite.smooth import Smooth, channel_ranges
    from hwsim.quant.rewrite.smooth import smooth as run

    assert isinstance(config, Smooth)
    found = run(network, channel_ranges(network, x), config)
    return found[0] if isinstance(found, tuple) else found


def split(network: Network, config: object, x: Tensor) -> Network:
    """Coarse and fine weight splitting."""
    from hwsim.quant.rewrite.coarse_fine import CoarseFineSplit, coarse_fine_split

    assert isinstance(config, CoarseFineSplit)
    found = coarse_fine_split(network, config)
    return found[0] if isinstance(found, tuple) else found
