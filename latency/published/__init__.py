"""Published networks that measured tables name, as `Workload`s: what the fit and the evaluation predict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hwsim.core.errors import InputError, nearest
from hwsim.core.workload import Workload
from hwsim.latency.published.convnets import (
    DENSENET,
    RESNET_UNITS,
    VGG_CONVS,
    darknet53,
    densenet,
    inception_v1,
    inception_v3,
    nasbench201,
    resnet,
    vgg,
)
from hwsim.latency.published.mobile import (
    efficientnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    ofa_mobilenet_v3,
)
from hwsim.latency.published.tokens import convnext, mixer, resmlp, vit

__all__ = ["PUBLISHED", "family", "nasbench201", "ofa_mobilenet_v3", "published"]

_CONVNEXT = {
    "atto": ((2, 2, 6, 2), 40), "femto": ((2, 2, 6, 2), 48), "nano": ((2, 2, 8, 2), 80),
    "tiny": ((3, 3, 9, 3), 96), "small": ((3, 3, 27, 3), 96), "base": ((3, 3, 27, 3), 128),
}  # fmt: skip
_VIT = {"tiny": (192, 3, 12), "small": (384, 6, 12), "base": (768, 12, 12), "large": (1024, 16, 24)}
_MIXER = {"s16": (512, 8, 16), "s32": (512, 8, 32), "b16": (768, 12, 16), "l16": (1024, 24, 16), "l32": (1024, 24, 32)}


def published(name: str, side: int) -> Workload:
    """A network by the name that the measured tables use, at an input of `side` x `side`.

    Raises
    ------
    InputError
        For a name that is not one of `PUBLISHED`.
    """
    if name not in PUBLISHED:
        raise InputError(f"no network named {name!r}", where="measured table", hint=nearest(name, PUBLISHED))
    return PUBLISHED[name][1](side)


def family(name: str) -> str:
    """What networks are held out together: those of one paper."""
    return PUBLISHED[name][0]


Entry = tuple[str, Callable[[int], Workload]]

PUBLISHED: dict[str, Entry] = {
    **{f"resnet{d}": ("resnet", partial(resnet, d)) for d in RESNET_UNITS},
    **{f"resnet_v1_{d}": ("resnet", partial(resnet, d, slim=True)) for d in (50, 101, 152)},
    "resnet50_v1.5": ("resnet", partial(resnet, 50)),
    **{f"seresnet{d}": ("seresnet", partial(resnet, d, squeeze=True)) for d in RESNET_UNITS},
    "resnext50_32x4d": ("resnext", partial(resnet, 50, groups=32, width=4)),
    "resnext101_32x4d": ("resnext", partial(resnet, 101, groups=32, width=4)),
    "resnext101_32x8d": ("resnext", partial(resnet, 101, groups=32, width=8)),
    "wide_resnet50_2": ("wide_resnet", partial(resnet, 50, width=128)),
    "darknet53": ("darknet", darknet53),
    **{f"densenet{d}": ("densenet", partial(densenet, d)) for d in DENSENET},
    **{f"vgg{d}": ("vgg", partial(vgg, d)) for d in VGG_CONVS},
    **{f"vgg{d}_bn": ("vgg", partial(vgg, d, batch_norm=True)) for d in VGG_CONVS},
    "vgg_16": ("vgg", partial(vgg, 16)),
    "inception_v1": ("inception", inception_v1),
    "inception_v3": ("inception", inception_v3),
    **{f"efficientnet_b{i}": ("efficientnet", partial(efficientnet, i)) for i in range(5)},
    **{f"efficientnet-b{i}": ("efficientnet", partial(efficientnet, i)) for i in range(5)},
    "mobilenet_v1_0p25_128": ("mobilenet_v1", partial(mobilenet_v1, 0.25)),
    "mobilenet_v1_0p5_160": ("mobilenet_v1", partial(mobilenet_v1, 0.5)),
    "mobilenet_v1_1p0_224": ("mobilenet_v1", partial(mobilenet_v1, 1.0)),
    "mobilenetv1_100": ("mobilenet_v1", partial(mobilenet_v1, 1.0)),
    "mobilenetv2_035": ("mobilenet_v2", partial(mobilenet_v2, 0.35)),
    "mobilenetv2_050": ("mobilenet_v2", partial(mobilenet_v2, 0.5)),
    "mobilenetv2_140": ("mobilenet_v2", partial(mobilenet_v2, 1.4)),
    "mobilenet_v2": ("mobilenet_v2", partial(mobilenet_v2, 1.0)),
    "mobilenetv3_large_100": ("mobilenet_v3", partial(mobilenet_v3, "large", 1.0)),
    "mobilenetv3_small_100": ("mobilenet_v3", partial(mobilenet_v3, "small", 1.0)),
    "mobilenetv3_small_050": ("mobilenet_v3", partial(mobilenet_v3, "small", 0.5)),
    **{
        f"{name}_{size}_patch{patch}_{side}": ("vit", partial(vit, width, heads, depth, patch))
        for name in ("vit", "deit")
        for size, (width, heads, depth) in _VIT.items()
        for patch in (8, 14, 16, 32)
        for side in (224, 384)
    },
    **{f"mixer_{key}_224": ("mixer", partial(mixer, *shape)) for key, shape in _MIXER.items()},
    **{f"resmlp_{d}_224": ("resmlp", partial(resmlp, 384, d)) for d in (12, 24, 36)},
    **{
        f"convnext_{size}": ("convnext", partial(convnext, depths, (w, 2 * w, 4 * w, 8 * w)))
        for size, (depths, w) in _CONVNEXT.items()
    },
}
