"""A job's own rules: its states and the dialog that it leaves behind."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.domain.billing import PriceWeights
from service.domain.chat import ChatMessage
from service.domain.jobs import FINAL_STATUSES, FREE, OPEN_STATUSES, Job, JobStatus, cancelled, failed

SYSTEM = ChatMessage("system", "You are a test.")
ANSWER = ChatMessage("assistant", "pong")


def job(*dialog: ChatMessage) -> Job:
    return Job(
        id="j",
        account_id="a",
        session_id="s",
        assistant="chat",
        meter="tokens",
        channel="api",
        request_id="r",
        model="m",
        upstream_model="m",
        weights=PriceWeights(),
        temperature=None,
        prompt=(SYSTEM, *dialog),
        prompt_tokens=10,
        output_tokens=100,
        hold=110,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def dialog(length: int) -> tuple[ChatMessage, ...]:
    return tuple(ChatMessage("user" if place % 2 == 0 else "assistant", str(place)) for place in range(length))


def test_every_status_is_open_or_final() -> None:
    assert set(JobStatus) == FINAL_STATUSES | OPEN_STATUSES
    assert not FINAL_STATUSES & OPEN_STATUSES
    assert all(status.is_final for status in FINAL_STATUSES)
    assert not any(status.is_final for status in OPEN_STATUSES)


def test_the_message_is_the_question_and_the_context_has_no_system_message() -> None:
    asked = job(*dialog(3))
    assert asked.message == ChatMessage("user", "2")
    assert asked.context(20) == dialog(3)


def test_only_an_answer_or_what_was_shown_before_a_cancel_joins_the_context() -> None:
    asked = job(*dialog(1))
    answered = {JobStatus.SUCCEEDED, JobStatus.CANCELLED}
    for status in JobStatus:
        ended = replace(asked, answer="pong", status=status)
        assert ended.is_answered is (status in answered)
        assert ended.context(20) == ((*dialog(1), ANSWER) if status in answered else dialog(1))
    unseen = replace(asked, status=JobStatus.CANCELLED)
    assert (unseen.is_answered, unseen.context(20)) == (False, dialog(1))


@pytest.mark.parametrize(("limit", "first"), [(20, 2), (2, 20), (1, 21)])
def test_the_context_keeps_the_newest_messages(limit: int, first: int) -> None:
    answered = replace(job(*dialog(21)), answer="pong", status=JobStatus.SUCCEEDED)
    assert answered.context(limit) == (*dialog(21), ANSWER)[first:]
    assert len(answered.context(limit)) == limit


def test_ends_without_an_answer_are_free() -> None:
    assert (failed("X").charge, failed("X").status, failed("X").error_code) == (FREE, JobStatus.FAILED, "X")
    assert (cancelled().charge, cancelled().status, cancelled().error_code) == (FREE, JobStatus.CANCELLED, None)
    assert (failed("X", "po").answer, failed("X", "po").charge) == ("po", FREE)
    assert (cancelled("po").answer, cancelled("po").charge) == ("po", FREE)
