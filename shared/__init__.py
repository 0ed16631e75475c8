"""The words both sides speak, the settings, logs and metrics.

May import neither side. No state, and no I/O but settings, logs and metric files.
"""
