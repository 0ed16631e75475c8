"""One class a task type."""
