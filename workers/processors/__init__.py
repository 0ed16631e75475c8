"""One class for each task type.

May import providers and shared.
"""
