"""The words both sides speak; no state, no I/O but logs and metric files."""
