"""Chat Completions as sent and received: parameters out, an answer or a clear failure in.

Replies are read as plain JSON, not through the SDK's models: a reply that isn't one must be a failure, and the models
accept anything.
"""

import json
from typing import Any

from service.domain.chat import Usage
from service.domain.errors import UpstreamFailed
from service.usecases.ports import ChatAnswer, ChatRequest

# Parameters that an answer can do without; the output limit is not one, because the hold depends on it.
OPTIONAL = frozenset({"temperature", "reasoning_effort", "safety_identifier"})
# Finish reasons with which a text is a complete answer, or as long as was paid for.
_COMPLETE = ("stop", "length")
# More than any model can read or write: such a count is none.
_MAX_COUNT = 10**9


def parameters(request: ChatRequest, refused: frozenset[str]) -> dict[str, Any]:
    """The call's parameters, without those that this model refused before."""
    model = request.model
    optional: dict[str, Any] = {"safety_identifier": request.safety_id}
    if request.temperature is not None and model.accepts_temperature:
        optional["temperature"] = request.temperature
    if model.reasoning_effort is not None:
        optional["reasoning_effort"] = model.reasoning_effort
    return {
        "model": request.upstream_model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        model.output_parameter: request.output_tokens,
        **{name: value for name, value in optional.items() if name not in refused},
    }


def answer(body: bytes) -> ChatAnswer:
    """Read a reply. Raises UpstreamFailed for anything but a finished, non-empty answer."""
    try:
        reply = json.loads(body)
        choice = reply["choices"][0]
        text, finish_reason = choice["message"].get("content"), choice.get("finish_reason")
        refusal = choice["message"].get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UpstreamFailed(f"not a chat completion: {type(error).__name__}") from error
    if refusal:
        raise UpstreamFailed("the model refused")
    if finish_reason not in _COMPLETE:
        raise UpstreamFailed(f"finish reason {finish_reason!r}")
    if not isinstance(text, str) or not text:
        raise UpstreamFailed(f"empty answer, finish reason {finish_reason}")
    # JSON can name halves of characters, which no database stores.
    whole = text.encode(errors="replace").decode()
    return ChatAnswer(text=whole, finish_reason=finish_reason, usage=usage(reply.get("usage")))


def usage(counted: Any) -> Usage | None:
    """The provider's count, an explicit zero included; None if it is missing or makes no sense."""
    if not isinstance(counted, dict):
        return None
    prompt_details = counted.get("prompt_tokens_details") or {}
    completion_details = counted.get("completion_tokens_details") or {}
    try:
        prompt, completion = counted["prompt_tokens"], counted["completion_tokens"]
        cached = prompt_details.get("cached_tokens") or 0
        reasoning = completion_details.get("reasoning_tokens") or 0
    except (KeyError, AttributeError):
        return None
    counts = (prompt, cached, completion, reasoning)
    if not all(type(count) is int and 0 <= count <= _MAX_COUNT for count in counts) or cached > prompt:
        return None
    return Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, reasoning_tokens=reasoning)
