"""Whole networks: time as a sum over classes of kernels, with factors fitted on measured networks."""
