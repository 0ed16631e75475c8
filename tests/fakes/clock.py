"""A clock that stands still until a test moves it."""


class Clock:
    """Call it for the time in seconds, like `time.monotonic`."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
