"""Measured times that other tools wrote, as rows of `hwsim.latency.measurements`."""

from hwsim.latency.importers.hw_nas_bench import read_hw_nas_bench
from hwsim.latency.importers.imported import Imported, Labels, Skipped
from hwsim.latency.importers.recognise import FORMATS, read_measurements
from hwsim.latency.importers.tables import read_csv
from hwsim.latency.importers.torch_trace import read_torch_trace
from hwsim.latency.importers.trtexec import read_trtexec_profile, read_trtexec_times

__all__ = [
    "FORMATS",
    "Imported",
    "Labels",
    "Skipped",
    "read_csv",
    "read_hw_nas_bench",
    "read_measurements",
    "read_torch_trace",
    "read_trtexec_profile",
    "read_trtexec_times",
]
