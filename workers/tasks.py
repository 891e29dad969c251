"""Tasks: thin shells over use cases. A message carries an id; the state is read from the database."""

import _thread
from functools import lru_cache

import structlog
from celery.signals import worker_init, worker_shutting_down

from service import bootstrap
from service.adapters.celery_app import SWEEP_PAYMENTS_TASK
from service.adapters.metrics import HostCollector
from service.adapters.metrics_server import serve
from service.adapters.queue import DELIVER_TASK, RUN_JOB_TASK
from workers.app import app, settings

log = structlog.get_logger(__name__)


@lru_cache(maxsize=1)
def container() -> bootstrap.Container:
    """One per process."""
    return bootstrap.build(settings)


@worker_init.connect
def _build_early(**_options: object) -> None:
    """Before the first task rather than in it. The gevent pool doesn't fork."""
    container()
    if settings.metrics_port:
        serve(HostCollector(), settings.metrics_host, settings.metrics_port)


@worker_shutting_down.connect
def _leave(**_options: object) -> None:
    """Apart, because this is called by a signal's handler, where nothing may wait, not even for a thread to have begun.
    Celery itself waits for whatever still runs."""
    _thread.start_new_thread(container().run.leave, ())


@app.task(name=RUN_JOB_TASK)
def run_job(job_id: str) -> None:
    """Run a queued job; anything else with this id is somebody else's, or done."""
    try:
        container().run(job_id)
    except container().outages as outage:
        # The lease runs out and upkeep gives the job back: a retry here would only add to the load.
        log.error("job left to upkeep", job_id=job_id, reason=type(outage).__name__)


@app.task(name=DELIVER_TASK)
def deliver(destination: str) -> None:
    """Send what is due to one receiver."""
    try:
        container().deliver(destination)
    except container().outages as outage:
        log.error("deliveries left to upkeep", reason=type(outage).__name__)


@app.task(name="workers.tasks.measure")
def measure() -> None:
    """Measure the figures of the overview."""
    try:
        container().figures()
    except container().outages as outage:
        log.error("figures without the database", reason=type(outage).__name__)


@app.task(name="workers.tasks.watch_provider")
def watch_provider() -> None:
    """Ask the provider for its models, if it is time to."""
    try:
        container().catalog.watch()
    except container().outages as outage:
        log.error("models of the provider without the database", reason=type(outage).__name__)


@app.task(name="workers.tasks.upkeep")
def upkeep() -> None:
    """One round of upkeep."""
    try:
        container().upkeep()
    except container().outages as outage:
        log.error("upkeep without the database", reason=type(outage).__name__)


@app.task(name=SWEEP_PAYMENTS_TASK)
def sweep_payments() -> None:
    """Look after the payments that are open."""
    try:
        container().paying.sweep()
    except container().outages as outage:
        log.error("payments without the database", reason=type(outage).__name__)
