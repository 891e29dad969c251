"""A job as OpenAI's API tells of it: a completion, or the chunks of one. No request, no I/O."""

from typing import Any

from service.domain.chat import Usage
from service.domain.jobs import Job


def completion(job: Job) -> dict[str, Any]:
    """An answered job."""
    message = {"role": "assistant", "content": job.answer, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": job.finish_reason}
    return {**_head(job, "chat.completion"), "choices": [choice], "usage": usage(job.usage or Usage())}


def chunk(job: Job, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**_head(job, "chat.completion.chunk"), "choices": [choice]}


def usage_chunk(job: Job) -> dict[str, Any]:
    """What `stream_options.include_usage` adds at the end."""
    return {**_head(job, "chat.completion.chunk"), "choices": [], "usage": usage(job.usage or Usage())}


def usage(used: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.total_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }


def _head(job: Job, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{job.id}",
        "object": kind,
        "created": int(job.created_at.timestamp()),
        "model": job.model,
        "system_fingerprint": None,
    }
