"""The window of a dialog that is sent to a model, and what is counted for a prompt."""

from hypothesis import given
from hypothesis import strategies as st

from service.domain.chat import TOKENS_PER_MESSAGE, TOKENS_PER_REPLY, ChatMessage, prompt_tokens, window

ROLES = st.sampled_from(("user", "assistant"))
TEXT = st.text(alphabet="ab ", max_size=30)
HISTORY = st.lists(st.builds(ChatMessage, role=ROLES, content=TEXT), max_size=12)


def count(text: str) -> int:
    return len(text.split())


def cost(messages: tuple[ChatMessage, ...]) -> int:
    return sum(TOKENS_PER_MESSAGE + count(message.content) for message in messages)


@given(history=HISTORY, max_messages=st.integers(-1, 14), budget=st.integers(-10, 150))
def test_a_window_is_the_longest_end_of_the_dialog_that_fits(
    history: list[ChatMessage], max_messages: int, budget: int
) -> None:
    kept = window(history, max_messages=max_messages, budget_tokens=budget, count=count)

    assert kept == tuple(history[len(history) - len(kept) :])
    assert len(kept) <= max(0, max_messages)
    assert cost(kept) <= max(0, budget)
    if len(kept) < min(len(history), max_messages):
        one_more = tuple(history[len(history) - len(kept) - 1 :])
        assert cost(one_more) > budget


def test_a_message_that_is_too_long_ends_the_window() -> None:
    """An answer to a question that was left out would only mislead the model."""
    history = [ChatMessage("user", "a"), ChatMessage("assistant", "b " * 100), ChatMessage("user", "c")]
    assert window(history, max_messages=20, budget_tokens=50, count=count) == (ChatMessage("user", "c"),)


def test_messages_are_not_counted_beyond_the_limit_of_messages() -> None:
    """A client may send a history of any length; counting costs time."""
    counted: list[str] = []

    def note(text: str) -> int:
        counted.append(text)
        return 1

    history = [ChatMessage("user", str(number)) for number in range(1000)]
    window(history, max_messages=3, budget_tokens=10_000, count=note)
    assert counted == ["999", "998", "997"]


@given(history=HISTORY)
def test_a_prompt_costs_its_texts_and_their_framing(history: list[ChatMessage]) -> None:
    assert prompt_tokens(history, count) == TOKENS_PER_REPLY + cost(tuple(history))
    assert prompt_tokens((), count) == TOKENS_PER_REPLY
