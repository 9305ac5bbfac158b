"""Multiply-accumulate of partially binarized weights: a flag a weight says whether it is a sign or an integer.

Binary and salient weights have different scales, so each kind has an exact sum of its own (PB-LLM, arXiv 2310.00034).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.core.codes import decode
from hwsim.core.formats import Binary
from hwsim.cost_models.rtl.accumulate import sums_in
from hwsim.cost_models.rtl.add import added
from hwsim.cost_models.rtl.multiply import Wire, multiplied
from hwsim.cost_models.rtl.product import NO_CARRY
from hwsim.cost_models.rtl.unit import Port, Vectors, module


@dataclass(frozen=True, slots=True)
class PartialBinaryMac:
    """`acc_salient` sums `w * a` where the flag `salient` is one, `acc_binary` sums +-a elsewhere.

    A binary weight is in bit 0 of `w`, as `Binary` codes it: 0 is -1, 1 is +1. `clear` starts both sums anew.

    Attributes
    ----------
    w_bits : of a salient weight, signed; 8 in the paper.
    a_bits, a_signed : of the activations.
    binary_acc_bits, salient_acc_bits : of the accumulators; sums beyond them wrap.
    """

    family: ClassVar[str] = "partial_binary_mac"
    w_bits: int
    a_bits: int
    a_signed: bool
    binary_acc_bits: int
    salient_acc_bits: int

    @property
    def name(self) -> str:
        acts = f"{'s' if self.a_signed else 'u'}{self.a_bits}"
        return f"partial_binary_mac_s{self.w_bits}_{acts}_acc{self.binary_acc_bits}_{self.salient_acc_bits}"

    @property
    def clocked(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[Port, ...]:
        activation = Port("a", self.a_bits, self.a_signed)
        return Port("clear", 1), Port("salient", 1), Port("w", self.w_bits, True), activation

    @property
    def outputs(self) -> tuple[Port, ...]:
        return Port("acc_binary", self.binary_acc_bits, True), Port("acc_salient", self.salient_acc_bits, True)

    def verilog(self) -> str:
        """Each register stands still for weights of the other kind, or is reset by them where they start a sum."""
        b, s, n = self.binary_acc_bits, self.salient_acc_bits, self.a_bits
        top = f"a[{n - 1}]" if self.a_signed else "1'b0"
        sums = added("binary", "binary_from", "minus", "binary_next", b)
        sums += added("product", "salient_from", NO_CARRY, "salient_next", s)
        body = f"""  wire minus = ~w[0];
  wire signed [{n}:0] binary = {{{top}, a}} ^ {{{n + 1}{{minus}}}};
{multiplied(Wire("w", self.w_bits, True), Wire("a", n, self.a_signed), "product", self.w_bits + n)}\
  wire signed [{b - 1}:0] binary_from = clear ? {b}'d0 : acc_binary;
  wire signed [{s - 1}:0] salient_from = clear ? {s}'d0 : acc_salient;
{sums}\
  initial acc_binary = 0;
  initial acc_salient = 0;
  always @(posedge clk) begin
    if (clear & salient) acc_binary <= 0;
    else if (~salient) acc_binary <= binary_next;
    if (clear & ~salient) acc_salient <= 0;
    else if (salient) acc_salient <= salient_next;
  end
"""
        return module(self, body, ("acc_binary", "acc_salient"))

    def respond(self, inputs: Mapping[str, Vectors]) -> dict[str, Vectors]:
        salient, clear = inputs["salient"] != 0, inputs["clear"]
        signs = np.asarray(decode(inputs["w"] & 1, Binary()), dtype=np.int64)
        binary = np.where(salient, 0, signs * inputs["a"])
        products = np.where(salient, inputs["w"] * inputs["a"], 0)
        ports = self.outputs
        return {"acc_binary": sums_in(ports[0], binary, clear), "acc_salient": sums_in(ports[1], products, clear)}
