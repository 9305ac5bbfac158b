"""Arithmetic in LUTs and DSPs by formula, one idea a file. Nothing here is fitted to synthesis."""
