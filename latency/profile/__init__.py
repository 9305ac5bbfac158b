"""Timing of kernels and networks on the machine at hand, and the device file that follows from it.

Needs numpy and torch alone, so that it runs on a machine with a GPU where hwsim is not installed.
"""

from hwsim.latency.profile.measure import Bench, Outcome, Setting, Visit, keys, measure, plan, record
from hwsim.latency.profile.point import Point, read_points, write_points

__all__ = [
    "Bench",
    "Outcome",
    "Point",
    "Setting",
    "Visit",
    "keys",
    "measure",
    "plan",
    "read_points",
    "record",
    "write_points",
]
