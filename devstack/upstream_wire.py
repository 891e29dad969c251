"""What the model stand-in says, in the wire format of OpenAI's chat completions. No I/O.

A "token" here is a piece of text between spaces: easy to count for whoever reads a test.
"""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from devstack.upstream_instances import instance_of

QUOTE_CHARACTERS = 80
DEFAULT_FINISH = "stop"

_PIECES = re.compile(r"\s*\S+\s*|\s+")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_FRENCH = re.compile(r"[àâçéèêëîïôœùûÀÂÇÉÈÊËÎÏÔŒÙÛ]")

_RUSSIAN_ANSWER = "Это локальная заглушка, а не OpenAI: модель не вызывалась. Вы написали: «{quote}»"
_FRENCH_ANSWER = (
    "Ceci est un substitut local et non OpenAI : aucun modèle n'a été appelé. Vous avez écrit : « {quote} »"
)
_ENGLISH_ANSWER = 'This is a local stand-in and not OpenAI: no model was called. You wrote: "{quote}"'


@dataclass(frozen=True)
class Reply:
    """What one call is answered with, before it is put on the wire."""

    id: str
    model: str
    pieces: tuple[str, ...]
    finish_reason: str
    usage: dict[str, Any] | None
    is_refusal: bool

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def compose(
    request: dict[str, Any],
    reply_id: str,
    *,
    answer: str | None = None,
    refusal: str | None = None,
    finish_reason: str | None = None,
) -> Reply:
    """The reply to a request: the given answer or the default one, cut at the request's limit."""
    text = next(given for given in (refusal, answer, default_answer(request)) if given is not None)
    pieces = tuple(_PIECES.findall(text))
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    cut = isinstance(limit, int) and len(pieces) > limit
    if cut:
        pieces = pieces[:limit]
    return Reply(
        id=reply_id,
        model=str(request["model"]),
        pieces=pieces,
        finish_reason=finish_reason or ("length" if cut else DEFAULT_FINISH),
        usage=usage(prompt_tokens(request), len(pieces)),
        is_refusal=refusal is not None,
    )


def default_answer(request: dict[str, Any]) -> str:
    """Says that this is a stand-in; a JSON document about the question where the request asks for JSON."""
    message = last_user_message(request)
    response_format = request.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        schema = response_format.get("json_schema", {}).get("schema", {})
        return json.dumps(instance_of(schema, schema, _start_of(message) or "stand-in"), ensure_ascii=False)
    plain = _in_language_of(message).format(quote=_start_of(message))
    if response_format.get("type") == "json_object":
        return json.dumps({"answer": plain}, ensure_ascii=False)
    return plain


def last_user_message(request: dict[str, Any]) -> str:
    messages = [m for m in request.get("messages", ()) if isinstance(m, dict) and m.get("role") == "user"]
    return _text_of(messages[-1]) if messages else ""


def prompt_tokens(request: dict[str, Any]) -> int:
    return sum(len(_text_of(message).split()) for message in request["messages"])


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion(reply: Reply) -> dict[str, Any]:
    """The body of a call that is not streamed."""
    said = {"content": None, "refusal": reply.text} if reply.is_refusal else {"content": reply.text}
    message: dict[str, Any] = {"role": "assistant", "refusal": None, "annotations": [], **said}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    body = {**_envelope(reply, "chat.completion"), "choices": [choice]}
    return body if reply.usage is None else {**body, "usage": reply.usage}


def first_chunk(reply: Reply) -> dict[str, Any]:
    return _chunk(reply, {"role": "assistant", "content": "", "refusal": None})


def piece_chunk(reply: Reply, piece: str) -> dict[str, Any]:
    return _chunk(reply, {"refusal" if reply.is_refusal else "content": piece})


def last_chunk(reply: Reply) -> dict[str, Any]:
    return _chunk(reply, {}, finish_reason=reply.finish_reason)


def usage_chunk(reply: Reply) -> dict[str, Any]:
    """The chunk that `stream_options.include_usage` adds at the end."""
    return {**_envelope(reply, "chat.completion.chunk"), "choices": [], "usage": reply.usage}


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def model(name: str, shutdown_date: str | None) -> dict[str, Any]:
    """One of the list of models. A rule of a test may leave the date out, as other providers do."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "stand-in", "shutdown_date": shutdown_date}


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def unsupported_value(param: str, model: str) -> dict[str, Any]:
    message = f"Unsupported value: '{param}' is not supported with the model '{model}'."
    return error_body(message, "invalid_request_error", "unsupported_value", param)


def _chunk(reply: Reply, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**_envelope(reply, "chat.completion.chunk"), "choices": [choice]}


def _envelope(reply: Reply, kind: str) -> dict[str, Any]:
    return {
        "id": reply.id,
        "object": kind,
        "created": int(time.time()),
        "model": reply.model,
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
    }


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _in_language_of(message: str) -> str:
    if _CYRILLIC.search(message):
        return _RUSSIAN_ANSWER
    return _FRENCH_ANSWER if _FRENCH.search(message) else _ENGLISH_ANSWER


def _start_of(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= QUOTE_CHARACTERS else line[:QUOTE_CHARACTERS].rstrip() + "…"
