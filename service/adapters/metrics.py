"""Prometheus metrics of web and workers. `PROMETHEUS_MULTIPROC_DIR` makes a host's processes count together."""

import os
from collections.abc import Callable, Iterator

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.adapters.processes import ProcessCollector, resident_bytes
from service.domain.jobs import Job

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
# A receiver that was away is tried for a day.
_LAGS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43_200, 86_400)
# A page that somebody leaves open.
_LIVES = (1, 10, 60, 600, 3600, 14_400, 86_400)
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
SOCKET_SECONDS = Histogram("socket_seconds", "How long a WebSocket was open", ("route",), buckets=_LIVES)
CONNECTIONS_REFUSED = Counter("connections_refused_total", "Connections beyond somebody's limit", ("by",))
BOT_REPLIES = Counter("bot_replies_total", "Answers of the bot profile, all of which are HTTP 200", ("outcome",))
LINKS = Counter("account_links_total", "Links of bots' users to accounts, made, ended and refused", ("outcome",))
DELETED = Counter("deletions_total", "Sessions and accounts that were deleted", ("kind",))
ERASED = Counter("erased_total", "Messages and jobs that were erased with what they belong to", ("what",))
DELIVERIES = Counter("webhook_deliveries_total", "Tries to deliver a webhook", ("outcome",))
DELIVERY_LAG_SECONDS = Histogram(
    "webhook_lag_seconds", "From an event to its arrival at the receiver, tries and all", buckets=_LAGS
)
PAYMENTS = Counter("payments_total", "What became of payments", ("provider", "outcome"))
CODES = Counter("redeem_codes_total", "Tries to redeem a code", ("outcome",))

MOST_CODES = 50
_CODES_SEEN: set[str] = set()


class Metrics:
    def http_request(self, method: str, route: str, status: int, seconds: float, response_bytes: int | None) -> None:
        """`route` is the template, so that labels stay few; None for a stream, of which nobody knows the size yet."""
        REQUESTS.labels(method, route, str(status)).inc()
        REQUEST_SECONDS.labels(route).observe(seconds)
        if response_bytes is not None:
            RESPONSE_BYTES.labels(route).observe(response_bytes)

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

    def socket_closed(self, route: str, seconds: float) -> None:
        """`route` is the template, as for requests."""
        SOCKET_SECONDS.labels(route).observe(seconds)

    def webhook_delivery(self, outcome: str) -> None:
        DELIVERIES.labels(outcome).inc()

    def webhook_lag(self, seconds: float) -> None:
        DELIVERY_LAG_SECONDS.observe(max(0.0, seconds))

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
            CALL_ERRORS.labels(model, self._few(error_code)).inc()

    def _few(self, code: str) -> str:
        """Providers make up their codes: of very many only the first are told apart."""
        if len(_CODES_SEEN) < MOST_CODES:
            _CODES_SEEN.add(code)
        return code if code in _CODES_SEEN else "other"

    def structured_answer(self, output_format: str, outcome: str) -> None:
        STRUCTURED.labels(output_format, outcome).inc()

    def upstream_check(self, outcome: str) -> None:
        CHECKS.labels(outcome).inc()

    def connections(self) -> tuple[int, int]:
        """How many WebSockets and event streams are open, in all web processes of this host."""
        registry = _registry()
        sockets, streams = (registry.get_sample_value(name) or 0 for name in ("sockets_open", "chat_streams_open"))
        return int(sockets), int(streams)

    def memory(self) -> int:
        """Bytes that this process has in memory."""
        return resident_bytes(os.getpid())

    def render(self) -> tuple[bytes, str]:
        """The exposition and its content type."""
        registry = CollectorRegistry()
        registry.register(HostCollector())
        return generate_latest(registry), CONTENT_TYPE_LATEST


class HostCollector(Collector):
    """Everything that the processes of this host have counted, and what they use: for a server of metrics alone."""

    def collect(self) -> Iterator[Metric]:
        yield from _registry().collect()
        yield from ProcessCollector().collect()


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    collect: Callable[[CollectorRegistry], object] = MultiProcessCollector
    collect(registry)
    return registry
