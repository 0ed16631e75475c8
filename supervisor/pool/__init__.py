"""Where workers run: the contract of a pool, the pool on this machine, and which slot holds which unit."""
