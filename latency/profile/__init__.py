"""What only torch can tell: the kernels that a module launches, and how long they take here."""
