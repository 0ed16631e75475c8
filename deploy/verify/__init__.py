"""Checks that start the real things: a container, a machine with systemd, a Prometheus."""
