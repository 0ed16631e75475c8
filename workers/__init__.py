"""What runs inside a worker process.

May import shared, never the supervisor.
"""
