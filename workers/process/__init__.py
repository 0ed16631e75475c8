"""A worker process and the forkserver it comes from: start, loop, pipe to the supervisor, end.

May import the factory and all beneath it.
"""
