"""What a program may ask of the model beside the messages: by OpenAI's names, and passed on as they are.

The types of single values are the API's to check; here is what holds for all of them together.
"""

import json
from collections.abc import Mapping
from typing import Any

from service.domain.chat import CountTokens
from service.domain.errors import ValidationFailed

NAMES = frozenset(
    {"frequency_penalty", "presence_penalty", "reasoning_effort", "response_format", "seed", "stop", "top_p"}
)
# They are stored with each job and sent with each call.
MAX_BYTES = 32 * 1024


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given. Raises ValidationFailed for what is unknown or too large."""
    given = {name: value for name, value in options.items() if value is not None}
    unknown = sorted(given.keys() - NAMES)
    if unknown:
        raise ValidationFailed(details={unknown[0]: ["unsupported_parameter"]})
    for name, value in given.items():
        if len(_text(value)) > MAX_BYTES:
            raise ValidationFailed(details={name: [f"max_length:{MAX_BYTES}"]})
    return given


def prompt_tokens(options: Mapping[str, Any], count: CountTokens) -> int:
    """What the provider will count for these: a schema is part of the prompt."""
    return count(_text(options["response_format"])) if "response_format" in options else 0


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
