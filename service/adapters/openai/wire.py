"""Chat Completions as sent and received: parameters out, an answer or a clear failure in.

Replies are read as plain JSON, not through the SDK's models: a reply that isn't one must be a failure, and the models
accept anything.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from service.domain.chat import FINISHED_BY_LIMIT, Usage
from service.domain.errors import UpstreamFailed, UpstreamReason
from service.usecases.ports import ChatAnswer, ChatRequest

# Parameters that an answer can do without; the output limit is not one, because the hold depends on it.
# Nor are `stop` and the response format, without which it would be another answer.
OPTIONAL = frozenset(
    {"temperature", "top_p", "frequency_penalty", "presence_penalty", "seed"}
    | {"reasoning_effort", "safety_identifier", "stream_options"}
)
# Finish reasons with which a text is a complete answer, or as long as was paid for.
_COMPLETE = ("stop", FINISHED_BY_LIMIT)
# Whatever was written until then: the provider took it back.
_FILTERED = "content_filter"
# More than any model can read or write: such a count is none.
_MAX_COUNT = 10**9
_MAX_LINE_BYTES = 2**20


def parameters(request: ChatRequest, refused: frozenset[str], *, streamed: bool = False) -> dict[str, Any]:
    """The call's parameters, without those that this model refused before."""
    model = request.model
    optional: dict[str, Any] = {"safety_identifier": request.safety_id}
    if request.temperature is not None and model.accepts_temperature:
        optional["temperature"] = request.temperature
    if model.reasoning_effort is not None:
        optional["reasoning_effort"] = model.reasoning_effort
    optional.update(request.options)
    if streamed:
        optional["stream_options"] = {"include_usage": True}
    return {
        **({"stream": True} if streamed else {}),
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
        raise UpstreamFailed("the model refused", reason=UpstreamReason.REFUSED)
    if finish_reason not in _COMPLETE:
        raise _incomplete(finish_reason)
    if not isinstance(text, str) or not text:
        raise _empty(finish_reason)
    # JSON can name halves of characters, which no database stores.
    whole = text.encode(errors="replace").decode()
    return ChatAnswer(text=whole, finish_reason=finish_reason, usage=usage(reply.get("usage")))


def _incomplete(finish_reason: Any) -> UpstreamFailed:
    refused = finish_reason == _FILTERED
    return UpstreamFailed(f"finish reason {finish_reason!r}", reason=UpstreamReason.REFUSED if refused else None)


def _empty(finish_reason: Any) -> UpstreamFailed:
    """A model that thinks may use up its limit before it says anything."""
    cut = finish_reason == FINISHED_BY_LIMIT
    reason = UpstreamReason.TRUNCATED if cut else UpstreamReason.INVALID_ANSWER
    return UpstreamFailed(f"empty answer, finish reason {finish_reason}", reason=reason)


class Assembly:
    """A streamed answer put together from its chunks; raises UpstreamFailed for what none can have.

    The usage comes in a chunk of its own after the finish reason, if at all.
    """

    def __init__(self) -> None:
        self.text = ""
        self.finish_reason: str | None = None
        self._usage: Usage | None = None
        self._half = ""

    def add(self, data: bytes) -> str:
        """The text that this chunk adds, perhaps none."""
        try:
            chunk = json.loads(data)
            choices, counted, error = chunk.get("choices") or (), chunk.get("usage"), chunk.get("error")
            choice = choices[0] if choices else {}
            delta = choice.get("delta") or {}
            piece, refusal = delta.get("content"), delta.get("refusal")
            finish_reason = choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as broken:
            raise UpstreamFailed(f"not a chunk: {type(broken).__name__}") from broken
        if error:
            raise UpstreamFailed("an error in the stream")
        if refusal:
            raise UpstreamFailed("the model refused", reason=UpstreamReason.REFUSED)
        if piece is not None and not isinstance(piece, str):
            raise UpstreamFailed("a piece of another kind")
        self._usage = usage(counted) or self._usage
        self._finish(finish_reason)
        return self._whole(piece or "")

    def answer(self) -> ChatAnswer:
        """The complete answer. Raises UpstreamFailed if it is empty."""
        if not self.text or self.finish_reason is None:
            raise _empty(self.finish_reason)
        return ChatAnswer(text=self.text, finish_reason=self.finish_reason, usage=self._usage)

    def _finish(self, finish_reason: Any) -> None:
        if finish_reason is None:
            return
        if finish_reason not in _COMPLETE:
            raise _incomplete(finish_reason)
        self.finish_reason = finish_reason

    def _whole(self, piece: str) -> str:
        """The piece without half a character at its end, which waits for its other half."""
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1:] <= "\udbff" and self.finish_reason is None:
            piece, self._half = piece[:-1], piece[-1]
        piece = piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self.text += piece
        return piece


def data_lines(body: Iterable[bytes]) -> Iterator[bytes]:
    """What the `data:` lines of an event stream hold, however it is cut into pieces. Raises UpstreamFailed."""
    rest = b""
    for piece in body:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _MAX_LINE_BYTES:
            raise UpstreamFailed("an endless line")
        for line in lines:
            if line.startswith(b"data:"):
                yield line.removeprefix(b"data:").strip()


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
