"""How gunicorn serves the API: gevent workers, so that long polls and streams cost no thread each.

Read by `gunicorn -c gunicorn.conf.py wsgi:application`. The application is not preloaded: every
worker connects to MongoDB and Redis itself, after the fork.
"""

from gevent import monkey

# Before anything else is imported, so that no library keeps a blocking socket or lock.
monkey.patch_all()

import os  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

host = os.environ.get("HOST") or "127.0.0.1"
bind = f"{f'[{host}]' if ':' in host else host}:{os.environ.get('PORT') or '8000'}"
# gevent, with its own errors in our shape, and waiting clients let go when it stops.
worker_class = "service.api.gunicorn_worker.Worker"
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
# Open sockets, streams and requests of one process; beyond it new connections wait to be accepted.
worker_connections = int(os.environ.get("WORKER_CONNECTIONS") or 10_000)

graceful_timeout = 30
# Of a process that hangs, and of a client that neither sends the rest of its request nor reads its answer.
timeout = 60
keepalive = 15

limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

# The service logs its requests itself, without what must not be logged.
accesslog = None
errorlog = "-"
# Its own lines look like ours.
logger_class = "service.api.gunicorn_logger.Logger"

# The heartbeat file is touched every second: keep it off the disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108

# One socket per user, not per instance: two stacks side by side would share it.
control_socket_disable = True


def on_starting(_server: Any) -> None:
    """Forget the gauges of workers of an earlier master, which was killed."""
    from service.adapters import processes

    processes.forget_dead_gauges()


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)
