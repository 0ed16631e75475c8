"""The task API: its HTTP, its wire formats, when to poll, what is still to be sent."""
