"""The Celery application: one light task for each kind of step.

The worker's main process imports no torch, since CUDA does not survive a fork: the modules that
do are imported by `scopebook_workers.claims` in a pool process, when a step first needs them.
"""

import signal
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from scopebook.jobs import INFER, LIVE, QUEUE_OF, kinds_of
from scopebook.log_setup import set_up_logs
from scopebook.notices import celery_options
from scopebook.settings import settings
from scopebook_workers import heartbeat, process
from scopebook_workers.claims import work_off
from scopebook_workers.held_notices import AckHeldNotices

# It warns workers of root of pickled messages, which are not accepted here, before logs are set up.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("scopebook_workers")
app.conf.update(celery_options())
app.conf.update(
    task_routes={kind: {"queue": queue} for kind, queue in (QUEUE_OF | {INFER: LIVE}).items()},
    worker_concurrency=process.pool_size(),
    worker_pool="prefork",
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # What a RabbitMQ ends a channel for passes with a new connection, and is no reason to die.
    broker_channel_error_retry=True,
    # Seconds; a RabbitMQ takes who is silent for two of these for dead, and gives its notices back.
    broker_heartbeat=30,
    # Time to give a step back: the work looks for it whenever it reports progress.
    worker_soft_shutdown_timeout=20.0,
    # Importing torch on a cold disk takes longer than Celery's 4 seconds.
    worker_proc_alive_timeout=120.0,
    worker_hijack_root_logger=False,
)
app.steps["consumer"].add(AckHeldNotices)
#: What a hangup does, as we were started: `nohup` lets it do nothing.
_ON_HANGUP = signal.getsignal(signal.SIGHUP)


def _register(kind: str) -> None:
    @app.task(name=kind)
    def look() -> None:
        # A notice only wakes: what is done first is chosen among all that this worker may do.
        work_off(*(kinds_of(app.amqp.queues.consume_from) or [kind]))


for _kind in QUEUE_OF:
    _register(_kind)


@app.task(name=INFER)
def _answer() -> None:
    # Not before the fork: see above.
    from scopebook_workers.inference.service import work_off_inferences  # noqa: PLC0415

    work_off_inferences()


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    process.stop()


@signals.worker_ready.connect
def _heed_hangups(**_: Any) -> None:
    """Let a closed terminal end a worker as SIGTERM does; Celery would start it anew, and fail."""
    ignored = _ON_HANGUP is signal.SIG_IGN
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.getsignal(signal.SIGTERM))


@signals.celeryd_after_setup.connect
def _note_concurrency(instance: Any, **_: Any) -> None:
    """Keep what `--concurrency` said, so that the pool processes can share the cores."""
    app.conf.worker_concurrency = instance.concurrency
    # Its banner is a picture, and no line of a log.
    instance.quiet = instance.quiet or settings().log_format == "json"
    heartbeat.note_queues(instance.app.amqp.queues.consume_from)


@signals.worker_process_init.connect
def _prepare(**_: Any) -> None:
    process.prepare(app.conf.worker_concurrency)
    heartbeat.start()


@signals.worker_process_shutdown.connect
def _end(**_: Any) -> None:
    heartbeat.end()


@signals.heartbeat_sent.connect
def _note_broker(**_: Any) -> None:
    """Celery says this to the broker every two seconds, as long as it is connected."""
    heartbeat.note_broker()


@signals.setup_logging.connect
def _log_as_all_do(**_: Any) -> None:
    set_up_logs()
