"""Where workers run: the contract of a pool, the pool on this machine, and which slot holds which unit.

May import runtime, status, the records of the journal, workers and shared.
"""
