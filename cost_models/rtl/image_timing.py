"""When the windows of an image reach the array behind them: a recurrence, exact where nothing else waits."""

from __future__ import annotations

from hwsim.cost_models.rtl.window import SlidingWindow


def image_cycles(window: SlidingWindow, words: int, cycles: int) -> tuple[int, int]:
    """The cycle in which the array starts on the last window of an image, the first pixel coming in cycle 0 or, with
    padding, being waited for from cycle 0; and cycles from image to image.

    Parameters
    ----------
    words : operand words that a window is cut into; with one, windows go to the array uncut.
    cycles : that the array takes a window, at least `words`.

    Notes
    -----
    After a window has been taken the line buffers go on, a position a cycle, until the next window stands in the
    registers; what cuts windows into words holds one more, until the array has read its last word.
    """
    before, taken, start = -1, -1, -cycles  # position and cycles of the window before
    ends = []
    for image in range(3):
        for position in _positions(window):
            now = image * window.positions + position
            complete = taken + now - before if before >= 0 else now + 1
            if words > 1:
                taken = max(complete, start + words - 1)
                start = max(taken + 1, start + cycles)
            else:
                taken = start = max(complete, start + cycles)
            before = now
        ends.append(start)
    return ends[0], ends[2] - ends[1]


def _positions(window: SlidingWindow) -> list[int]:
    """Of the pixels that complete a window, in the padded image."""
    wide, reach = window.padded_width, window.kernel - 1
    return [
        (y * window.stride + reach) * wide + x * window.stride + reach
        for y in range(window.out_height)
        for x in range(window.out_width)
    ]
