"""Spans for OpenTelemetry: HTTP request → job → provider call → webhook, one trace per request.

Off unless a collector is named; until then no tracer or exporter is even loaded. A request's id is its trace's id (or a
digest of it, if the client chose another form), and half of that is the id of its first span, so that every process
knows where a span belongs without being told: nothing is added to jobs, messages or the database. Spans are written
when something is over, from what is counted anyway, and carry what log lines carry: never prompts, answers or tokens.
"""

import hashlib
import re
import threading
import time
from typing import Any

import structlog

from service.adapters.metrics import Metrics
from service.domain.jobs import Job, JobStatus

# Of one batch, tries and all: also what a process that ends waits for at most.
_EXPORT_SECONDS = 2
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


class Spans:
    """Sends finished spans in the background; what can't be sent is dropped."""

    def __init__(self, collector_url: str, service_name: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        self._ids = _ids()
        self._provider = TracerProvider(
            # The library's own switches are not ours: half of a trace is worse than none. Collectors can choose.
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": service_name}),
            id_generator=self._ids,
            shutdown_on_exit=True,
        )
        exporter = OTLPSpanExporter(endpoint=f"{collector_url.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("talkmeter")

    def request(self, request_id: str, name: str, seconds: float, attributes: dict[str, Any]) -> None:
        """The first span of a trace."""
        trace_id = _trace_id(request_id)
        if trace_id is not None:
            self._ids.next_is(trace_id, _root_span_id(trace_id))
            self._write(None, name, time.time() - seconds, time.time(), attributes, failed=False)

    def within(
        self, request_id: str, name: str, started: float, ended: float, attributes: dict[str, Any], *, failed: bool
    ) -> None:
        """Something that a request led to, in whichever process. Times are seconds since the epoch."""
        from opentelemetry import trace

        trace_id = _trace_id(request_id)
        if trace_id is None:
            return
        parent = trace.SpanContext(
            trace_id, _root_span_id(trace_id), is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED)
        )
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        self._write(context, name, started, ended, attributes, failed=failed)

    def flush(self) -> None:
        self._provider.force_flush()

    def _write(
        self, context: Any, name: str, started: float, ended: float, attributes: dict[str, Any], *, failed: bool
    ) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        kind = SpanKind.SERVER if context is None else SpanKind.INTERNAL
        present = {key: value for key, value in attributes.items() if value is not None}
        span = self._tracer.start_span(name, context, kind, present, start_time=int(started * 1e9))
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(int(max(started, ended) * 1e9))


class TracedMetrics(Metrics):
    """Counts as ever, and writes a span of what took time."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def http_request(self, method: str, route: str, status: int, seconds: float, response_bytes: int | None) -> None:
        super().http_request(method, route, status, seconds, response_bytes)
        attributes = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        self._spans.request(_bound("request_id"), f"{method} {route}", seconds, attributes)

    def socket_closed(self, route: str, seconds: float) -> None:
        """All that was asked over a WebSocket is part of the request that opened it."""
        super().socket_closed(route, seconds)
        self._spans.request(_bound("request_id"), f"WEBSOCKET {route}", seconds, {"http.route": route})

    def job_final(self, job: Job) -> None:
        super().job_final(job)
        if job.finished_at is None:
            return
        attributes = {
            "job_id": job.id,
            "channel": job.channel,
            "model": job.model,
            "status": job.status.value,
            "attempt": job.attempt,
            "waited_seconds": (job.started_at - job.created_at).total_seconds() if job.started_at else None,
        }
        failed = job.status is JobStatus.FAILED
        begun, ended = job.created_at.timestamp(), job.finished_at.timestamp()
        self._spans.within(job.request_id, "job", begun, ended, attributes, failed=failed)

    def upstream_call(self, model: str, seconds: float, error_code: str | None) -> None:
        super().upstream_call(model, seconds, error_code)
        attributes = {"model": model, "error_code": error_code, "job_id": _bound("job_id") or None}
        self._just_now("provider call", seconds, attributes, failed=error_code is not None)

    def webhook_delivery(self, outcome: str) -> None:
        """What arrived is told of with its lag; what didn't, as a moment of failure."""
        super().webhook_delivery(outcome)
        if outcome != "delivered":
            self._just_now(f"webhook {outcome}", 0, _of_delivery(), failed=True)

    def webhook_lag(self, seconds: float) -> None:
        super().webhook_lag(seconds)
        self._just_now("webhook", seconds, _of_delivery(), failed=False)

    def _just_now(self, name: str, seconds: float, attributes: dict[str, Any], *, failed: bool) -> None:
        now = time.time()
        self._spans.within(_bound("request_id"), name, now - seconds, now, attributes, failed=failed)


def _bound(name: str) -> str:
    """What the log lines of this moment carry under this name."""
    return str(structlog.contextvars.get_contextvars().get(name) or "")


def _of_delivery() -> dict[str, Any]:
    return {"delivery_id": _bound("delivery_id") or None, "job_id": _bound("job_id") or None}


def _trace_id(request_id: str) -> int | None:
    """None where there was no request, as on the command line."""
    if not request_id:
        return None
    digits = request_id if _TRACE_ID.fullmatch(request_id) else hashlib.sha256(request_id.encode()).hexdigest()[:32]
    return int(digits, 16) or None


def _root_span_id(trace_id: int) -> int:
    return trace_id & (2**64 - 1) or 1


def _ids() -> Any:
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        """Random, but for the next span of this greenlet if it is told which it is."""

        def __init__(self) -> None:
            self._next = threading.local()

        def next_is(self, trace_id: int, span_id: int) -> None:
            self._next.ids = [trace_id, span_id]

        def generate_trace_id(self) -> int:
            ids = getattr(self._next, "ids", None)
            return int(ids[0]) if ids else super().generate_trace_id()

        def generate_span_id(self) -> int:
            ids, self._next.ids = getattr(self._next, "ids", None), None
            return int(ids[1]) if ids else super().generate_span_id()

    return Ids()
