"""Work off what people wait for: take requests, run them in turns, answer each.

All in one process share the model, so that the texts of many people make one batch, and one's long
text keeps the others waiting for one turn only. Modules that import torch are imported after the
first requests are taken: so who waits is told early that the model is being loaded.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from scopebook import inference_queue, notices
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.errors import ScopebookError, UnavailableError
from scopebook.inference_queue import Asked
from scopebook.jobs import INFER
from scopebook.settings import settings
from scopebook_workers import heartbeat, process
from scopebook_workers.outages import AWAY

if TYPE_CHECKING:
    from scopebook_workers.inference.residents import Residents
    from scopebook_workers.inference.running import Wanted
    from scopebook_workers.inference.steered import Measuring, SteeredWriting
    from scopebook_workers.inference.works import Work
    from scopebook_workers.inference.writing import Writing

log = logging.getLogger(__name__)

#: Requests that are worked on at the same time.
_MOST: Final = 64
#: Between two looks at the queue while there is work.
_LOOK_S: Final = 0.05
#: Between two notes of what a model has written.
_TOLD_S: Final = 0.1


def work_off_inferences() -> None:
    """Answer what is queued, until nothing is."""
    service = Service(sessions(), worker=process.name())
    try:
        service.run()
    except AWAY as error:
        # Leases run out, and the sweep queues what this worker held again.
        log.warning("The database is away, so what people wait for is left: %s", error)


class Service:
    """One worker's requests from the queue to their answers."""

    def __init__(self, factory: Sessions, *, worker: str) -> None:
        self._factory = factory
        self._worker = worker
        self._works: list[Work] = []
        self._held: set[int] = set()
        self._told: dict[int, float] = {}
        self._looked = -_LOOK_S
        #: What was left to workers that have its model loaded.
        self._left: set[int] = set()

    def run(self) -> None:
        """Answer what is queued, until nothing is or this worker stops."""
        with self._renewing():
            while not process.stopping():
                if not self._works or time.monotonic() - self._looked >= _LOOK_S:
                    self._look()
                if self._works:
                    self._turn()
                elif self._left:
                    # Nobody else may come for it, and it must not wait for the sweep.
                    time.sleep(_LOOK_S)
                else:
                    return
            self._give_back()

    def _look(self) -> None:
        """Drop what nobody waits for any more, and take what is new for the loaded model."""
        model_id = self._works[0].asked.model_id if self._works else None
        with unit_of_work(self._factory) as session:
            wanted = inference_queue.still_wanted(session, self._held, worker=self._worker)
            for inference_id in self._held - wanted:
                late = inference_queue.too_late()
                inference_queue.note_failure(session, inference_id, late, worker=self._worker)
            room = _MOST - len(wanted)
            taken = inference_queue.take(
                session,
                worker=self._worker,
                limit=room,
                model_id=model_id,
                loaded=heartbeat.loaded_model(),
            )
            if taken.left - self._left:
                # Two, as one may wait in the hands of this very worker.
                notices.request(session, INFER, 2)
        self._left = taken.left
        self._works = [work for work in self._works if work.id in wanted]
        self._held = wanted | {request.id for request in taken.asked}
        begun = [work for request in taken.asked if (work := self._begin(request))]
        if begun:
            with unit_of_work(self._factory) as session:
                ids = [work.id for work in begun]
                inference_queue.note_running(session, ids, worker=self._worker)
            self._works += begun
        self._looked = time.monotonic()

    def _begin(self, request: Asked) -> "Work | None":
        from scopebook_workers.inference import steer_works, works  # noqa: PLC0415

        kind: Any = steer_works if request.kind == "steer" else works
        heartbeat.note_model(request.model_id)
        try:
            with unit_of_work(self._factory) as session:
                weights = kind.read_weights(session, request)
            begun: Work = kind.begin_work(_residents(), request, weights)
        except AWAY:
            raise
        except Exception as error:  # the edge of every request: it must not end the others
            self._fail(request.id, error)
            return None
        return begun

    def _turn(self) -> None:
        """Let everybody have a turn: those who write a token, the others some text."""
        for work in [work for work in self._works if work.writing]:
            self._write(work)
        from scopebook_workers.inference.works import next_rows  # noqa: PLC0415

        chosen = next_rows(self._works)
        for _, of_release in groupby(chosen, key=lambda pair: pair[0].asked.release_id):
            self._run(list(of_release))
        for work in [work for work in self._works if work.done]:
            self._answer(work)

    def _write(self, work: "Work") -> None:
        writing = work.writing
        assert writing is not None
        try:
            work.write()
            self._tell(work.id, writing)
        except AWAY:
            raise
        except Exception as error:  # the edge of every request
            self._fail(work.id, error)

    def _tell(self, inference_id: int, writing: "Writing | SteeredWriting | Measuring") -> None:
        """Show now and then what is written by now."""
        now = time.monotonic()
        # All is written anew each time.
        pause = _TOLD_S * writing.variants
        if writing.ended or now - self._told.get(inference_id, 0.0) >= pause:
            self._told[inference_id] = now
            with unit_of_work(self._factory) as session:
                shown = writing.shown()
                inference_queue.note_written(session, inference_id, shown, worker=self._worker)

    def _run(self, chosen: "Sequence[tuple[Work, Wanted]]") -> None:
        from scopebook_workers.inference.works import run_turn  # noqa: PLC0415

        try:
            run_turn(chosen)
        except Exception as error:  # the edge of every request
            if len({work.id for work, _ in chosen}) > 1:
                # One of them may be at fault, and the others are not.
                for _, of_work in groupby(chosen, key=lambda pair: pair[0].id):
                    self._run(list(of_work))
            else:
                self._fail(chosen[0][0].id, error)

    def _answer(self, work: "Work") -> None:
        try:
            answer = work.answer()
            with unit_of_work(self._factory) as session:
                work.keep(session)
                inference_queue.note_answer(session, work.id, answer, worker=self._worker)
        except AWAY:
            raise
        except Exception as error:  # the edge of every request
            self._fail(work.id, error)
        else:
            self._forget(work.id)

    def _fail(self, inference_id: int, error: Exception) -> None:
        if not isinstance(error, ScopebookError):
            log.error("Request %s failed", inference_id, exc_info=error)
            error = UnavailableError(
                f"The model could not run this ({type(error).__name__}); the inference worker's "
                "log says more."
            )
        with unit_of_work(self._factory) as session:
            inference_queue.note_failure(session, inference_id, error, worker=self._worker)
        self._forget(inference_id)

    def _forget(self, inference_id: int) -> None:
        self._works = [work for work in self._works if work.id != inference_id]
        self._held.discard(inference_id)
        self._told.pop(inference_id, None)

    def _give_back(self) -> None:
        with unit_of_work(self._factory) as session:
            inference_queue.give_back(session, self._held, worker=self._worker)

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Renew the leases also while a model is loaded or a turn takes long."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(settings().inference_lease_s / 3):
                try:
                    with unit_of_work(self._factory) as session:
                        held = set(self._held)
                        inference_queue.still_wanted(session, held, worker=self._worker)
                except AWAY as error:
                    log.warning("Leases were not renewed: %s", error)

        thread = threading.Thread(target=renew, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@cache
def _residents() -> "Residents":
    from scopebook_workers.inference.residents import Residents  # noqa: PLC0415
    from scopebook_workers.qwen.model import choose_device  # noqa: PLC0415

    memory = int(settings().inference_memory_gb * 1e9) or None
    return Residents(choose_device(settings().device), memory_bytes=memory)
