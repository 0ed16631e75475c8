"""What the service is compared with. Each is a program of its own, set by the same environment variables."""
