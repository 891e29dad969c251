"""A server of metrics for processes that have no HTTP of their own: workers and the exporter."""

from collections.abc import Callable, Iterable
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector


def serve(collector: Collector, host: str, port: int) -> tuple[int, Callable[[], None]]:
    """Answer `/metrics` in threads of its own. Returns the port (any free one for 0) and what ends it.

    Raises OSError if the port is taken.
    """
    registry = CollectorRegistry()
    # Else it would be asked once for the names of its metrics, which would ask the database.
    registry.register(_Undescribed(collector))
    server: WSGIServer
    server, thread = start_http_server(port, host, registry)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_port, end


class _Undescribed(Collector):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        return self._collector.collect()
