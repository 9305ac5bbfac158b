"""The process that loads a compiled project: `python csim_worker.py JOB IN.npy OUT.npz`. It imports numpy alone."""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SLOTS = 4096


class _Traced(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.c_void_p)]


def run(job: dict[str, Any], x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Outputs of every row, and the traced stages of the last one."""
    library = ctypes.CDLL(job["library"])
    function = getattr(library, job["top"] + "_double")
    function.restype = None
    trace: dict[str, int] = job["trace"]
    if trace:
        library.allocate_trace_storage(ctypes.c_size_t(8))
    outputs = np.zeros((len(x), job["outputs"]))
    for row, result in zip(x, outputs, strict=True):
        function(row.ctypes.data_as(ctypes.c_void_p), result.ctypes.data_as(ctypes.c_void_p))
    found = {"outputs": outputs}
    if trace:
        slots = (_Traced * _SLOTS)()
        library.collect_trace_output(slots)
        for slot in (s for s in slots if s.name):
            name = slot.name.decode()
            values = ctypes.cast(slot.data, ctypes.POINTER(ctypes.c_double))
            found[name] = np.ctypeslib.as_array(values, shape=(trace[name],)).copy()
    return found


def main(arguments: list[str]) -> None:
    job, given, made = arguments
    np.savez(made, **run(json.loads(job), np.load(given)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main(sys.argv[1:])
