"""May work go to the provider now, and how much: breaker, hold, pause, rate limits, whose fault it was.

May import status values and runtime.
"""
