"""Memory of the device that is profiled: what is free, and giving back what torch keeps."""

from __future__ import annotations

import gc
import os

import torch

_MOST_KEPT = 0.5  # of a GPU's memory in torch's cache: every graph leaves a pool there


def free_bytes(kind: str) -> float:
    """Bytes that a new tensor could take; of a CPU those that the system says are available."""
    if kind == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    names = os.sysconf_names
    if "SC_AVPHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    return 2e9


def give_back(kind: str, always: bool = False) -> None:
    """Give a GPU's cached memory back to the driver, where much is kept or `always`."""
    if kind != "cuda":
        return
    total = torch.cuda.get_device_properties(0).total_memory
    if always or torch.cuda.memory_reserved() > _MOST_KEPT * total:
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
