"""The one adapter to the model provider: OpenAI's Chat Completions, or anything that speaks it.

Retries, key changes and dropped parameters are decided here and nowhere else; the SDK's own retries are off.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NoReturn

import structlog
from openai import APIError, DefaultHttpxClient, OpenAI, Timeout
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from service.adapters.openai import wire
from service.adapters.openai.calls import Call, PlainCall, StreamedCall
from service.adapters.openai.check import check, models
from service.adapters.openai.errors import Judgement, Verdict, judge
from service.domain.errors import ServiceError, UpstreamFailed
from service.usecases.ports import Breaker, ChatAnswer, ChatRequest, Telemetry, UpstreamCheck

log = structlog.get_logger(__name__)

MAX_TRIES = 3
CONNECT_TIMEOUT_SECONDS = 5.0
_BACKOFF = wait_random_exponential(multiplier=0.5, max=8)


class _TryAgain(Exception):
    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.code)
        self.judgement = judgement


class _KeyRefused(Exception):
    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.code)
        self.judgement = judgement


class _Patience:
    """How long to wait before the next try, and whether there is time for one."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def seconds(self, state: RetryCallState) -> float:
        """The provider's own wish, else exponential backoff with jitter."""
        failure = state.outcome.exception() if state.outcome else None
        wish = failure.judgement.retry_after_seconds if isinstance(failure, _TryAgain) else None
        return float(_BACKOFF(state)) if wish is None else wish

    def is_over(self, state: RetryCallState) -> bool:
        out_of_time = time.monotonic() + state.upcoming_sleep >= self._deadline
        return state.attempt_number >= MAX_TRIES or out_of_time


class OpenAIUpstream:
    """`deadline_seconds` bounds the waits between tries; the caller bounds the whole."""

    def __init__(
        self,
        *,
        base_url: str,
        api_keys: Sequence[str],
        read_timeout_seconds: float,
        deadline_seconds: float,
        breaker: Breaker,
        telemetry: Telemetry,
    ) -> None:
        timeout = Timeout(read_timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS)
        http = DefaultHttpxClient(timeout=timeout)
        self._http, self._base_url, self._keys = http, base_url, tuple(api_keys)
        self._clients = [
            OpenAI(api_key=key, base_url=base_url, max_retries=0, timeout=timeout, http_client=http) for key in api_keys
        ]
        self._deadline_seconds = deadline_seconds
        self._breaker = breaker
        self._telemetry = telemetry
        self._refused: defaultdict[str, frozenset[str]] = defaultdict(frozenset)

    def answer(self, request: ChatRequest) -> ChatAnswer:
        """See `ports.Upstream.answer`."""
        return self._retrying(request, PlainCall())

    def stream(self, request: ChatRequest, show: Callable[[str], None]) -> ChatAnswer:
        """See `ports.Upstream.stream`."""
        return self._retrying(request, StreamedCall(show))

    def check(self, upstream_model: str) -> UpstreamCheck:
        """See `ports.Upstream.check`."""
        return check(self._http, self._base_url, self._keys, upstream_model)

    def offered(self) -> dict[str, str | None]:
        """See `ports.Upstream.offered`."""
        return models(self._http, self._base_url, self._keys)

    def _retrying(self, request: ChatRequest, call: Call) -> ChatAnswer:
        patience = _Patience(time.monotonic() + self._deadline_seconds)
        retrying = Retrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=patience.is_over,
            wait=patience.seconds,
            reraise=True,
        )
        try:
            return retrying(self._with_any_key, request, call)
        except _TryAgain as last:
            raise last.judgement.error from None

    def _with_any_key(self, request: ChatRequest, call: Call) -> ChatAnswer:
        refusal: ServiceError = UpstreamFailed("no key")
        for client in self._clients:
            try:
                return self._call(client, request, call)
            except _KeyRefused as refused:
                refusal = refused.judgement.error
        self._breaker.open(str(refusal))
        log.error("the provider refuses this installation", reason=str(refusal))
        raise refusal

    def _call(self, client: OpenAI, request: ChatRequest, call: Call) -> ChatAnswer:
        """One call, repeated at once without an optional parameter that the model refuses."""
        while True:
            refused = self._refused[request.upstream_model]
            sent = wire.parameters(request, refused, streamed=call.streamed)
            started = time.monotonic()
            try:
                answer = call(client, {**sent, "extra_headers": {"X-Client-Request-Id": request.request_id}})
            except APIError as error:
                judgement = judge(error)
                self._telemetry.upstream_call(request.model.alias, time.monotonic() - started, judgement.code)
                log.warning("upstream call failed", code=judgement.code, reason=str(judgement.error))
                if call.has_shown:
                    raise judgement.error from None
                if judgement.parameter is None or judgement.parameter not in sent:
                    self._raise(judgement)
                self._refused[request.upstream_model] = refused | {judgement.parameter}
            except UpstreamFailed as error:
                self._telemetry.upstream_call(request.model.alias, time.monotonic() - started, "bad_answer")
                log.warning("upstream answer unusable", reason=str(error))
                raise
            else:
                seconds = time.monotonic() - started
                self._telemetry.upstream_call(request.model.alias, seconds, None)
                log.info("upstream call", seconds=round(seconds, 3), model=request.upstream_model)
                return answer

    @staticmethod
    def _raise(judgement: Judgement) -> NoReturn:
        if judgement.verdict is Verdict.RETRY:
            raise _TryAgain(judgement)
        if judgement.verdict is Verdict.KEY_REFUSED:
            raise _KeyRefused(judgement)
        raise judgement.error
