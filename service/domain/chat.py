"""Messages, what a model used, and the window of a dialog that is sent to it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MESSAGE_MAX_CHARACTERS = 10_000
# Every message costs the provider a few tokens of framing beside its text, and so does the reply's opening.
TOKENS_PER_MESSAGE = 4
TOKENS_PER_REPLY = 3
# The finish reason of an answer that ended at the output limit.
FINISHED_BY_LIMIT = "length"

_CYRILLIC = re.compile(r"[\u0400-\u04ff]")

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """`role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer as the provider counts them; `estimated` when it gave no count and we made one.

    `prompt_tokens` includes the cached ones, `completion_tokens` includes the reasoning.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def text_language(text: str) -> str:
    """By whose rules a search reduces these words to their stems: anything but Cyrillic counts as English.

    The same for what is stored and what is looked for, so that both are reduced alike.
    """
    return "russian" if _CYRILLIC.search(text) else "english"


def prompt_tokens(messages: Sequence[ChatMessage], count: CountTokens) -> int:
    """How many tokens the provider will count for this prompt."""
    return TOKENS_PER_REPLY + sum(TOKENS_PER_MESSAGE + count(message.content) for message in messages)


def window(
    history: Sequence[ChatMessage], *, max_messages: int, budget_tokens: int, count: CountTokens
) -> tuple[ChatMessage, ...]:
    """The newest messages of `history` that fit both limits, oldest first."""
    newest = history[-max_messages:] if max_messages > 0 else ()
    kept: list[ChatMessage] = []
    left = budget_tokens
    for message in reversed(newest):
        left -= TOKENS_PER_MESSAGE + count(message.content)
        if left < 0:
            break
        kept.append(message)
    return tuple(reversed(kept))
