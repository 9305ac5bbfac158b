"""Writes published convolutional networks down as `Workload`s, one call an operator, without any framework."""

from __future__ import annotations

from math import prod

from hwsim.core.errors import InputError
from hwsim.core.workload import Kind, Layer, Shape, Workload


class NetworkBuilder:
    """Collects layers; every method takes the name of its input tensor and returns that of its output.

    Parameters
    ----------
    name : of the network.
    shape : of its one input `x`, batch 1 first.
    """

    def __init__(self, name: str, shape: Shape) -> None:
        self.name = name
        self.shapes: dict[str, Shape] = {"x": shape}
        self.layers: list[Layer] = []

    def workload(self, output: str) -> Workload:
        return Workload(self.name, tuple(self.layers), ("x",), (self.shapes["x"],), (output,))

    def conv(
        self, x: str, cout: int, k: int | tuple[int, int] = 1, *, s: int = 1, p: int | str = "same", groups: int = 1
    ) -> str:
        """A convolution without bias; `p` is `same` (output side = ceil(side / s)), `valid` or a padding."""
        _, cin, h, w = self.shapes[x]
        kh, kw = (k, k) if isinstance(k, int) else k
        ph, pw = {"same": (kh // 2, kw // 2), "valid": (0, 0)}.get(str(p)) or (int(p), int(p))
        out = (1, cout, *(_side(n, kn, s, pn, p) for n, kn, pn in ((h, kh, ph), (w, kw, pw))))
        weight = (cout, cin // groups, kh, kw)
        if cin % groups or cout % groups:
            raise InputError(f"{cin} to {cout} channels in {groups} groups", where=self.name)
        return self._layer(
            "conv",
            "conv2d",
            (x,),
            out,
            weight_shape=weight,
            macs=prod(out) * prod(weight[1:]),
            params=prod(weight),
            kernel=(kh, kw),
            stride=(s, s),
            padding=(ph, pw),
            dilation=(1, 1),
            groups=groups,
        )

    def conv_bn(
        self,
        x: str,
        cout: int,
        k: int | tuple[int, int] = 1,
        *,
        s: int = 1,
        p: int | str = "same",
        groups: int = 1,
        act: str | None = "relu",
    ) -> str:
        """Convolution, batch norm and activation (`act=None` leaves it out)."""
        y = self.norm(self.conv(x, cout, k, s=s, p=p, groups=groups))
        return self.act(y, act) if act else y

    def norm(self, x: str) -> str:
        return self._layer("norm", "batch_norm", (x,), self.shapes[x], params=2 * self.shapes[x][1])

    def norm_act(self, x: str) -> str:
        return self.act(self.norm(x))

    def act(self, x: str, op: str = "relu") -> str:
        return self._layer("activation", op, (x,), self.shapes[x], non_negative=op in ("relu", "relu6"))

    def linear(self, x: str, features: int) -> str:
        shape = self.shapes[x]
        out, weight = (*shape[:-1], features), (features, shape[-1])
        return self._layer(
            "linear",
            "linear",
            (x,),
            out,
            weight_shape=weight,
            has_bias=True,
            macs=prod(out) * shape[-1],
            params=prod(weight) + features,
        )

    def pool(self, x: str, op: str, k: int, *, s: int, p: int | str = "same") -> str:
        _, c, h, w = self.shapes[x]
        pad = {"same": k // 2, "valid": 0}.get(str(p))
        pad = int(p) if pad is None else pad
        out = (1, c, _side(h, k, s, pad, p), _side(w, k, s, pad, p))
        return self._layer("pool", op, (x,), out, kernel=(k, k), stride=(s, s), padding=(pad, pad))

    def global_pool(self, x: str) -> str:
        """Mean over the map, flattened to (1, C)."""
        c = self.shapes[x][1]
        y = self._layer("pool", "adaptive_avg_pool2d", (x,), (1, c, 1, 1))
        return self.reshape(y, (1, c))

    def reshape(self, x: str, shape: Shape) -> str:
        return self._layer("reshape", "reshape", (x,), shape, value_preserving=True)

    def add(self, x: str, y: str) -> str:
        return self._layer("add", "add", (x, y), self.shapes[x])

    def multiply(self, x: str, gate: str) -> str:
        return self._layer("elementwise", "mul", (x, gate), self.shapes[x])

    def scale(self, x: str) -> str:
        """Multiplication by one learned factor a channel."""
        return self._layer("elementwise", "mul", (x,), self.shapes[x])

    def reduce(self, x: str, out: Shape) -> str:
        return self._layer("reduce", "mean", (x,), out)

    def concat(self, parts: list[str]) -> str:
        first = self.shapes[parts[0]]
        return self._layer("concat", "cat", tuple(parts), (1, sum(self.shapes[p][1] for p in parts), *first[2:]))

    def squeeze_excite(self, x: str, hidden: int, *, gate: str = "hardsigmoid") -> str:
        """Global mean, two 1x1 convolutions, gate: (arXiv 1709.01507, section 3)."""
        c = self.shapes[x][1]
        y = self._layer("pool", "adaptive_avg_pool2d", (x,), (1, c, 1, 1))
        y = self.act(self.conv(y, hidden), "relu")
        return self.multiply(x, self.act(self.conv(y, c), gate))

    def layer_norm(self, x: str) -> str:
        return self._layer("norm", "layer_norm", (x,), self.shapes[x], params=2 * self.shapes[x][-1])

    def attention(self, q: str, k: str, v: str, heads: int) -> str:
        """Scaled dot product attention on (1, heads, tokens, width) operands."""
        _, tokens, width = self.shapes[q]
        split = (1, heads, tokens, width // heads)
        parts = tuple(self.reshape(x, split) for x in (q, k, v))
        y = self._layer("attention", "scaled_dot_product_attention", parts, split, macs=2 * tokens * tokens * width)
        return self.reshape(y, (1, tokens, width))

    def _layer(self, kind: Kind, op: str, inputs: tuple[str, ...], out: Shape, **more: object) -> str:
        name = f"{op}_{len(self.layers)}"
        layer = Layer(name, kind, op, inputs, tuple(self.shapes[i] for i in inputs), out, **more)  # type: ignore[arg-type]
        self.layers.append(layer)
        self.shapes[name] = out
        return name


def _side(side: int, k: int, s: int, pad: int, p: int | str) -> int:
    return -(-side // s) if p == "same" else (side + 2 * pad - k) // s + 1
