"""Adding a product to a float accumulator with one rounding, in Verilog: align, add, normalise, round.

The product is normalised first, so that where exponents differ by two or more the sum loses at most one leading bit,
and three bits below the wider significand (guard, round, sticky) decide every rounding, as in IEEE 754 adders
(Muller et al., Handbook of Floating-Point Arithmetic, 2nd edition, chapter 8). Products below the accumulator's normal
range have exponents below one; sums are never normalised beyond exponent one, so subnormals come out by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.cost_models.rtl.add import added


@dataclass(frozen=True, slots=True)
class FusedAdder:
    """Adds the wires `significand`, `shift` and `negative` of a product to the output register `acc`.

    Attributes
    ----------
    exponent, mantissa : of the accumulator, usual bias; the highest exponent field is not used.
    product_bits : of `significand`.
    product_exponent : log2 of a unit of `significand` where `shift` is 0.
    lowest, highest : values of `shift`; there is no such wire where they are equal.
    """

    exponent: int
    mantissa: int
    product_bits: int
    product_exponent: int
    lowest: int
    highest: int

    def verilog(self) -> str:
        return self._held() + self._product() + self._aligned() + self._summed() + self._rounded()

    @property
    def width(self) -> int:
        """Of both significands."""
        return max(self.product_bits, self.mantissa + 1)

    @property
    def offset(self) -> int:
        """What `shift` lacks to the exponent field of a product whose leading bit is set."""
        return (1 << (self.exponent - 1)) - 1 + self.product_exponent + self.product_bits - 1

    @property
    def exponent_bits(self) -> int:
        """Signed bits of exponents and their differences."""
        low = self.lowest + self.offset - self.product_bits
        high = max(self.highest + self.offset, (1 << self.exponent) - 1)
        return 1 + max(high + 1, high - low, -low).bit_length()

    def _held(self) -> str:
        """The accumulator's fields, zero where cleared."""
        e, m, n = self.exponent, self.mantissa, self.width
        pad = f", {n - m - 1}'d0" if n > m + 1 else ""
        return f"""  wire [{e + m}:0] held = clear ? {e + m + 1}'d0 : acc;
  wire held_normal = |held[{e + m - 1}:{m}];
  wire [{n - 1}:0] held_significand = {{held_normal, held[{m - 1}:0]{pad}}};
  wire signed [{e}:0] held_exponent = {{1'b0, held[{e + m - 1}:{m + 1}], held[{m}] | ~held_normal}};
"""

    def _product(self) -> str:
        """The product with its leading bit set, and its exponent."""
        p, n, x = self.product_bits, self.width, self.exponent_bits
        lines, moved, terms = "", "significand", [f"{x}'sd{abs(self.offset)}"]
        if self.offset < 0:
            terms = [f"-{terms[0]}"]
        if self.highest > self.lowest:
            terms.append("$signed({1'b0, shift})")
        zeros = ""
        if p > 1:
            lines = leading_zeros("significand", p, "product_zeros")
            moved, zeros = "significand << product_zeros", " - $signed({1'b0, product_zeros})"
        pad = f" << {n - p}" if n > p else ""
        return f"""{lines}  wire [{p - 1}:0] product_moved = {moved};
  wire [{n - 1}:0] product_significand = product_moved{pad};
  wire signed [{x - 1}:0] product_exponent = {" + ".join(terms)}{zeros};
"""

    def _aligned(self) -> str:
        """The significand of the larger exponent, and the other one moved right, its last bit sticky."""
        n, x = self.width, self.exponent_bits
        reach = (n + 3).bit_length()
        lines = f"""  wire signed [{x - 1}:0] apart = product_exponent - held_exponent;
  wire product_larger = product_moved[{self.product_bits - 1}] & ~apart[{x - 1}] & |apart;
  wire [{x - 1}:0] distance = product_larger ? apart : -apart;
  wire signed [{x - 1}:0] exponent = product_larger ? product_exponent : held_exponent;
  wire [{n - 1}:0] greater = product_larger ? product_significand : held_significand;
  wire [{n + 2}:0] moved0 = {{product_larger ? held_significand : product_significand, 3'd0}};
"""
        for k in range(reach):
            step = min(1 << k, n + 3)
            moved = f"|moved{k}[{step}:0]" if step < n + 3 else f"|moved{k}"
            kept = f"moved{k}[{n + 2}:{step + 1}], " if step < n + 2 else ""
            zeros = f"{step}'d0, "
            shifted = f"{{{zeros}{kept}{moved}}}" if step < n + 3 else f"{{{n + 2}'d0, {moved}}}"
            lines += f"  wire [{n + 2}:0] moved{k + 1} = distance[{k}] ? {shifted} : moved{k};\n"
        beyond = f"|distance[{x - 1}:{reach}]" if x > reach else "1'b0"
        return (
            lines
            + f"""  wire beyond = {beyond};
  wire [{n + 2}:0] aligned = beyond ? {{{n + 2}'d0, |moved0}} : moved{reach};
"""
        )

    def _summed(self) -> str:
        """The sum in the larger exponent: a magnitude of a carry, the significand and three bits; and its sign."""
        s = self.width + 4
        return f"""  wire subtract = negative ^ held[{self.exponent + self.mantissa}];
  wire [{s - 1}:0] larger = {{1'b0, greater, 3'd0}};
  wire [{s - 1}:0] addend = {{1'b0, aligned}} ^ {{{s}{{subtract}}}};
{added("larger", "addend", "subtract", "raw", s, signed=False)}\
  wire below = subtract & raw[{s - 1}];
  wire [{s - 1}:0] magnitude = (raw ^ {{{s}{{below}}}}) + below;
  wire sum_negative = (product_larger ? negative : held[{self.exponent + self.mantissa}]) ^ below;
"""

    def _rounded(self) -> str:
        """The next code: normalised down to exponent one, rounded half to even, saturated, never -0."""
        e, m, x, s = self.exponent, self.mantissa, self.exponent_bits, self.width + 4
        z, low = s.bit_length(), s - m - 1
        counted = leading_zeros("magnitude", s, "zeros")
        return f"""{counted}  wire [{x - 1}:0] left = zeros > exponent ? exponent : zeros;
  wire [{s - 1}:0] normal = magnitude << left[{z - 1}:0];
  wire [{x - 1}:0] field = normal[{s - 1}] ? exponent - left : {x}'d0;
  wire up = normal[{low - 1}] & (|normal[{low - 2}:0] | normal[{low}]);
  wire [{x + m}:0] code_from = {{1'b0, field, {m}'d0}};
{added("code_from", f"normal[{s - 1}:{low}]", "up", "code", x + m + 1, signed=False)}\
  wire over = |code[{x + m}:{e + m}] | &code[{e + m - 1}:{m}];
  wire [{e + m - 1}:0] next = over ? {e + m}'d{(((1 << e) - 1) << m) - 1} : code[{e + m - 1}:0];
  initial acc = 0;
  always @(posedge clk) acc <= {{sum_negative & |next, next}};
"""


def leading_zeros(word: str, bits: int, count: str) -> str:
    """Lines that declare `count`, the leading zeros of a wire; `bits` of them where it is zero."""
    width = bits.bit_length()
    choices = [f"{word}[{bits - 1 - k}] ? {width}'d{k} :" for k in range(bits)]
    return f"  wire [{width - 1}:0] {count} = {' '.join(choices)} {width}'d{bits};\n"
