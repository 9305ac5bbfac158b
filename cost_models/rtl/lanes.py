"""Parallel dot products, summed over cycles and brought to the codes of a format: the arithmetic of an array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost_models.rtl.adder_tree import AdderTree
from hwsim.cost_models.rtl.folding import FoldAccumulator, PipelineRegister
from hwsim.cost_models.rtl.formats import Coded, Multiplier, is_signed, label, multiples, multiplier_of, output_codes
from hwsim.cost_models.rtl.formats import output_units as units_behind
from hwsim.cost_models.rtl.stream import pack, unpack
from hwsim.cost_models.rtl.structure import counted, instance, structural
from hwsim.cost_models.rtl.unit import Port, Unit, Vectors, as_vectors, wrapped


@dataclass(frozen=True, slots=True)
class DotLanes:
    """`pe` dot products of `simd` terms a cycle: products, adder trees, accumulators, requantizers, a register each.

    Attributes
    ----------
    shared : whether all lanes have the same operands, or each its own.
    weight, act, out : formats. Element i simd + j of a word of weights, or of operands that are not shared, is term j
        of lane i.
    bias_bits, acc_bits : signed bits of biases and sums.
    running : whether sums extend over several cycles.
    shift : a sum counts units of 2^-shift smallest steps of `out`.
    relu : whether negative sums become zero; unsigned targets do that without.
    in_dsp : whether products of integers are left to DSP blocks.
    """

    family: ClassVar[str] = "dot_lanes"
    pe: int
    simd: int
    shared: bool
    weight: Coded
    act: Coded
    bias_bits: int
    acc_bits: int
    running: bool
    shift: int
    relu: bool
    out: Coded
    in_dsp: bool = False

    @property
    def name(self) -> str:
        kind = f"{'shared' if self.shared else 'own'}_{'run' if self.running else 'once'}{'_relu' if self.relu else ''}"
        kind += "_dsp" if self.in_dsp else ""
        shift = f"drop{self.shift}" if self.shift >= 0 else f"append{-self.shift}"
        widths = f"b{self.bias_bits}_acc{self.acc_bits}_{shift}"
        formats = f"{label(self.weight)}_{label(self.act)}_to_{label(self.out)}"
        return f"dot_lanes_{self.pe}x{self.simd}_{kind}_{formats}_{widths}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        flags = ("advance", "add", "first", "done") if self.running else ("advance", "add", "done")
        operands = self.simd * self.act.bits * (1 if self.shared else self.pe)
        words = Port("weights", self.pe * self.simd * self.weight.bits), Port("operands", operands)
        return *(Port(name, 1) for name in flags), *words, Port("biases", self.pe * self.bias_bits)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port("codes", self.pe * self.out.bits),)

    @property
    def stages(self) -> int:
        """Registers from the cycle that reads weights and operands to the input of the accumulators."""
        return 3 if self.simd > 1 else 2

    @property
    def _multiplier(self) -> Multiplier:
        return multiplier_of(self.weight, self.act, self.in_dsp)

    @property
    def _product_bits(self) -> int:
        return self._multiplier.outputs[0].bits

    @property
    def _tree(self) -> AdderTree:
        return AdderTree(self.simd, self._product_bits, True)

    @property
    def _sum_bits(self) -> int:
        return self._tree.outputs[0].bits if self.simd > 1 else self._product_bits

    @property
    def _accumulator(self) -> FoldAccumulator:
        return FoldAccumulator(self._sum_bits, self.bias_bits, self.acc_bits, self.running)

    @property
    def _outputs(self) -> tuple[Unit, ...]:
        return units_behind(self.acc_bits, self.shift, self.relu, self.out)

    def parts(self) -> tuple[tuple[Unit, int], ...]:
        found: list[tuple[Unit, int]] = [(self._multiplier, self.pe * self.simd), (self._accumulator, self.pe)]
        found += [(unit, self.pe) for unit in self._outputs]
        found += [(PipelineRegister(self.pe * self.simd * self._product_bits), 1)]
        if self.simd > 1:
            found += [(self._tree, self.pe), (PipelineRegister(self.pe * self._sum_bits), 1)]
        return counted([*found, (PipelineRegister(self.pe * self.out.bits), 1)])

    def verilog(self) -> str:
        lanes = self.pe * self.simd
        product, total, acc = self._product_bits, self._sum_bits, self.acc_bits
        body = f"""  wire [{lanes * product - 1}:0] products, products_held;
  wire [{self.pe * total - 1}:0] sums_held;
  wire [{self.pe * self.out.bits - 1}:0] codes_next;
{self._register(lanes * product, "product", "advance", "products", "products_held")}
{self._sums()}
{self._register(self.pe * self.out.bits, "code", "advance & done", "codes_next", "codes")}
  genvar i, j;
  generate for (i = 0; i < {self.pe}; i = i + 1) begin : lane
    wire signed [{acc - 1}:0] acc;
    for (j = 0; j < {self.simd}; j = j + 1) begin : term
      {self._product()}
    end
{self._tree_instance()}    {self._accumulation()}
{self._output()}
  end endgenerate
"""
        return structural(self, body, [unit for unit, _ in self.parts()])

    def _register(self, bits: int, name: str, enable: str, d: str, q: str) -> str:
        return "  " + instance(PipelineRegister(bits), f"{name}_register", {"enable": enable, "d": d, "q": q})

    def _product(self) -> str:
        w, a, p = self.weight.bits, self.act.bits, self._product_bits
        term = f"(i*{self.simd}+j)"
        operand = "j" if self.shared else term
        wires = {
            "w": f"weights[{term}*{w} +: {w}]",
            "a": f"operands[{operand}*{a} +: {a}]",
            "p": f"products[{term}*{p} +: {p}]",
        }
        return instance(self._multiplier, "multiplier", wires)

    def _sums(self) -> str:
        """Sums of the terms of a cycle, registered; of a single term, the product itself."""
        if self.simd == 1:
            return "  assign sums_held = products_held;"
        bits = self.pe * self._sum_bits
        return f"  wire [{bits - 1}:0] sums;\n{self._register(bits, 'sum', 'advance', 'sums', 'sums_held')}"

    def _tree_instance(self) -> str:
        if self.simd == 1:
            return ""
        terms, total = self.simd * self._product_bits, self._sum_bits
        wires = {"x": f"products_held[i*{terms} +: {terms}]", "total": f"sums[i*{total} +: {total}]"}
        return f"    {instance(self._tree, 'tree', wires)}\n"

    def _accumulation(self) -> str:
        total, bias = self._sum_bits, self.bias_bits
        wires = {
            "enable": "advance & add",
            "first": "first",
            "term": f"sums_held[i*{total} +: {total}]",
            "bias": f"biases[i*{bias} +: {bias}]",
            "acc": "acc",
        }
        return instance(self._accumulator, "accumulator", wires)

    def _output(self) -> str:
        source, lines = "acc", []
        for unit in self._outputs:
            given, gives = unit.inputs[0].name, unit.outputs[0].name
            if unit.family == "relu":
                lines.append(f"    wire [{self.acc_bits - 2}:0] rectified;")
                lines.append("    " + instance(unit, "rectifier", {given: source, gives: "rectified"}))
                source = "{1'b0, rectified}"
            else:
                code = f"codes_next[i*{self.out.bits} +: {self.out.bits}]"
                lines.append("    " + instance(unit, "output_code", {given: source, gives: code}))
        return "\n".join(lines)

    def sums(self, weights: int, operands: int) -> Vectors:
        """The sums of one cycle, one a lane, from a word of weights and one of operands."""
        w = self._values(weights, self.weight, self.pe * self.simd).reshape(self.pe, self.simd)
        rows = 1 if self.shared else self.pe
        a = self._values(operands, self.act, rows * self.simd).reshape(rows, self.simd)
        return np.asarray((w * a).sum(axis=1))

    def codes(self, acc: Vectors) -> int:
        """The word of codes of some sums."""
        return pack(output_codes(acc, self.shift, self.relu, self.out), self.out.bits)

    def biases(self, word: int) -> Vectors:
        return np.array(unpack(word, self.bias_bits, self.pe, True), dtype=np.int64)

    def _values(self, word: int, fmt: Coded, count: int) -> Vectors:
        return multiples(np.array(unpack(word, fmt.bits, count, is_signed(fmt)), dtype=np.int64), fmt)

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        zero = np.zeros(self.pe, dtype=np.int64)
        line = [zero] * (self.stages - 1)  # products, and sums of more than one
        acc, codes, found = zero, 0, []
        port = Port("acc", self.acc_bits, True)
        for t in range(len(inputs["advance"])):
            row = {name: int(values[t]) for name, values in inputs.items()}
            if row["advance"]:
                codes = self.codes(acc) if row["done"] else codes
                if row["add"]:
                    start = self.biases(row["biases"]) if row.get("first", 1) else acc
                    acc = wrapped(start + line[-1], port)
                line = [self.sums(row["weights"], row["operands"]), *line[:-1]]
            found.append(codes)
        return {"codes": as_vectors(self.outputs[0], found)}
