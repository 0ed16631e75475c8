"""A worker process: its start, its loop, its pipe to the supervisor, its end."""
