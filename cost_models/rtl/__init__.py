"""Operators as hardware: Verilog for every unit that the model prices, and what each computes, in numpy."""
