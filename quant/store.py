"""Tensors of the whole calibration set between blocks: in memory up to a bound, beyond it in temporary files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor


class Arena:
    """Hands out stores under one bound of memory.

    Parameters
    ----------
    memory_mb : what all stores together may hold in memory; larger ones are mapped from files, which the system
        writes out when it needs the memory.

    Attributes
    ----------
    bytes_held, peak_bytes : in memory now, and at most so far.
    """

    def __init__(self, memory_mb: float) -> None:
        self.limit_bytes = int(memory_mb * 2**20)
        self.bytes_held = self.peak_bytes = self.bytes_spilled = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0

    def new(self, batches: int, like: Tensor) -> Store:
        """A store for `batches` tensors of the shape and type of `like`."""
        shape = (batches, *like.shape)
        size = batches * like.numel() * like.element_size()
        if self.bytes_held + size <= self.limit_bytes:
            self.bytes_held += size
            self.peak_bytes = max(self.peak_bytes, self.bytes_held)
            return Store(torch.empty(shape, dtype=like.dtype, device=like.device), self, size, None)
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="hwsim-")
        self._files += 1
        self.bytes_spilled += size
        path = Path(self._folder.name) / f"{self._files}.bin"
        flat = torch.from_file(str(path), shared=True, size=batches * like.numel(), dtype=like.dtype)
        return Store(flat.view(shape), self, 0, path)

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class Store:
    """One tensor for each batch of the calibration set, shape (batches, *shape of a batch)."""

    def __init__(self, data: Tensor, arena: Arena, size: int, path: Path | None) -> None:
        self.data = data
        self._arena, self._size, self._path = arena, size, path
        self.readers = 1

    def __len__(self) -> int:
        return self.data.shape[0]

    def batch(self, index: int) -> Tensor:
        return self.data[index]

    def rows(self, index: Tensor) -> Tensor:
        """Rows of the whole set, where the first axis of a batch counts its rows."""
        return self.data.flatten(0, 1).index_select(0, index)

    def release(self) -> None:
        """Give the memory back once the last reader is done."""
        self.readers -= 1
        if self.readers == 0:
            self.data = self.data[:0]
            self._arena.bytes_held -= self._size
            if self._path is not None:
                self._path.unlink(missing_ok=True)
