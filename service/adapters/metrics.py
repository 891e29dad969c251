"""Prometheus metrics of web and workers. `PROMETHEUS_MULTIPROC_DIR` makes a host's processes count together."""

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from resource import getpagesize

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector

from service.domain.jobs import Job
from service.usecases.ports import Figures

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BYTES = (100, 1_000, 10_000, 100_000, 1_000_000)

REQUESTS = Counter("http_requests_total", "Answered requests", ("method", "route", "status"))
REQUEST_SECONDS = Histogram("http_request_duration_seconds", "Time to answer", ("route",), buckets=_SECONDS)
RESPONSE_BYTES = Histogram("http_response_size_bytes", "Size of response bodies", ("route",), buckets=_BYTES)
JOBS_ACCEPTED = Counter("chat_jobs_accepted_total", "Accepted jobs", ("channel", "model"))
JOBS_FINAL = Counter("chat_jobs_total", "Final jobs", ("channel", "outcome"))
JOB_SECONDS = Histogram("chat_job_seconds", "From acceptance to the final state", ("outcome",), buckets=_SECONDS)
CHARGED = Counter("chat_charged_total", "What final jobs cost, in the unit of their meter", ("meter",))
TOKENS = Counter("llm_tokens_total", "Tokens that the provider counted", ("model", "type"))
CALL_SECONDS = Histogram("llm_request_duration_seconds", "Time of one provider call", ("model",), buckets=_SECONDS)
CALL_ERRORS = Counter("llm_errors_total", "Failed provider calls", ("model", "code"))
STRUCTURED = Counter("llm_structured_answers_total", "Answers asked for in a format", ("format", "outcome"))
CHECKS = Counter("llm_checks_total", "Tests of the connection to the provider", ("outcome",))
FIRST_SHOWN_SECONDS = Histogram(
    "chat_first_token_seconds", "From acceptance to the first piece of a streamed answer", ("model",), buckets=_SECONDS
)
STREAMS_OPEN = Gauge("chat_streams_open", "Clients that follow a job's events", multiprocess_mode="livesum")
SOCKETS_OPEN = Gauge("sockets_open", "WebSockets that are open", multiprocess_mode="livesum")
CONNECTIONS_REFUSED = Counter("connections_refused_total", "Connections beyond somebody's limit", ("by",))
BOT_REPLIES = Counter("bot_replies_total", "Answers of the bot profile, all of which are HTTP 200", ("outcome",))
LINKS = Counter("account_links_total", "Links of bots' users to accounts, made, ended and refused", ("outcome",))
DELETED = Counter("deletions_total", "Sessions and accounts that were deleted", ("kind",))
ERASED = Counter("erased_total", "Messages and jobs that were erased with what they belong to", ("what",))
DELIVERIES = Counter("webhook_deliveries_total", "Tries to deliver a webhook", ("outcome",))
PAYMENTS = Counter("payments_total", "What became of payments", ("provider", "outcome"))
CODES = Counter("redeem_codes_total", "Tries to redeem a code", ("outcome",))
# Of those web processes alone that run: a gauge of one that has ended is forgotten.
WEB_CPU_SECONDS = Gauge("web_cpu_seconds", "Processor time of the web processes", multiprocess_mode="livesum")
WEB_MEMORY_BYTES = Gauge("web_resident_memory_bytes", "Memory of the web processes", multiprocess_mode="livesum")
ACTIVE_USERS = Gauge("active_users", "Accounts seen lately", ("window",), multiprocess_mode="mostrecent")
BALANCES = Gauge("user_balance_tokens", "What accounts have: mean, median", ("stat",), multiprocess_mode="mostrecent")
MODEL_DAYS_LEFT = Gauge(
    "llm_model_days_left",
    "Until a model ends; infinite while no end is known",
    ("model",),
    multiprocess_mode="mostrecent",
)

# Between two looks at what the process uses.
_LOOK_SECONDS = 1.0


class Metrics:
    def __init__(self) -> None:
        self._looked_at = float("-inf")

    def http_request(self, method: str, route: str, status: int, seconds: float, response_bytes: int) -> None:
        """`route` is the template, so that labels stay few."""
        REQUESTS.labels(method, route, str(status)).inc()
        REQUEST_SECONDS.labels(route).observe(seconds)
        RESPONSE_BYTES.labels(route).observe(response_bytes)
        self._look_at_process()

    def figures(self, latest: Figures) -> None:
        """What is known of all accounts; see `service/usecases/figures.py`."""
        ACTIVE_USERS.labels("5m").set(latest.active_users)
        BALANCES.labels("mean").set(latest.balance_mean)
        BALANCES.labels("median").set(latest.balance_median)

    def model_lives(self, days_left: Mapping[str, int | None]) -> None:
        """How long the model of each alias is still there."""
        for alias, days in days_left.items():
            MODEL_DAYS_LEFT.labels(alias).set(math.inf if days is None else days)

    def bot_reply(self, outcome: str) -> None:
        """`queued`, `running`, `done`, or the code of an error."""
        BOT_REPLIES.labels(outcome).inc()

    def job_accepted(self, job: Job) -> None:
        JOBS_ACCEPTED.labels(job.channel, job.model).inc()

    def job_final(self, job: Job) -> None:
        JOBS_FINAL.labels(job.channel, job.status.value).inc()
        CHARGED.labels(job.meter).inc(job.charged)
        if job.finished_at is not None:
            JOB_SECONDS.labels(job.status.value).observe((job.finished_at - job.created_at).total_seconds())
        if job.usage is not None:
            TOKENS.labels(job.model, "prompt").inc(job.usage.prompt_tokens)
            TOKENS.labels(job.model, "cached").inc(job.usage.cached_tokens)
            TOKENS.labels(job.model, "completion").inc(job.usage.completion_tokens)

    def first_shown(self, job: Job, seconds: float) -> None:
        FIRST_SHOWN_SECONDS.labels(job.model).observe(max(0.0, seconds))

    def streams_open(self, change: int) -> None:
        STREAMS_OPEN.inc(change)

    def connection_refused(self, by: str) -> None:
        CONNECTIONS_REFUSED.labels(by).inc()

    def sockets_open(self, change: int) -> None:
        SOCKETS_OPEN.inc(change)

    def webhook_delivery(self, outcome: str) -> None:
        DELIVERIES.labels(outcome).inc()

    def payment(self, provider: str, outcome: str) -> None:
        PAYMENTS.labels(provider, outcome).inc()

    def redeemed(self, outcome: str) -> None:
        CODES.labels(outcome).inc()

    def link(self, outcome: str) -> None:
        LINKS.labels(outcome).inc()

    def deleted(self, kind: str) -> None:
        DELETED.labels(kind).inc()

    def erased(self, what: str, count: int) -> None:
        ERASED.labels(what).inc(count)

    def upstream_call(self, model: str, seconds: float, error_code: str | None) -> None:
        CALL_SECONDS.labels(model).observe(seconds)
        if error_code is not None:
            CALL_ERRORS.labels(model, error_code).inc()

    def structured_answer(self, output_format: str, outcome: str) -> None:
        STRUCTURED.labels(output_format, outcome).inc()

    def upstream_check(self, outcome: str) -> None:
        CHECKS.labels(outcome).inc()

    def connections(self) -> tuple[int, int]:
        """How many WebSockets and event streams are open, in all web processes of this host."""
        registry = _registry()
        sockets, streams = (registry.get_sample_value(name) or 0 for name in ("sockets_open", "chat_streams_open"))
        return int(sockets), int(streams)

    def serve(self, host: str, port: int) -> None:
        """Answer Prometheus in the background, in a process that has no web server. Raises OSError if the port is
        taken."""
        start_http_server(port, host, _registry())

    def memory(self) -> int:
        """Bytes that this process has in memory."""
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * getpagesize()

    def _look_at_process(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            WEB_CPU_SECONDS.set(time.process_time())
            WEB_MEMORY_BYTES.set(self.memory())

    def render(self) -> tuple[bytes, str]:
        """The exposition and its content type."""
        return generate_latest(_registry()), CONTENT_TYPE_LATEST


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    collect: Callable[[CollectorRegistry], object] = MultiProcessCollector
    collect(registry)
    return registry
