"""What a test can make the stand-in do, and how its journal tells of it."""

import json
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from devstack.servers import UpstreamServer


def ask(client: openai.OpenAI, text: str, **options):
    return client.chat.completions.create(model="m-1", messages=[{"role": "user", "content": text}], **options)


def text_until_failure(stream) -> tuple[str, Exception | None]:
    text = ""
    try:
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    except Exception as error:  # noqa: BLE001 - whatever the client makes of it
        return text, error
    return text, None


def test_error_with_headers(client, control, seen):
    error = {"type": "requests", "code": "rate_limit_exceeded", "message": "Slow down"}
    control.rule(contains="busy", times=1, status=429, error=error, headers={"Retry-After": "7"})
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, "very busy")
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["Retry-After"] == "7"
    assert ask(client, "very busy").choices, "the rule was good for one call"
    first, second = control.journal(seen)
    assert (first["status"], first["outcome"], first["rule"]) == (429, "error", 0)
    assert (second["status"], second["outcome"], second["rule"]) == (200, "answered", None)


def test_unsupported_parameter_is_refused_only_when_it_is_sent(client, control):
    control.rule(refuse_params=["temperature"])
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "hi", temperature=0.7)
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "temperature")
    assert ask(client, "hi").choices


def test_rules_decide_in_their_order_and_by_model(client, control):
    control.rules({"model": "other", "answer": "no"}, {"contains": "x", "answer": "first"}, {"answer": "second"})
    assert ask(client, "an x").choices[0].message.content == "first"
    assert ask(client, "else").choices[0].message.content == "second"


def test_usage_can_be_replaced_or_left_out(client, control):
    control.rule(times=1, usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
    control.rule(usage=None)
    assert ask(client, "hi").usage.total_tokens == 0
    assert ask(client, "hi").usage is None
    streamed = list(ask(client, "hi", stream=True, stream_options={"include_usage": True}))
    assert all(chunk.choices and chunk.usage is None for chunk in streamed)


def test_refusal_and_finish_reason(client, control):
    control.rule(contains="bad", refusal="I cannot help with that")
    control.rule(finish_reason="content_filter")
    message = ask(client, "bad").choices[0].message
    assert (message.content, message.refusal) == (None, "I cannot help with that")
    assert ask(client, "good").choices[0].finish_reason == "content_filter"


def test_html_instead_of_json(client, control):
    control.rule(raw_body="<html>Gateway</html>")
    assert ask(client, "hi") == "<html>Gateway</html>"


def test_a_held_call_waits_until_it_is_released(client, control, seen):
    control.rule(contains="slow", hold="gate")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, client, "a slow one")
        (call,) = control.wait_for_calls(1, contains="slow", since=seen)
        assert (call["outcome"], call["finished"]) == ("held", None)
        assert not answer.done()
        assert control.release("gate") == 1
        assert answer.result(10).choices
    (call,) = control.wait_for_calls(1, since=seen, finished=True)
    assert call["outcome"] == "answered"
    assert ask(client, "slow again").choices, "a released gate stays open"


def test_a_new_rule_closes_its_gate_again(client, control, seen):
    control.release("gate")
    control.rule(hold="gate")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, client, "hi")
        assert control.wait_for_calls(1, since=seen)[0]["outcome"] == "held"
        control.clear()
        assert answer.result(10).choices, "clearing lets everybody go"


def test_a_stream_can_be_held_in_its_middle(client, control, seen):
    control.rule(answer="one two three", hold="gate", hold_after_chunks=2)
    stream = ask(client, "hi", stream=True)
    text = ""
    for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        if text == "one two ":
            break
    control.release("gate")
    assert text_until_failure(stream) == ("three", None)


def test_reset_before_the_answer(client, control, seen):
    control.rule(reset=True)
    with pytest.raises(openai.APIConnectionError):
        ask(client, "hi")
    assert control.journal(seen)[0]["outcome"] == "reset"


def test_reset_in_the_stream(client, control, seen):
    control.rule(answer="one two three", reset_after_chunks=2)
    _text, error = text_until_failure(ask(client, "hi", stream=True))
    assert error is not None
    (call,) = control.journal(seen)
    assert (call["outcome"], call["chunks"]) == ("reset", 2)


def test_a_cut_stream_ends_without_finish_reason(client, control, seen):
    control.rule(answer="one two three", cut_after_chunks=2)
    chunks = list(ask(client, "hi", stream=True))
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == "one two "
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
    assert control.journal(seen)[0]["outcome"] == "error"


def test_a_cut_plain_answer_breaks_the_connection(client, control):
    control.rule(cut_after_chunks=2)
    with pytest.raises(openai.APIConnectionError):
        ask(client, "hi")


def test_garbage_in_the_stream(client, control):
    control.rule(answer="one two three", garbage_after_chunks=1)
    text, error = text_until_failure(ask(client, "hi", stream=True))
    assert text == "one "
    assert isinstance(error, json.JSONDecodeError)


def test_a_stalled_stream_until_the_caller_hangs_up(client, control, seen):
    control.rule(answer="one two three", stall_after_chunks=1)
    stream = ask(client, "hi", stream=True)
    chunks = iter(stream)
    next(chunks)
    assert next(chunks).choices[0].delta.content == "one "
    stream.close()
    (call,) = control.wait_for_calls(1, since=seen, finished=True)
    assert (call["outcome"], call["chunks"]) == ("disconnected", 1)


def test_time_out_of_the_caller_is_a_disconnection(client, control, seen):
    control.rule(delay_seconds=30)
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.2), "hi")
    (call,) = control.wait_for_calls(1, since=seen, finished=True)
    assert call["outcome"] == "disconnected"


def test_journal_tells_what_was_asked(client, control, seen):
    ask(client, "remember me", extra_headers={"X-Client-Request-Id": "job-7"}, temperature=0.5)
    (call,) = control.journal(seen, contains="remember")
    assert call["request_id"] == "job-7"
    assert call["authorization"] == "Bearer …1234"
    assert call["body"]["temperature"] == 0.5
    assert call["started"] <= call["finished"]
    assert call["usage"]["prompt_tokens"] == 2
    assert control.journal(call["n"]) == []


def test_journal_survives_a_kill(tmp_path):
    with UpstreamServer(tmp_path) as server:
        server.control.rule(contains="first", hold="for ever")
        client = openai.OpenAI(base_url=server.uri, api_key="k", max_retries=0)
        with ThreadPoolExecutor() as pool:
            broken = pool.submit(ask, client, "first")
            server.control.wait_for_calls(1)
            server.kill()
            assert isinstance(broken.exception(10), openai.APIConnectionError)
        server.start()
        ask(client, "second")
        first, second = server.control.journal()
    assert (first["n"], first["message"], first["outcome"], first["finished"]) == (1, "first", "held", None)
    assert (second["n"], second["message"], second["outcome"]) == (2, "second", "answered")
