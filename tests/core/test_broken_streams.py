"""A provider's stream that breaks off, is none, or says too little: what is shown, kept and charged then."""

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.tokenizer import count_tokens
from service.bootstrap import Container
from service.domain.chat import Usage
from service.domain.jobs import JobStatus
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.streaming import ANSWER, ask, seen
from tests.core.support import NewActor, wallet

BROKEN = {
    "a cut": ({"cut_after_chunks": 2}, "UPSTREAM_ERROR"),
    "a reset": ({"reset_after_chunks": 2}, "UPSTREAM_ERROR"),
    "a stall": ({"stall_after_chunks": 2}, "UPSTREAM_TIMEOUT"),
    "garbage": ({"garbage_after_chunks": 2}, "UPSTREAM_ERROR"),
    "a content filter": ({"finish_reason": "content_filter"}, "UPSTREAM_ERROR"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off_is_free_and_never_asked_for_again(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, name: str
) -> None:
    rule, code = BROKEN[name]
    upstream.rule(contains=question, answer="one two three", **rule)
    container, actor = build(openai_read_timeout_seconds=0.3), new_actor(5_000)
    job = ask(container, actor, question)
    assert (job.status, job.error_code, job.charged, job.usage) == (JobStatus.FAILED, code, 0, None)
    assert job.answer == ("one two three" if name == "a content filter" else "one two ")
    assert len(upstream.journal(contains=question)) == 1
    assert wallet(container, actor) == (5_000, 0)
    assert seen(container.follow(job)) == job.answer
    check_money(db)


@pytest.mark.parametrize("name", ["a cut", "a reset", "a stall"])
def test_a_trouble_before_the_first_piece_is_tried_again(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, name: str
) -> None:
    rule = dict.fromkeys(BROKEN[name][0], 0)
    upstream.rule(contains=question, times=2, **rule)
    upstream.rule(contains=question, answer=ANSWER)
    job = ask(build(openai_read_timeout_seconds=0.3), new_actor(), question)
    assert (job.status, job.answer, job.attempt) == (JobStatus.SUCCEEDED, ANSWER, 1)
    assert len(upstream.journal(contains=question)) == 3
    check_money(db)


@pytest.mark.parametrize("status", [429, 500])
def test_a_refusal_that_passes_is_tried_again(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, status: int
) -> None:
    upstream.rule(contains=question, times=2, status=status, headers={"Retry-After": "0"})
    upstream.rule(contains=question, answer=ANSWER)
    assert ask(container, new_actor(), question).answer == ANSWER


NO_STREAM = {
    "html": "<html>",
    "nothing": "",
    "a list": "data: []\n\n",
    "a number": "data: 5\n\n",
    "text as choices": 'data: {"choices": "pong"}\n\n',
    "text as delta": 'data: {"choices": [{"delta": "pong"}]}\n\n',
    "a list as content": 'data: {"choices": [{"delta": {"content": ["pong"]}}]}\n\n',
    "an error": 'data: {"error": {"message": "oops"}}\n\n',
    "a refusal": 'data: {"choices": [{"delta": {"refusal": "I cannot"}}]}\n\n',
    "no text": 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
    "deep": "data: " + "[" * 100_000 + "\n\n",
    "an endless line": "data: " + "x" * 1_200_000,
}


def test_what_is_no_stream_is_a_failure_and_free(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    subtests: pytest.Subtests,
) -> None:
    actor = new_actor(5_000)
    for name, body in NO_STREAM.items():
        upstream.clear()
        upstream.rule(contains=question, raw_body=body, content_type="text/event-stream")
        with subtests.test(name):
            job = ask(container, actor, question)
            assert (job.status, job.error_code, job.answer) == (JobStatus.FAILED, "UPSTREAM_ERROR", None)
    assert len(upstream.journal(contains=question)) == len(NO_STREAM)
    assert wallet(container, actor) == (5_000, 0)
    check_money(db)


def chunks(*pieces: str, usage: str = "") -> str:
    lines = [f'data: {{"choices": [{{"delta": {{"content": "{piece}"}}}}]}}' for piece in pieces]
    lines += ['data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}', usage, ": a comment"]
    return "\r\n\r\n".join(lines)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["\\ud83c", "\\udf0a!"], "🌊!"),
        (["a\\ud83c", "b"], "a\ufffdb"),
        (["\\udf0a"], "\ufffd"),
        (["a\u2028", "b\x85c"], "a\u2028b\x85c"),
    ],
)
def test_pieces_of_characters_become_whole(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    pieces: list[str],
    text: str,
) -> None:
    upstream.rule(contains=question, raw_body=chunks(*pieces), content_type="text/event-stream")
    job = ask(container, new_actor(), question)
    assert (job.status, job.answer) == (JobStatus.SUCCEEDED, text)
    assert seen(container.follow(job)) == text


@pytest.mark.parametrize("rule", [{"usage": None}, {"usage": {"prompt_tokens": -1, "completion_tokens": 1}}])
def test_an_answer_without_a_usage_is_counted_here(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, rule: dict
) -> None:
    upstream.rule(answer=ANSWER, **rule)
    job = ask(container, new_actor(), "ping")
    expected = Usage(prompt_tokens=job.prompt_tokens, completion_tokens=count_tokens(ANSWER), estimated=True)
    assert (job.usage, job.charged) == (expected, expected.total_tokens)
    check_money(db)


def test_a_provider_that_knows_no_stream_options_is_asked_without(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, refuse_params=["stream_options"])
    upstream.rule(contains=question, answer=ANSWER)
    job = ask(build(), new_actor(), question)
    assert (job.answer, job.usage.estimated) == (ANSWER, True)
    assert ["stream_options" in call["body"] for call in upstream.journal(contains=question)] == [True, False]
