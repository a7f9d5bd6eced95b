"""Acknowledge notices that wait for long behind a step, before a broker loses its patience.

A worker that is at work holds one notice more in hand for each of its pool processes, and takes
none beside it, so that others get those. A notice is acknowledged when a pool process takes it up,
which after a long step may be in hours. RabbitMQ ends a channel on which it waits longer than half
an hour for that (`consumer_timeout`).

Since a notice may be lost, it is then acknowledged in hand. The worker gets one more for it: twelve
an hour, each of which is over at once where nothing is due.
"""

import time
from typing import Any, Final
from weakref import WeakKeyDictionary

from celery import bootsteps
from celery.worker import state

#: Seconds that a notice is held without a word.
HOLD_S: Final = 300.0
#: Between two looks.
LOOK_S: Final = 10.0


class AckHeldNotices(bootsteps.StartStopStep):
    """A part of the worker's main process, begun anew with each connection to the broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._timer: Any = None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Begin to look."""
        # Over Redis what is in hand would be sent back when the connection ends. Where that is dead
        # it takes seconds for each, and leaves an error and a file.
        if hasattr(consumer.task_consumer.channel, "do_restore"):
            consumer.task_consumer.channel.do_restore = False
        self._timer = consumer.timer.call_repeatedly(LOOK_S, self._look)

    def stop(self, consumer: Any) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = time.monotonic()
        # Those that are worked on are among them, and acknowledged already: again does nothing.
        for request in list(state.reserved_requests):
            if now - self._since.setdefault(request, now) >= HOLD_S:
                request.acknowledge()
