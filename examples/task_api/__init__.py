"""A reference task API: the smallest backend that the service can work for.

Read in this order: `task.py` (what a task is and which changes it allows), `store.py` (SQLite),
`wire.py` (the two JSON shapes), `app.py` (the endpoints), `optional.py` (those that an API may leave out),
`server.py` and `__main__.py` (running it). `request.py` has what the endpoints share.
"""
