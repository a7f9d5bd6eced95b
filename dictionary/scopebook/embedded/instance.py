"""An instance: the servers and programs of one data folder, started, watched and stopped."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from scopebook.embedded.children import Child, last_line
from scopebook.embedded.folder import DataFolder, Holder, Kind, RunningInstance
from scopebook.embedded.ports import require_free_port
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.embedded.programs import Program, Programs, api_url, environment, programs
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.embedded.watching import Part, Watched
from scopebook.errors import ConflictError, InstanceError
from scopebook.settings import Settings

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.2
_READY_S = 120.0
#: How long the processes of a killed instance may still hold its port.
_AFTERLIFE_S = 5.0


class Instance:
    """Everything that runs for one data folder, owned by this process.

    Start it, watch it and stop it from one thread: the kernel ends a child when the thread that
    started it does.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        migrate: Callable[[str], None],
        with_workers: bool = True,
        with_api: bool = True,
        kind: Kind = "up",
        table: Callable[[Settings], Programs] = programs,
        say: Callable[[str], None] = log.info,
    ) -> None:
        self.folder = DataFolder(settings.data_dir)
        self.settings = settings.model_copy(update={"data_dir": self.folder.path})
        self._with_workers = with_workers
        self._with_api = with_api
        self.stopping = False
        self._kind = kind
        self._migrate = migrate
        self._programs = table(self.settings)
        self._say = say
        self._parts: list[Watched] = []
        self._running: RunningInstance | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> RunningInstance:
        """Where the started instance answers."""
        if self._running is None:
            raise InstanceError(f"The instance of {self.folder.path} is not started.")
        return self._running

    def start(self) -> None:
        """Bring everything up, in order; what was started is stopped again if a part fails."""
        self.folder.prepare()
        self._take_folder()
        try:
            self._start_parts()
        except BaseException:
            self.stop()
            raise

    def watch(self) -> None:
        """Look after the parts until something raises, as a signal's handler does."""
        while True:
            self.look()
            time.sleep(_LOOK_EVERY_S)

    def look(self) -> None:
        """Start again what has died; raise when that does not help."""
        for watched in self._parts:
            watched.look()

    def start_work(self) -> None:
        """Start the broker, the workers and the sweep of an instance that runs without them."""
        self._bring_up_work()
        self.folder.announce(self.running)

    def stop(self) -> None:
        """End everything, the last started first, and free the folder."""
        self.stopping = True
        if self._parts:
            self._say("Stopping ...")
        while self._parts:
            part = self._parts[-1].part
            try:
                part.stop()
            except Exception:
                # A part that will not end must not keep the others running.
                log.exception("The %s did not stop in good order.", part.name)
                part.kill()
            self._parts.pop()
        self.folder.release()

    def kill(self) -> None:
        """End every part at once; for a signal handler that interrupts `stop`."""
        for watched in self._parts:
            watched.part.kill()

    def _take_folder(self) -> None:
        waiting = False
        while not self.folder.take(Holder(pid=os.getpid(), kind=self._kind)):
            holder = self.folder.holder()
            if holder and (holder.kind == "up" or self._kind == "command"):
                raise ConflictError(self._who_holds(holder))
            if holder and not waiting:
                waiting = True
                self._say(
                    f"Another command uses {self.folder.path} (pid {holder.pid}); waiting for it "
                    "to end ..."
                )

    def _who_holds(self, holder: Holder) -> str:
        running = self.folder.running()
        where = f"at {running.api_url}" if running and running.api_url else "and is starting"
        return (
            f"An instance of {self.folder.path} already runs (pid {holder.pid}) {where}; use that "
            "one, stop it by Ctrl-C in its terminal, or choose another folder by --data-dir."
        )

    def _start_parts(self) -> None:
        crashed = self.folder.clear_stale()
        if self._with_api:
            patience_s = _AFTERLIFE_S if crashed else 0.0
            require_free_port(self.settings.host, self.settings.port, patience_s=patience_s)
        database_url = self.settings.database_url or self._start_database()
        self._say("Bringing the database up to date ...")
        self._migrate(database_url)
        self._running = RunningInstance(pid=os.getpid(), kind=self._kind, database_url=database_url)
        if self._with_workers:
            self._bring_up_work()
        if self._with_api:
            self._start_programs(self._programs.api)
            self._running = self.running.model_copy(update={"api_url": api_url(self.settings)})
        self.folder.announce(self.running)

    def _bring_up_work(self) -> None:
        broker_url = self.settings.broker_url or self._start_broker()
        self._running = self.running.model_copy(update={"broker_url": broker_url})
        self._start_programs(self._programs.work)

    def _start_database(self) -> str:
        self._say("Starting the database ...")
        server = EmbeddedPostgres(self.folder.path)
        self._start(server)
        return server.url()

    def _start_broker(self) -> str:
        self._say("Starting the broker ...")
        server = EmbeddedValkey(self.folder.path)
        self._start(server)
        return server.url()

    def _start_programs(self, table: Sequence[Program]) -> None:
        env = environment(self.settings, self.running.database_url, self.running.broker_url)
        for program in table:
            self._say(f"Starting the {program.title or program.name} ...")
            log_file = self.folder.logs / f"{program.name}.log"
            own = {**env, **program.variables()}
            child = Child(program.name, program.argv, own, log_file, program.stop_signals)
            self._start(child)
            if program.ready:
                self._wait_until_ready(child, program.ready)

    def _start(self, part: Part) -> None:
        watched = Watched(part)
        self._parts.append(watched)
        part.start()
        watched.started = time.monotonic()

    def _wait_until_ready(self, child: Child, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + _READY_S
        while not ready():
            if not child.alive():
                raise InstanceError(
                    f"The {child.name} of the instance stopped while it started; {child.log} ends "
                    f"with: {last_line(child.log)}"
                )
            if time.monotonic() > until:
                raise InstanceError(
                    f"The {child.name} of the instance did not answer within {_READY_S:.0f} s; "
                    f"see {child.log}."
                )
            time.sleep(0.05)
