"""`python run.py demo`: the whole service against the reference task API, with real texts.

Read in this order: `runner.py` (the course of the demo), `processes.py` (the two children),
`backend.py` (what is asked of the task API), `corpus.py` (the texts), `progress.py` and
`summary.py` (what is shown), `nearest.py` (the proof that the vectors mean something).
"""
