"""The workers' Celery application: `celery -A workers.app worker -P gevent …`, and the same for beat and Flower."""

from celery.signals import setup_logging

from service.adapters import logs
from service.adapters.celery_app import worker_app
from service.settings import Settings

settings = Settings()
app = worker_app(settings.redis_url.get_secret_value(), settings.upkeep_interval_seconds)
app.conf.imports = ("workers.tasks",)


@setup_logging.connect
def _configure_logging(**_options: object) -> None:
    """Keep Celery from setting up logging of its own."""
    logs.configure(settings.log_level, "worker")
