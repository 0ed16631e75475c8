"""A task's life: intake, backlog, dispatch, outcome, completion."""
