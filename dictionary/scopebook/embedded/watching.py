"""Watching over the parts of an instance: what dies is started again, with growing pauses."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scopebook.embedded.children import last_line
from scopebook.errors import InstanceError

log = logging.getLogger(__name__)

#: A part that lived for less has died "at once".
SHORT_LIFE_S = 10.0
_MOST_SHORT_LIVES = 5
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class Part(Protocol):
    """A server or program of the instance."""

    name: str
    log: Path

    def start(self) -> None:
        """Start it, or start it again after it died."""

    def alive(self) -> bool:
        """Tell whether it runs."""

    def stop(self) -> None:
        """End it in good order."""

    def kill(self) -> None:
        """End it at once."""

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""


@dataclass
class Watched:
    """A part with what is known of its deaths."""

    part: Part
    started: float = field(default_factory=time.monotonic)
    short_lives: int = 0
    again_at: float | None = None

    def look(self) -> None:
        """Start the part again if it is dead and its pause is over; give up on one that cannot."""
        if self.again_at is None:
            if self.part.alive():
                return
            self.part.kill()  # what the dead one may have left behind
            self._plan(time.monotonic() - self.started)
        if self.again_at is not None and time.monotonic() >= self.again_at:
            self._start_again()

    def _plan(self, lived_s: float) -> None:
        self.short_lives = self.short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        if self.short_lives >= _MOST_SHORT_LIVES:
            raise InstanceError(
                f"The {self.part.name} of the instance died {self.short_lives} times right after "
                f"the start; {self.part.log} ends with: {last_line(self.part.log)}"
            )
        pause_s = min(_FIRST_PAUSE_S * 2**self.short_lives, _LONGEST_PAUSE_S)
        log.warning("%s died; starting again in %.1f s.", self.part.name, pause_s)
        self.again_at = time.monotonic() + pause_s

    def _start_again(self) -> None:
        self.again_at = None
        try:
            self.part.start()
        except InstanceError as error:
            log.warning("%s did not start again: %s", self.part.name, error)
            self._plan(0.0)
        self.started = time.monotonic()
