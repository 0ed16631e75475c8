"""What the service says of itself: one frozen status, and the history it is drawn from."""
