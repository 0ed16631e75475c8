"""What `run.py check` looks at, each thing by the service's own means."""
