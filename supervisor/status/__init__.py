"""What the service says of itself: frozen values, and the history of the last 15 minutes.

May import runtime. Whoever is asked for such a value imports it from here.
"""
