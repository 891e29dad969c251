"""Asks the model for an answer that a program reads, and takes no other.

An answer that is not what the format says is asked for exactly once more, with the same prompt: a longer one could cost
more than is held. A refusal and a truncated answer are final, because the same question would end the same way. The
provider's bill for an answer that nobody could use is the operator's.
"""

from dataclasses import replace

import structlog

from service.domain import structured
from service.domain.chat import FINISHED_BY_LIMIT
from service.domain.errors import UpstreamFailed, UpstreamReason
from service.usecases import ports

log = structlog.get_logger(__name__)


def ask(
    upstream: ports.Upstream, request: ports.ChatRequest, output_format: str, telemetry: ports.Telemetry
) -> ports.ChatAnswer:
    """A valid answer, its text as `structured.dump` writes it, with the usage of this answer alone.

    Raises UpstreamFailed, with a `reason` if the model answered nonetheless, and UpstreamTimeout.
    """
    shaped = replace(request, options={**request.options, **structured.options(output_format)})
    try:
        return _once(upstream, shaped, output_format, telemetry)
    except UpstreamFailed as failure:
        if failure.reason is not UpstreamReason.INVALID_ANSWER:
            raise
        log.warning("answer invalid, asking once more", output_format=output_format, reason=str(failure))
    return _once(upstream, shaped, output_format, telemetry)


def _once(
    upstream: ports.Upstream, request: ports.ChatRequest, output_format: str, telemetry: ports.Telemetry
) -> ports.ChatAnswer:
    try:
        answer = _checked(upstream.answer(request), output_format)
    except UpstreamFailed as failure:
        telemetry.structured_answer(output_format, failure.reason or "failed")
        raise
    telemetry.structured_answer(output_format, "valid")
    return answer


def _checked(answer: ports.ChatAnswer, output_format: str) -> ports.ChatAnswer:
    if answer.finish_reason == FINISHED_BY_LIMIT:
        raise UpstreamFailed("truncated answer", reason=UpstreamReason.TRUNCATED)
    try:
        parsed = structured.parse(output_format, answer.text)
    except structured.InvalidAnswer as error:
        raise UpstreamFailed(f"not a {output_format}: {error}", reason=UpstreamReason.INVALID_ANSWER) from error
    return replace(answer, text=structured.dump(parsed))
