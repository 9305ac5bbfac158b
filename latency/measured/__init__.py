"""Measured latencies from the shared tables, as rows that models are fitted to and scored on (not at run time)."""
