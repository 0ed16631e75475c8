"""What runs inside a worker process; never imports the supervisor."""
