"""What `run.py check` looks at, each thing by the service's own means.

It composes parts of the service as main does, so it may import all of them.
"""
