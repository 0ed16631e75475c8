"""The service's memory on disk: table, bodies of reports, large inputs, state directory and its lock.

May import shared.
"""
