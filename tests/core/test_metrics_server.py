"""The server of metrics of processes without HTTP of their own."""

import socket

import pytest
import requests

from service.adapters.metrics import HostCollector, Metrics
from service.adapters.metrics_server import serve


def test_metrics_are_answered_until_it_is_ended():
    Metrics().webhook_lag(3)
    port, end = serve(HostCollector(), "127.0.0.1", 0)
    try:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    finally:
        end()
    assert 'webhook_lag_seconds_bucket{le="5.0"}' in text
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_a_taken_port_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(HostCollector(), "127.0.0.1", taken.getsockname()[1])
