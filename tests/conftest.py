"""What holds for all tests."""

import os

import hypothesis

# No deadlines: how fast a busy machine is says nothing about the code. In CI the examples are the same
# each time, so that a failure there can be seen again.
hypothesis.settings.register_profile("here", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("here")
