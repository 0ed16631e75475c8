"""The one process that owns every piece of state."""
