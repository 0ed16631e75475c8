"""What ends the demo early."""


class DemoFault(Exception):  # noqa: N818  # a fault of the demo's surroundings, told to a person
    """The demo cannot go on; the message says why, and what to look at."""


class StopRequest(Exception):  # noqa: N818  # a wish, not an error
    """Ctrl-C, or another signal that asks the demo to end."""
