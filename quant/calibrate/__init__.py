"""Calibrate steps beyond ranges and error searches: one file a method."""
