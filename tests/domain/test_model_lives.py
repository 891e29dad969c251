"""How long models live, and what operators are warned of."""

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from service.domain.billing import PriceWeights
from service.domain.catalog import ChatModel
from service.domain.model_lives import Lives, ModelWarning, ProviderModel, ProviderNews, comes_back, newly_lost

TODAY = date(2026, 11, 21)
PAST, SOON, LATER, FAR = "2026-10-23", "2027-01-14", "2027-01-20", "2027-01-21"


def model(alias: str, shutdown_on: str | None = None, successor: str | None = None) -> ChatModel:
    return ChatModel(
        alias=alias,
        upstream_id=f"{alias}-id",
        weights=PriceWeights(),
        context_tokens=1000,
        output_tokens=100,
        accepts_temperature=True,
        output_parameter="max_completion_tokens",
        reasoning_effort=None,
        shutdown_on=shutdown_on,
        successor=successor,
    )


def lives(*models: ChatModel, ends: dict[str, str] | None = None, missing: tuple[str, ...] = ()) -> Lives:
    told = {f"{each.alias}-id": (ends or {}).get(each.alias) for each in models}
    news = {name: ProviderModel(name, name.removesuffix("-id") not in missing, end) for name, end in told.items()}
    return Lives({each.alias: each for each in models}, ProviderNews(datetime(2026, 11, 21, tzinfo=UTC), news), TODAY)


@pytest.mark.parametrize(
    ("found", "warning"),
    [
        (lives(model("a")), None),
        (lives(model("a", FAR)), None),
        (lives(model("a", LATER)), ModelWarning.NO_SUCCESSOR),
        (lives(model("a", SOON, "b"), model("b")), ModelWarning.ENDING_SOON),
        (lives(model("a", SOON, "b")), ModelWarning.NO_SUCCESSOR),
        (lives(model("a", SOON, "b"), model("b", SOON)), ModelWarning.NO_SUCCESSOR),
        (lives(model("a", SOON, "b"), model("b", LATER)), ModelWarning.ENDING_SOON),
        (lives(model("a", PAST, "b"), model("b")), ModelWarning.REPLACED),
        (lives(model("a", PAST, "b"), model("b", SOON, "c"), model("c")), ModelWarning.REPLACED),
        (lives(model("a", PAST, "b"), model("b", SOON)), ModelWarning.NO_SUCCESSOR),
        (lives(model("a", PAST)), ModelWarning.ENDED),
        (lives(model("a", PAST, "b")), ModelWarning.ENDED),
        (lives(model("a", PAST, "b"), model("b", PAST)), ModelWarning.ENDED),
        (lives(model("a", PAST, "b"), model("b", PAST, "a")), ModelWarning.ENDED),
        (lives(model("a", TODAY.isoformat())), ModelWarning.ENDED),
        # What the provider says counts too, and our table doesn't know of it.
        (lives(model("a"), ends={"a": SOON}), ModelWarning.NO_SUCCESSOR),
        (lives(model("a", None, "b"), model("b"), ends={"a": SOON}), ModelWarning.NO_SUCCESSOR),
        (lives(model("a", FAR, "b"), model("b"), ends={"a": SOON}), ModelWarning.NO_SUCCESSOR),
        (lives(model("a", SOON, "b"), model("b"), ends={"a": LATER}), ModelWarning.ENDING_SOON),
        (lives(model("a"), ends={"a": PAST}), ModelWarning.ENDED),
        (lives(model("a"), missing=("a",)), ModelWarning.MISSING),
        (lives(model("a", PAST, "b"), model("b"), missing=("a",)), ModelWarning.REPLACED),
        (lives(model("a", PAST, "b"), model("b"), missing=("b",)), ModelWarning.MISSING),
    ],
)
def test_operators_are_warned_of_the_worst(found: Lives, warning: ModelWarning | None) -> None:
    assert found.warning("a") == warning


def test_without_a_word_of_the_provider_the_table_counts() -> None:
    found = Lives({"a": model("a", SOON)}, None, TODAY)
    assert (found.warning("a"), found.days_left("a")) == (ModelWarning.NO_SUCCESSOR, 54)


def test_the_days_that_are_left_are_those_to_the_earlier_end() -> None:
    assert lives(model("a")).days_left("a") is None
    assert lives(model("a", PAST, "b"), model("b")).days_left("a") == -29
    assert lives(model("a", LATER), ends={"a": SOON}).days_left("a") == 54


@pytest.mark.parametrize(
    ("chain", "back"),
    [
        ({"a": None}, False),
        ({"a": "a"}, True),
        ({"a": "b", "b": "a"}, True),
        ({"a": "b", "b": "c", "c": "b"}, True),
        ({"a": "b", "b": "gone"}, False),
        ({"a": "b", "b": "c", "c": "d", "d": "e", "e": "f", "f": None}, False),
        ({"a": "b", "b": "c", "c": "d", "d": "e", "e": "f", "f": "g", "g": None}, True),
    ],
)
def test_successors_come_back_or_not(chain: dict[str, str | None], back: bool) -> None:
    assert comes_back({name: model(name, None, following) for name, following in chain.items()}, "a") is back


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ("abcdef", "abcdef", []),
        ("abcdef", "abcdefg", ["a"]),
        ("abcdef", "abcdefgh", ["a", "b"]),
        ("abcde", "abcdef", []),
        # What was too far already is no news, nor what is nearer now.
        ("abcdefg", "abcdefgh", ["b"]),
        ("abcdefg", "abcdef", []),
    ],
)
def test_a_longer_line_loses_those_in_front(before: str, after: str, lost: list[str]) -> None:
    def line(names: str) -> dict[str, ChatModel]:
        following = dict(pairwise(names))
        return {name: model(name, None, following.get(name)) for name in "abcdefgh"}

    assert newly_lost(line(before), line(after)) == lost
