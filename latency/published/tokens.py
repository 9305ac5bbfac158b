"""Networks over tokens or channels-last maps, as published: ViT, MLP-Mixer, ResMLP, ConvNeXt."""

from __future__ import annotations

from hwsim.core.workload import Workload
from hwsim.latency.published.builder import NetworkBuilder


def vit(width: int, heads: int, depth: int, patch: int, side: int) -> Workload:
    """Vision transformer (arXiv 2010.11929, table 1); DeiT has the same shapes (2012.12877, table 1)."""
    net = NetworkBuilder("vit", (1, 3, side, side))
    grid = side // patch
    x = net.reshape(net.conv("x", width, patch, s=patch, p="valid"), (1, grid * grid + 1, width))
    for _ in range(depth):
        y = net.linear(net.layer_norm(x), 3 * width)
        q, k, v = (net.reshape(y, (1, grid * grid + 1, width)) for _ in range(3))
        y = net.linear(net.attention(q, k, v, heads), width)
        x = net.add(x, y)
        x = net.add(x, _mlp(net, net.layer_norm(x), 4 * width))
    return net.workload(net.linear(net.reshape(net.layer_norm(x), (1, width)), 1000))


def mixer(width: int, depth: int, patch: int, side: int) -> Workload:
    """MLP-Mixer (arXiv 2105.01601, table 1): token MLP of half the width, channel MLP of four times."""
    net = NetworkBuilder("mixer", (1, 3, side, side))
    tokens = (side // patch) ** 2
    x = net.reshape(net.conv("x", width, patch, s=patch, p="valid"), (1, tokens, width))
    for _ in range(depth):
        y = net.reshape(net.layer_norm(x), (1, width, tokens))
        x = net.add(x, net.reshape(_mlp(net, y, width // 2), (1, tokens, width)))
        x = net.add(x, _mlp(net, net.layer_norm(x), 4 * width))
    return net.workload(net.linear(net.reduce(net.layer_norm(x), (1, width)), 1000))


def resmlp(width: int, depth: int, side: int, patch: int = 16) -> Workload:
    """ResMLP (arXiv 2105.03404, section 2): affine for norm, one linear over tokens, layer scale."""
    net = NetworkBuilder("resmlp", (1, 3, side, side))
    tokens = (side // patch) ** 2
    x = net.reshape(net.conv("x", width, patch, s=patch, p="valid"), (1, tokens, width))
    for _ in range(depth):
        y = net.linear(net.reshape(net.scale(x), (1, width, tokens)), tokens)
        x = net.add(x, net.scale(net.reshape(y, (1, tokens, width))))
        x = net.add(x, net.scale(_mlp(net, net.scale(x), 4 * width)))
    return net.workload(net.linear(net.reduce(net.scale(x), (1, width)), 1000))


def convnext(depths: tuple[int, ...], widths: tuple[int, ...], side: int) -> Workload:
    """ConvNeXt (arXiv 2201.03545, section 3): depthwise 7x7, layer norm, two 1x1, layer scale."""
    net = NetworkBuilder("convnext", (1, 3, side, side))
    x = net.layer_norm(net.conv("x", widths[0], 4, s=4, p="valid"))
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        if stage:
            x = net.conv(net.layer_norm(x), width, 2, s=2, p="valid")
        for _ in range(depth):
            y = net.layer_norm(net.conv(x, width, 7, groups=width))
            y = net.conv(net.act(net.conv(y, 4 * width), "gelu"), width)
            x = net.add(x, net.scale(y))
    return net.workload(net.linear(net.layer_norm(net.global_pool(x)), 1000))


def _mlp(net: NetworkBuilder, x: str, hidden: int) -> str:
    return net.linear(net.act(net.linear(x, hidden), "gelu"), net.shapes[x][-1])
