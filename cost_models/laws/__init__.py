"""Counts of units by closed laws: memories, buffers and control, whose hardware follows from a few sizes."""

from hwsim.cost_models.laws.counts import Counts
from hwsim.cost_models.laws.memories import dual_port_ram, replay_buffer, stream_fifo, weight_rom

__all__ = ["Counts", "dual_port_ram", "replay_buffer", "stream_fifo", "weight_rom"]
