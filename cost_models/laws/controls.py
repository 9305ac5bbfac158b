"""Control and width conversion of streams: counters, comparators and the registers that hold a word.

Flip-flops are counted; the coefficients of LUTs, and of `fold_control`, are least squares over the table of
synthesised units (88 fold controls, 32 window controls; root mean square error below 2 LUTs).
"""

from __future__ import annotations

from functools import lru_cache

from hwsim.cost_models.laws.counts import Counts


def index_bits(count: int) -> int:
    """Bits that number `count` things, none for one."""
    return max(count - 1, 0).bit_length()


@lru_cache(maxsize=65536)
def fold_control(words: int, folds: int, stages: int = 3) -> Counts:
    """Which word, which fold, and when a sum begins and ends."""
    if words * folds <= 1:
        return Counts()
    of_words, of_folds, of_both = index_bits(words), index_bits(folds), index_bits(words * folds)
    lut = -1.1 + 7.4 * (words > 1) + 3.8 * (folds > 1) + 0.9 * of_words + 0.9 * of_folds - 0.4 * of_both
    ff = -8.5 + 4.9 * (words > 1) + 5.7 * (folds > 1) + 0.9 * of_words + 3.0 * of_folds + of_both
    short, long = stages == 2, stages > 3
    return Counts(lut=max(2.0, lut - 1.2 * short + 3.8 * long), ff=max(2.0, ff + 3.6 * short - 4.4 * long))


@lru_cache(maxsize=65536)
def window_control(width: int, height: int, kernel: int, stride: int, padding: int) -> Counts:
    """The position in a padded image, and whether a window is complete there."""
    columns, rows = index_bits(width + 2 * padding), index_bits(height + 2 * padding)
    skip = index_bits(max(kernel, stride))
    lut = -3.4 + 9.6 * (padding > 0) + 0.83 * (columns + rows) + 2.9 * skip - 1.7 * (stride > 1)
    return Counts(lut=max(3.0, lut), ff=1 + columns + rows + 2 * skip)


@lru_cache(maxsize=65536)
def pool_control(width: int) -> Counts:
    """Pairs of columns and of rows."""
    return Counts(lut=7, ff=3 + index_bits(width // 2))


@lru_cache(maxsize=65536)
def border_mask(bits: int) -> Counts:
    """Zeros in place of a pixel on the border."""
    return Counts(lut=bits)


@lru_cache(maxsize=65536)
def register(bits: int) -> Counts:
    """A word."""
    return Counts(ff=bits)


@lru_cache(maxsize=65536)
def narrower(bits: int, factor: int) -> Counts:
    """A word held and shifted out in `factor` cuts: a choice between loading and shifting for all bits but one cut."""
    control = 5 if factor == 2 else 7
    return Counts(lut=bits - bits // factor + control, ff=bits + index_bits(factor) + 1)


@lru_cache(maxsize=65536)
def widener(bits: int, factor: int) -> Counts:
    """`factor` words collected into one."""
    return Counts(lut=4, ff=bits * factor + index_bits(factor) + 1)


@lru_cache(maxsize=65536)
def fold_accumulator(acc_bits: int) -> Counts:
    """A running sum that starts from a bias: one LUT a bit, its carry chain behind it."""
    return Counts(lut=acc_bits, ff=acc_bits)
