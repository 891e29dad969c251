"""Celery applications from `celeryconfig.py`: the workers' own, and one that only publishes."""

from celery import Celery

PUBLISH_TIMEOUT_SECONDS = 0.3
SWEEP_PAYMENTS_TASK = "workers.tasks.sweep_payments"


def worker_app(broker_url: str, upkeep_seconds: float, payment_sweep_seconds: float) -> Celery:
    """What `celery -A workers.app` runs."""
    app = _app(broker_url)
    for name, seconds in (("upkeep", upkeep_seconds), ("payments", payment_sweep_seconds)):
        app.conf.beat_schedule[name]["schedule"] = seconds
        app.conf.beat_schedule[name]["options"]["expires"] = max(5.0, 5 * seconds)
    app.conf.beat_max_loop_interval = min(upkeep_seconds, payment_sweep_seconds, 5.0)
    return app


def publisher_app(broker_url: str) -> Celery:
    """Publishes fast or not at all: a broker that hangs must not hold up who rings."""
    app = _app(broker_url)
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "socket_timeout": PUBLISH_TIMEOUT_SECONDS,
        "socket_connect_timeout": PUBLISH_TIMEOUT_SECONDS,
        # Kombu would try to connect again after 2 and 4 seconds, whatever `retry` the publishing call says.
        "max_retries": 0,
    }
    return app


def _app(broker_url: str) -> Celery:
    app = Celery("talkmeter", set_as_current=False)
    app.config_from_object("celeryconfig", force=True)
    app.conf.update(broker_url=broker_url)
    return app
