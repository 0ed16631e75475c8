"""A task's life: polling, intake, claims, backlog, dispatch, outcome, completion.

May import task_api, providers, pool, journal, status, runtime and shared.
"""
