"""Ctrl-C, SIGTERM and a closed terminal: the first asks for a clean stop, the next forces it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from scopebook.embedded.instance import Instance

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """What the signals of this process do to its instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._asked = False
        self.forced = False

    def receive(self, _number: int, _frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt once; while the instance stops already, kill its parts."""
        if self._asked or self._instance.stopping:
            self.forced = True
            self._instance.kill()
            return
        self._asked = True
        raise KeyboardInterrupt


@contextmanager
def stop_signals(instance: Instance) -> Iterator[StopSignals]:
    """Let the signals stop `instance` for the time of the block. Main thread only."""
    signals = StopSignals(instance)
    # A hang-up that is ignored stays so: that is what `nohup` asks for.
    wanted = [number for number in _SIGNALS if not _ignored_hang_up(number)]
    before = {number: signal.signal(number, signals.receive) for number in wanted}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignored_hang_up(number: signal.Signals) -> bool:
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def keep_up(
    instance: Instance, *, when_ready: Callable[[], None], say: Callable[[str], None]
) -> bool:
    """Run an instance until a signal ends it; return whether it ended in good order."""
    with stop_signals(instance) as signals:
        try:
            with instance:
                say(f"Scopebook is ready: {instance.running.api_url} (Ctrl-C stops it)")
                when_ready()
                instance.watch()
        except KeyboardInterrupt:
            say("Scopebook has stopped.")
    return not signals.forced
