"""Kernels on a GPU by rule: what each algorithm would take, and scale-free ratios that a fitted model reads."""
