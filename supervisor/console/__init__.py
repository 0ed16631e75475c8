"""What people see: the HTTP port, the status page, the terminal, the notices, and the commands.

May import status and runtime; `preflight` and `journal_command` also what they look at.
"""
