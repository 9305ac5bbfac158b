"""Blocks of a network, found from its structure: contiguous stretches of its graph that little crosses.

Any cut of the order of execution makes blocks; a cut is natural where a single tensor crosses it, as between residual
blocks. Stretches of one container of the module tree (`blocks.3`, a stage's element) join; long ones are cut where
least crosses (U-Nets, dense blocks). This is the granularity of BRECQ (arXiv 2102.05426, section 3.2) for any topology.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from torch.fx import Node

from hwsim.core.errors import InputError, nearest
from hwsim.core.workload import COMPUTE

MOST_LAYERS = 6  # compute layers of a block: a transformer block has four to six
Granularity = Literal["block", "layer"]


@dataclass(frozen=True, slots=True)
class Block:
    """A contiguous stretch of the graph.

    Attributes
    ----------
    nodes : in order of execution; quantizers stand behind their tensor.
    layers : names of its compute layers.
    """

    nodes: tuple[Node, ...]
    layers: tuple[str, ...]

    @property
    def name(self) -> str:
        first, last = (self.layers[0], self.layers[-1]) if self.layers else ("-", "-")
        return first if first == last else f"{first} .. {last}"


def find_blocks(
    nodes: Sequence[Node],
    kinds: Mapping[str, str],
    granularity: Granularity = "block",
    globs: Sequence[str] = (),
    *,
    shapes: Mapping[Node, tuple[int, ...]],
) -> list[Block]:
    """Cut the data nodes of a graph into blocks.

    Parameters
    ----------
    nodes : that compute with data, in order of execution.
    kinds : kind of each layer of the workload by name.
    granularity : `block`, or `layer` for a block around each compute layer and what follows it element by element.
    globs : over names of compute layers; where given, each makes one block of the stretch that it matches, and layers
        that none matches are blocks of their own.
    shapes : of the nodes that give a tensor; others (tuples) are not kept between blocks.

    Raises
    ------
    InputError
        For a glob that matches no compute layer, or two that overlap.
    """
    live = _crossing(nodes)
    valid = [all(node in shapes for node in crossing) for crossing in live]
    layers = [_layer(node) if kinds.get(_layer(node)) in COMPUTE else "" for node in nodes]
    ends = _ends_of_layers(nodes, layers, valid, shapes)
    if granularity == "layer":
        cuts = ends
    elif globs:
        cuts = _cuts_of_globs(layers, ends, globs)
    else:
        cuts = _natural_cuts(layers, live, valid, ends)
    return _blocks(nodes, layers, cuts)


def _layer(node: Node) -> str:
    return str(node.meta.get("layer", ""))


def _crossing(nodes: Sequence[Node]) -> list[set[Node]]:
    """For each position, the values made up to it that something after it reads."""
    place = {node: i for i, node in enumerate(nodes)}
    readers = {node: [u for u in node.users if u in place or u.op == "output"] for node in nodes}
    last = {node: max((place.get(user, len(nodes)) for user in readers[node]), default=-1) for node in nodes}
    live: list[set[Node]] = []
    current: set[Node] = set()
    for i, node in enumerate(nodes):
        current.add(node)
        current = {made for made in current if last[made] > i}
        live.append(set(current))
    return live


def _ends_of_layers(
    nodes: Sequence[Node], layers: list[str], valid: list[bool], shapes: Mapping[Node, tuple[int, ...]]
) -> list[int]:
    """Positions after each compute layer and the chain of one-input operators (activation, quantizer) behind it."""
    ends = []
    for i, name in enumerate(layers):
        if not name:
            continue
        end = i
        while end + 1 < len(nodes) and not layers[end + 1] and nodes[end + 1].all_input_nodes == [nodes[end]]:
            if shapes.get(nodes[end + 1]) != shapes.get(nodes[end]):
                break
            end += 1
        if valid[end]:
            ends.append(end)
    return ends


def _natural_cuts(layers: list[str], live: list[set[Node]], valid: list[bool], ends: list[int]) -> list[int]:
    """Cuts where one tensor crosses, one after each stretch; stretches of one container joined, long ones cut again."""
    narrow = [i for i in range(len(layers) - 1) if valid[i] and len(live[i]) == 1]
    stretches: list[list[int]] = []  # [start, end) of nodes with at least one compute layer
    start = 0
    for cut in [*_last_of_each(narrow, layers), len(layers) - 1]:
        stretches.append([start, cut + 1])
        start = cut + 1
    joined: list[list[int]] = []
    for begin, end in stretches:
        here = _names(layers, begin, end)
        before = _names(layers, *joined[-1]) if joined else []
        same = before and here and _container(before[-1]) == _container(here[0]) != ""
        if joined and ((same and len(before) + len(here) <= MOST_LAYERS) or not here):
            joined[-1][1] = end
        else:
            joined.append([begin, end])
    cuts = [end - 1 for _, end in joined[:-1]]
    for begin, end in joined:
        cuts += _cuts_inside(begin, end, layers, live, ends)
    return sorted(cuts)


def _last_of_each(narrow: list[int], layers: list[str]) -> list[int]:
    """Of the narrow places between two compute layers, the last before the next one starts: activations stay behind."""
    chosen: list[int] = []
    seen = False
    for i, place in enumerate(narrow):
        following = narrow[i + 1] if i + 1 < len(narrow) else len(layers)
        seen = seen or any(layers[(narrow[i - 1] + 1) if i else 0 : place + 1])
        if seen and any(layers[place + 1 : following + 1]):
            chosen.append(place)
            seen = False
    return chosen


def _cuts_inside(begin: int, end: int, layers: list[str], live: list[set[Node]], ends: list[int]) -> list[int]:
    """Cuts that leave at most MOST_LAYERS compute layers a piece, where least crosses, near the middle."""
    names = _names(layers, begin, end)
    if len(names) <= MOST_LAYERS:
        return []
    inside = [cut for cut in ends if begin <= cut < end - 1 and _names(layers, cut + 1, end)]
    if not inside:
        return []
    middle = len(names) / 2
    best = min(inside, key=lambda cut: (len(live[cut]), abs(len(_names(layers, begin, cut + 1)) - middle)))
    return [
        *_cuts_inside(begin, best + 1, layers, live, ends),
        best,
        *_cuts_inside(best + 1, end, layers, live, ends),
    ]


def _cuts_of_globs(layers: list[str], ends: list[int], globs: Sequence[str]) -> list[int]:
    """A cut wherever two neighbouring layers belong to different globs, or to none."""
    names = [name for name in layers if name]
    owner: dict[str, str] = {}
    for glob in globs:
        hits = [name for name in names if fnmatchcase(name, glob)]
        if not hits:
            raise InputError(f"block {glob!r} matches no layer", where="blocks", hint=nearest(glob, names))
        for name in hits:
            if name in owner:
                raise InputError(f"{owner[name]!r} and {glob!r} overlap", where="blocks", hint=f"both hold {name}")
            owner[name] = glob
    cuts = []
    for cut in ends:
        before, after = _names(layers, 0, cut + 1), _names(layers, cut + 1, len(layers))
        if before and after and (before[-1] not in owner or owner[before[-1]] != owner.get(after[0])):
            cuts.append(cut)
    return cuts


def _names(layers: list[str], begin: int, end: int) -> list[str]:
    return [name for name in layers[begin:end] if name]


def _container(layer: str) -> str:
    """`blocks.3` of `blocks.3.mlp.fc1`: up to the last numbered element that holds the layer; "" where none does."""
    match = re.match(r"^(.*?\.?\d+(?:\.\d+)*)\.[A-Za-z_]", layer)
    return match[1] if match else ""


def _blocks(nodes: Sequence[Node], layers: list[str], cuts: list[int]) -> list[Block]:
    """The pieces between cuts; what follows the last compute layer stays with it."""
    blocks: list[Block] = []
    start = 0
    inner = [cut for cut in cuts if _names(layers, cut + 1, len(layers))]
    for cut in [*inner, len(nodes) - 1]:
        blocks.append(Block(tuple(nodes[start : cut + 1]), tuple(_names(layers, start, cut + 1))))
        start = cut + 1
    return blocks
