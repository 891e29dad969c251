"""The stand-in speaks OpenAI's wire format, as OpenAI's own client understands it."""

import json

import jsonschema
import openai
import pytest
import requests

from devstack.servers import UpstreamServer
from devstack.upstream_control import UpstreamControl
from devstack.upstream_instances import instance_of


def ask(client: openai.OpenAI, text: str, **options):
    return client.chat.completions.create(model="m-1", messages=[{"role": "user", "content": text}], **options)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Hello there", ["local stand-in", "not OpenAI", '"Hello there"']),
        ("Привет, кто ты?", ["локальная заглушка", "не OpenAI", "«Привет, кто ты?»"]),
        ("Où es-tu né ?", ["substitut local", "non OpenAI", "Où es-tu né ?"]),
    ],
)
def test_says_in_the_language_of_the_message_that_it_is_a_stand_in(client, message, words):
    content = ask(client, message).choices[0].message.content
    assert all(word in content for word in words), content


def test_plain_answer_counts_its_pieces(client, control):
    control.rule(answer="one two  three\nfour")
    answer = ask(client, "a b c")
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "m-1"
    assert answer._request_id
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "one two  three\nfour")
    assert choice.finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 4, 7)
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


def test_stream_ends_with_finish_reason_usage_and_done(client, control):
    control.rule(answer="one two  three\nfour ")
    chunks = list(ask(client, "a b c", stream=True, stream_options={"include_usage": True}))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content for chunk in chunks[1:-2]]
    assert "".join(pieces) == "one two  three\nfour "
    assert len(pieces) == 4
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 4
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_stream_without_include_usage_has_no_usage(client):
    chunks = list(ask(client, "hello", stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_raw_stream_is_server_sent_events(stand_in: UpstreamServer):
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    answer = requests.post(
        f"{stand_in.uri}/chat/completions", json=body, headers={"Authorization": "Bearer k"}, timeout=10
    )
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["x-request-id"].startswith("req_")
    *events, done, rest = answer.content.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(json.loads(event.removeprefix("data: "))["choices"] for event in events)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", ["max_completion_tokens", "max_tokens"])
def test_output_limit_cuts_the_answer(client, control, limit, stream):
    control.rule(answer="one two three")
    answer = ask(client, "hi", stream=stream, **{limit: 2})
    if stream:
        chunks = list(answer)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert (text, reason) == ("one two ", "length")


def test_json_schema_is_answered_with_an_instance(client):
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 12},
            "level": {"type": "string", "enum": ["easy", "hard"]},
            "minutes": {"type": "integer", "minimum": 5},
            "lessons": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/lesson"}},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["title", "level", "minutes", "lessons", "note"],
        "additionalProperties": False,
        "$defs": {"lesson": {"type": "object", "properties": {"done": {"type": "boolean"}}, "required": ["done"]}},
    }
    response_format = {"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": schema}}
    content = ask(client, "plan", response_format=response_format).choices[0].message.content
    jsonschema.validate(json.loads(content), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "exclusiveMinimum": 3},
        {"type": "number", "maximum": -2},
        {"type": ["string", "null"], "maxLength": 3},
        {"const": {"a": 1}},
        {"type": "null"},
        {"properties": {"a": {"type": "array", "maxItems": 1}}},
        {"type": "integer", "minimum": 1, "maximum": 9},
        {"type": "integer", "exclusiveMaximum": 5},
    ],
)
def test_instances_are_valid(schema):
    jsonschema.validate(instance_of(schema, schema), schema)


def test_an_instance_is_about_the_question(client):
    step = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    schema = {"type": "object", "properties": {"steps": {"type": "array", "items": step}}, "required": ["steps"]}
    response_format = {"type": "json_schema", "json_schema": {"name": "steps", "strict": True, "schema": schema}}
    answers = [ask(client, "Rust", response_format=response_format) for _ in range(2)]
    titles = [{"title": "title 1: Rust"}, {"title": "title 2: Rust"}]
    assert [json.loads(answer.choices[0].message.content) for answer in answers] == [{"steps": titles}] * 2


def test_models(client):
    assert "stand-in" in [model.id for model in client.models.list()]


def test_no_key_is_refused(stand_in: UpstreamServer):
    answer = requests.get(f"{stand_in.uri}/models", timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": "m"}', b'{"messages": []}', b'{"model":"m","messages":[1]}'])
def test_broken_requests_are_refused(stand_in: UpstreamServer, body):
    answer = requests.post(
        f"{stand_in.uri}/chat/completions", data=body, headers={"Authorization": "Bearer k"}, timeout=10
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_unknown_rule_keys_are_refused(control: UpstreamControl):
    with pytest.raises(ValueError, match="Unknown keys"):
        control.rule(contain="typo")
