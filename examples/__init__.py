"""Things to read and run: what stands at the other end of the service."""
