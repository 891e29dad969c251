"""The one process of an installation that answers what needs a query: `python -m service.exporter`.

Serves Prometheus' text on `METRICS_HOST`:`EXPORTER_PORT`. It writes nothing, so a second one does no harm but load.
"""

import signal
import sys
import threading

import structlog

from service import bootstrap
from service.adapters import logs, processes
from service.adapters.metrics_server import serve
from service.settings import Settings

log = structlog.get_logger(__name__)


def main() -> int:
    # Twice: what is wrong with a setting is a line as well.
    logs.configure("INFO", "exporter")
    settings = Settings()
    logs.configure(settings.log_level, "exporter")
    processes.register("exporter", alone=True)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    watching = bootstrap.watch(settings)
    try:
        port, end = serve(watching, settings.metrics_host, settings.exporter_port)
    except OSError as error:
        log.error("EXPORTER_PORT can't be listened on", port=settings.exporter_port, reason=error.strerror)
        return 1
    walk = watching.start(ended)
    log.info("exporter ready", port=port)
    ended.wait()
    end()
    walk.join(timeout=5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
