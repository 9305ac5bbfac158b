"""Dot products: `lanes` products a cycle, an adder tree and an accumulator.

Sources: the adder-tree and accumulator terms of FINN's matrix-vector unit; block formats (MX, NVFP4, groups) as the
OCP Microscaling specification 1.0 defines their dot product: exact inside a block, scaled, then summed in fp32.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil

from hwsim.core.accumulator import accumulator_bits
from hwsim.cost_models.bill import Bill, Term
from hwsim.cost_models.operators.floating import FP32, block_scaling, float_adder, float_product
from hwsim.cost_models.operators.multiplier import DspPolicy, dsp_tiles, products_per_dsp, takes_dsp
from hwsim.cost_models.operators.operand import Operand, is_exact
from hwsim.cost_models.operators.priced import has_surface, multiplier, multiply_accumulate, term, tree
from hwsim.cost_models.operators.product import Product, product

FLOAT_ACCUMULATOR_BITS = 1 + FP32[0] + FP32[1]


def sum_bits(n: int, weights: Operand, acts: Operand) -> int:
    """Width of the accumulator of a dot product of length `n`: exact, or fp32 for block and native formats."""
    if not is_exact(weights, acts):
        return FLOAT_ACCUMULATOR_BITS
    return accumulator_bits(max(n, 1), weights.format, acts.format)


@lru_cache(maxsize=65536)
def dot_product(
    weights: Operand, acts: Operand, lanes: int, acc_bits: int, dsp: DspPolicy = "auto", dsp_type: str = "DSP48E2"
) -> Bill:
    """`lanes` products, their adder tree and one accumulator of `acc_bits`; flip-flops are the accumulator's.

    Parameters
    ----------
    lanes : products a cycle; 1 is a multiply-accumulate unit.
    acc_bits : see `sum_bits`.
    """
    if not is_exact(weights, acts):
        return _block_dot(weights, acts, lanes, dsp, dsp_type)
    if has_surface(weights, acts) and not _in_dsp(weights, acts, dsp):
        return _synthesised_dot(weights, acts, lanes, acc_bits)
    multiply, one = multipliers(weights, acts, lanes, dsp, dsp_type)
    in_dsp = multiply.dsp > 0
    family = _array_family(one, lanes, in_dsp)
    multiply = Bill(tuple(Term(t.label, family, t.lut) for t in multiply.terms), 0, multiply.dsp, multiply.dsp_packed)
    sums = (
        Term("tree", family, float(tree_lut(one, lanes))),
        Term("accumulators", family, float(acc_bits)),
    )
    return multiply + Bill(sums, ff=acc_bits)


def _synthesised_dot(weights: Operand, acts: Operand, lanes: int, acc_bits: int) -> Bill:
    if lanes == 1:
        family, one = multiply_accumulate(weights, acts, acc_bits)
        whole = term("multipliers", one, family)
        rest = max(0.0, whole.lut - acc_bits)
        low, high = (max(0.0, (end or 0.0) - acc_bits) for end in (whole.low, whole.high))
        sums = Term("accumulators", "fold_accumulator", whole.lut - rest, whole.lut - rest, whole.lut - rest)
        products = Term("multipliers", family, rest, min(low, rest), max(high, rest), whole.outside)
        return Bill((products, sums), ff=acc_bits)
    family, one = multiplier(weights, acts)
    terms = (
        term("multipliers", one, family, lanes),
        term("tree", tree(lanes, product(weights, acts).width), "adder_tree"),
        Term("accumulators", "fold_accumulator", float(acc_bits), float(acc_bits), float(acc_bits)),
    )
    return Bill(terms, ff=acc_bits)


def _in_dsp(weights: Operand, acts: Operand, dsp: DspPolicy) -> bool:
    integers = weights.kind == acts.kind == "int"
    return integers and takes_dsp(weights.significand, acts.significand, dsp)


def multipliers(weights: Operand, acts: Operand, lanes: int, dsp: DspPolicy, dsp_type: str) -> tuple[Bill, Product]:
    """`lanes` products of exact operands without their sum, and what one of them is made of.

    Integer products of enough bits go to DSPs. Minifloat significands never do: at most 6 bits wide, they
    leave a DSP mostly empty while the shift behind it would stay in LUTs, and no measurement covers it.
    """
    one = product(weights, acts)
    w, a = weights.significand, acts.significand
    if weights.kind == acts.kind == "int" and takes_dsp(w, a, dsp):
        tiles = dsp_tiles(w + (not weights.signed), a + (not acts.signed), dsp_type)
        packed = ceil(lanes / products_per_dsp(w, a, dsp_type)) if tiles == 1 else lanes * tiles
        count = packed if dsp == "pack" else lanes * tiles
        return Bill((), 0, count, packed), one
    if has_surface(weights, acts):
        name, priced = multiplier(weights, acts)
        return Bill((term("multipliers", priced, name, lanes),)), one
    family = {"int_su": "int_mul_su", "int_ss": "int_mul_ss"}.get(one.family, "mf_mul")
    parts = (("multipliers", one.multiply + one.exponent), ("shifters", one.shift), ("negate", one.negate))
    return Bill(tuple(Term(label, family, float(lut * lanes)) for label, lut in parts if lut)), one


def tree_lut(one: Product, lanes: int) -> int:
    """LUTs of the adder tree: FINN's width (2 lanes - 1).

    The minifloat construction adds a single product straight into the accumulator, so one width less there.
    """
    operands = 2 * lanes - 1 if one.family in ("int_su", "int_ss") else 2 * lanes - 2
    return one.width * operands


def _array_family(one: Product, lanes: int, in_dsp: bool) -> str:
    if in_dsp:
        return "int_mac_dsp" if lanes == 1 else "int_mac_dsp+int_dot"
    if one.family in ("mf_mac", "mfint_mac"):
        return one.family if lanes == 1 else f"{one.family}+addtree"
    if lanes == 1:
        return f"int_mac_{one.family[-2:]}"
    return "int_dot" if one.family == "int_su" else "int_mac_ss+int_dot"


def _block_dot(weights: Operand, acts: Operand, lanes: int, dsp: DspPolicy, dsp_type: str) -> Bill:
    """Sums inside a block are exact; each block sum is scaled and added in fp32. Native floats are blocks of one."""
    if weights.kind == "float" or acts.kind == "float":
        products = float_product(weights, acts, dsp, dsp_type).times(lanes)
        return products + _float_sum(lanes)
    block = min(b for b in (weights.block, acts.block) if b)
    inside = accumulator_bits(block, weights.format, acts.format)
    bill, one = multipliers(weights, acts, lanes, dsp, dsp_type)
    sums, together = ceil(lanes / block), min(lanes, block)
    if together > 1:
        bill += Bill((term("tree", tree(together, one.width), "adder_tree", sums),))
    if together < block:
        running = float(inside * sums)
        bill += Bill((Term("accumulators", "fold_accumulator", running, running, running),), ff=running)
    return bill + block_scaling(weights, acts, inside, dsp, dsp_type).times(sums) + _float_sum(sums)


def _float_sum(count: int) -> Bill:
    """`count` float32 numbers a cycle into one running sum."""
    label = "float accumulators"
    terms = (float_adder(label).times(count - 1),) if count > 1 else ()
    return Bill((*terms, float_adder(label, running=True)), ff=FLOAT_ACCUMULATOR_BITS)
