"""GPU latency: devices, the precision a format runs in, kernels of a runtime, networks by class and kernels by learned correction, with intervals."""

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
