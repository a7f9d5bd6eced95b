"""How long the parts of a build take."""

import sys
import time


class Progress:
    """Adds up seconds by part, and says on stderr what was done."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def done(self, what: str) -> None:
        """Add the seconds since the last call to this part."""
        now = time.perf_counter()
        self.seconds[what] = self.seconds.get(what, 0.0) + now - self._begun
        self._begun = now

    def say(self, words: str) -> None:
        """Write a line."""
        sys.stderr.write(words + "\n")
