"""The workers' Celery application. Workers are started by `python -m workers`, the scheduler by
`celery -A workers.app beat`, Flower by `celery -A workers.app flower`."""

import _thread
import sys
import time

import celery.apps.worker
import kombu.utils.functional
import structlog
from celery.signals import beat_init, setup_logging

from service.adapters import logs, processes
from service.adapters.celery_app import worker_app
from service.settings import Settings

if vars(kombu.utils.functional)["sleep"] is not time.sleep:
    raise RuntimeError("gevent came after Celery (see workers/__main__.py); start workers with: python -m workers")

# Which of Celery's programs this is: Flower and beat load the application too.
PART = "scheduler" if "beat" in sys.argv else "flower" if "flower" in sys.argv else "worker"
# Now already: what is wrong with a setting is a line as well.
logs.configure("INFO", PART)
settings = Settings()
app = worker_app(
    settings.redis_url.get_secret_value(), settings.upkeep_interval_seconds, settings.payment_sweep_seconds
)
app.conf.imports = ("workers.tasks",)

processes.register(PART)
# Now already: Celery has warnings before it asks for logging, and Flower never asks.
logs.configure(settings.log_level, PART)


def _say(message: str, _to: object = None) -> None:
    """What Celery says of signals, which it would print. A signal's handler calls it, where nothing may wait: not even
    for a thread to have begun, as `Thread.start` does."""
    _thread.start_new_thread(structlog.get_logger(__name__).info, (message,))


celery.apps.worker.safe_say = _say  # type: ignore[attr-defined]


@setup_logging.connect
def _configure_logging(**_options: object) -> None:
    """Keep Celery from setting up logging of its own."""
    logs.configure(settings.log_level, PART)


@beat_init.connect
def _say_so(**_options: object) -> None:
    """Its banner is switched off, and what it sends every second is not worth a line."""
    structlog.get_logger(__name__).info("scheduler started")
