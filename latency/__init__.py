"""GPU latency: devices, the precision of a format, kernels of a runtime, and times learned on measurements."""

from hwsim.latency.catalog import RUNTIMES, device, devices
from hwsim.latency.kernels import Kernel, kernels
from hwsim.latency.precision import precision_for, represents
from hwsim.latency.predict import predict
from hwsim.latency.trust import trust_statement

__all__ = [
    "RUNTIMES",
    "Kernel",
    "device",
    "devices",
    "kernels",
    "precision_for",
    "predict",
    "represents",
    "trust_statement",
]
