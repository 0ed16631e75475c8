"""What every part of the supervisor uses: events, threads, breakers, shutdown, the set-up of the process.

May import shared.
"""
