"""Traces: one per request, from HTTP to the webhook, sent as a collector wants it; nothing when it is off."""

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.api.app import create_app
from service.bootstrap import Container
from tests.core.conftest import Build
from tests.core.receivers import receiving
from tests.core.support import NewActor, ask, lose_worker, submit


class Collector:
    """Takes spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.texts: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                collector.take(self.path, body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        self.texts.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def traced(build: Build, collector: Collector) -> Container:
    return build(tracing_url=collector.url, webhook_allowed_hosts="127.0.0.1")


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def run_all(container: Container, db: Database) -> None:
    """What the workers would do."""
    for job in list(db.jobs.find({"status": "queued"})):
        container.run(job["_id"])
    for row in list(db.deliveries.find({"status": "pending"})):
        container.deliver(row["destination"])


@pytest.mark.parametrize("name", ["0123456789abcdef0123456789abcdef", "a-clients-own-id"])
def test_one_trace_goes_from_the_request_to_the_webhook(
    traced: Container, collector: Collector, db: Database, upstream: UpstreamControl, name: str
) -> None:
    upstream.rule(answer="a secret answer")
    client = create_app(traced).test_client()
    token = client.post("/api/auth/register", json={"username": "vera", "password": "long enough"}).json["token"]
    with receiving() as receiver:
        body = {"message": "a secret question", "callbackUrl": receiver.url}
        headers = {"Authorization": f"Bearer {token}", "X-Request-Id": name}
        assert client.post("/api/chat", json=body, headers=headers).status_code == 202
        run_all(traced, db)
        assert receiver.heard
    traced.metrics._spans.flush()
    root = next(span for span in collector.spans if span.name == "POST /api/chat")
    mine = {span.name: span for span in collector.spans if span.trace_id == root.trace_id}
    assert set(mine) == {"POST /api/chat", "job", "provider call", "webhook"}
    if len(name) == 32:
        assert root.trace_id.hex() == name
    assert not root.parent_span_id
    assert {span.parent_span_id for span in mine.values() if span is not root} == {root.span_id}
    assert attributes(root)["http.response.status_code"] == 202
    assert attributes(mine["job"])["status"] == "succeeded"
    assert mine["job"].start_time_unix_nano <= mine["provider call"].start_time_unix_nano
    for span in mine.values():
        assert span.end_time_unix_nano >= span.start_time_unix_nano
    sent = b"".join(collector.texts)
    assert b"secret" not in sent
    assert token.encode() not in sent


def test_a_provider_that_fails_is_a_failed_span(
    traced: Container, collector: Collector, db: Database, upstream: UpstreamControl, new_actor: NewActor
) -> None:
    upstream.rule(status=400, error={"message": "no", "code": "bad"})
    client = create_app(traced).test_client()
    token = client.post("/api/auth/register", json={"username": "vera", "password": "long enough"}).json["token"]
    client.post("/api/chat", json={"message": "?"}, headers={"Authorization": f"Bearer {token}"})
    run_all(traced, db)
    traced.metrics._spans.flush()
    failed = {span.name for span in collector.spans if span.status.code == 2}
    assert failed == {"provider call", "job"}


def test_a_streamed_answer_that_took_two_workers_and_two_tries_is_one_trace(
    traced: Container, collector: Collector, db: Database, upstream: UpstreamControl, new_actor: NewActor
) -> None:
    upstream.rule(status=500, error={"message": "no", "code": "bad"}, times=1)
    upstream.rule(answer="pong")
    actor = replace(new_actor(), request_id=uuid4().hex)
    job = submit(traced, actor, stream=True)
    lose_worker(traced, db, job)
    traced.upkeep()
    run_all(traced, db)
    traced.metrics._spans.flush()
    assert {span.trace_id.hex() for span in collector.spans} == {actor.request_id}
    assert sorted(span.name for span in collector.spans) == ["job", "provider call", "provider call"]
    assert {attributes(span)["job_id"] for span in collector.spans} == {job.id}
    (whole,) = (span for span in collector.spans if span.name == "job")
    assert attributes(whole)["attempt"] == 2


def test_a_webhook_that_does_not_arrive_is_a_failed_span_without_its_address(
    traced: Container, collector: Collector, db: Database, upstream: UpstreamControl, new_actor: NewActor
) -> None:
    upstream.rule(answer="pong")
    actor = replace(new_actor(), request_id=uuid4().hex)
    with receiving() as receiver:
        receiver.replies.append((500, {}))
        submit(traced, actor, callback_url=f"{receiver.url}/secret-path?token=secret")
        run_all(traced, db)
    traced.metrics._spans.flush()
    (failed,) = (span for span in collector.spans if span.status.code == 2)
    assert (failed.name, failed.trace_id.hex()) == ("webhook retry", actor.request_id)
    assert set(attributes(failed)) == {"delivery_id", "job_id"}
    assert b"secret" not in b"".join(collector.texts)


def test_what_was_asked_over_a_socket_is_part_of_the_request_that_opened_it(
    traced: Container, collector: Collector, db: Database, upstream: UpstreamControl, new_actor: NewActor
) -> None:
    upstream.rule(answer="pong")
    actor = replace(new_actor(), request_id=uuid4().hex)
    ask(traced, actor)
    with structlog.contextvars.bound_contextvars(request_id=actor.request_id):
        traced.metrics.socket_closed("/ws", 3)
    traced.metrics._spans.flush()
    (root,) = (span for span in collector.spans if span.name == "WEBSOCKET /ws")
    assert not root.parent_span_id
    assert {span.parent_span_id for span in collector.spans if span is not root} == {root.span_id}


def test_there_is_one_switch_and_no_other(
    build: Build, db: Database, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    container = build(tracing_url=collector.url)
    create_app(container).test_client().get("/health/live")
    container.metrics._spans.flush()
    assert [span.name for span in collector.spans] == ["GET /health/live"]


def test_a_collector_that_is_away_holds_nobody_up(build: Build, db: Database, upstream: UpstreamControl) -> None:
    container = build(tracing_url="http://127.0.0.1:1")
    client = create_app(container).test_client()
    assert client.get("/health/live").status_code == 200


def test_without_a_collector_no_tracer_is_loaded(container: Container) -> None:
    assert type(container.metrics).__name__ == "Metrics"
    code = """
import sys, service.bootstrap
print([name for name in sys.modules if name.startswith(("opentelemetry.exporter", "opentelemetry.sdk.trace"))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
