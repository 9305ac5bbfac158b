"""Lines on stderr that tell how far a profile is."""

from __future__ import annotations

import sys
import time

from hwsim.latency.profile.clocks import ClockLog
from hwsim.latency.profile.network_bench import Report

_EVERY_S = 5.0


def say(text: str) -> None:
    """A line on stderr."""
    sys.stderr.write(f"profile: {text}\n")
    sys.stderr.flush()


class PointProgress:
    """A line every five seconds, and a reading of the clocks."""

    def __init__(self, log: ClockLog, seconds: float | None) -> None:
        self._log, self._seconds = log, seconds
        self._start = self._last = time.perf_counter()

    def __call__(self, done: int, total: int, skipped: int) -> None:
        now = time.perf_counter()
        if now - self._last < _EVERY_S and done < total:
            return
        self._last = now
        pace = done / (now - self._start)
        left = (total - done) / pace
        if self._seconds is not None:
            left = min(left, self._seconds - now + self._start)
        say(f"{done}/{total} points, {skipped} skipped, {pace:.1f} points/s, about {max(left, 0):.0f} s left")
        self._log()


class NetworkProgress:
    """A line a network, and a reading of the clocks."""

    def __init__(self, log: ClockLog) -> None:
        self._log = log

    def __call__(self, report: Report) -> None:
        said = f"{report.rows} rows, {len(report.skipped)} skipped, {report.seconds:.0f} s"
        say(f"{report.left} networks left, {said}")
        self._log()
