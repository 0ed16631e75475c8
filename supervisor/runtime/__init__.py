"""Plumbing of the process: events, threads, signals, shutdown, exit codes, memory, systemd."""
