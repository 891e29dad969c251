"""Bodies and query strings: what is read, and that everything else is refused, quickly and by name."""

import contextlib
import json
import time
from io import BytesIO

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from service.api.body import MAX_DEPTH, parse_json, parse_pairs
from service.domain.errors import InvalidJson, ValidationFailed
from service.settings import Settings
from tests.api.conftest import Caller

QUICK_SECONDS = 0.5
LOGIN = "/api/auth/login"


def complaints(body: bytes) -> list[str]:
    with pytest.raises(InvalidJson) as refused:
        parse_json(body)
    return refused.value.details["body"]


def post(
    client: FlaskClient, body: bytes, content_type: str = "application/json", path: str = LOGIN
) -> tuple[int, str]:
    reply = client.post(path, data=body, headers={"Content-Type": content_type, "Accept-Language": "en"})
    return reply.status_code, reply.json["code"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "json_empty"),
        (b"  \n", "json_empty"),
        (b"\xef\xbb\xbf", "json_empty"),
        (b"[]", "json_object"),
        (b'"text"', "json_object"),
        (b"null", "json_object"),
        (b"{", "json_syntax:1:2"),
        (b'{"a": 1,}', "json_syntax:1:9"),
        (b'{"a": 1} x', "json_syntax:1:10"),
        (b"{'a': 1}", "json_syntax:1:2"),
        (b'{"a": NaN}', "json_number"),
        (b'{"a": Infinity}', "json_number"),
        (b'{"a": -Infinity}', "json_number"),
        (b'{"a": 1e999}', "json_number"),
        (b'{"a": 9223372036854775808}', "json_number"),
        (b'{"a": -9223372036854775809}', "json_number"),
        (b'{"a": "\\ud800"}', "invalid_text"),
        (b'{"a": ["x", {"b": "\\udfff"}]}', "invalid_text"),
        (b'{"\\ud800": 1}', "invalid_text"),
        (b'{"a": "\\u0000"}', "invalid_text"),
        (b'{"a\\u0000": 1}', "invalid_text"),
        (b'{"a": "\x00"}', "json_syntax:1:8"),
        (b'{"a": "\xff"}', "json_encoding"),
        (b'{"a": "\xed\xa0\x80"}', "json_encoding"),
        ('{"a": "я"}'.encode("utf-16"), "json_encoding"),
        ('{"a": "я"}'.encode("cp1251"), "json_encoding"),
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes, complaint: str) -> None:
    assert complaints(body) == [complaint]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('{"a": "я 🙂"}'.encode(), {"a": "я 🙂"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": 9223372036854775807}', {"a": 2**63 - 1}),
        (b'{"a": -9223372036854775808}', {"a": -(2**63)}),
        (b'{"a": 1.5e3}', {"a": 1500.0}),
        (b'{"a": "\\ud83d\\ude42"}', {"a": "🙂"}),
        (b'{"a": "[[[[\\"[[[["}', {"a": '[[[["[[[['}),
    ],
)
def test_what_is_strict_json_is_read(body: bytes, value: object) -> None:
    assert parse_json(body) == value


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return b'{"a": ' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"


def test_nesting_is_limited_exactly() -> None:
    assert parse_json(nested(MAX_DEPTH))
    assert complaints(nested(MAX_DEPTH + 1)) == [f"json_depth:{MAX_DEPTH}"]


def test_brackets_in_strings_are_no_nesting() -> None:
    assert parse_json(json.dumps({"a": "[{" * 5_000, "b": '"' + "[" * 500}).encode())


def test_many_flat_values_are_no_nesting() -> None:
    assert parse_json(b'{"a": [' + b",".join([b"[]"] * 10_000) + b"]}")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 250_000,
        b"{" * 250_000,
        b'{"a":' * 50_000,
        b'{"a": "' + b'\\"' * 120_000,
        b'"' * 250_000,
        b'{"a": ' + b"9" * 250_000 + b"}",
        b'{"a": -' + b"9" * 250_000 + b"}",
        b'{"a": ' + b"9" * 250_000 + b".5}",
        b'{"a": 1e' + b"9" * 250_000 + b"}",
        b'{"a": ' + b"9,"[:1] * 250_000,
        b'{"a": "' + b"\\u0000" * 40_000 + b'"}',
        b'{"a": [' + b'"\\ud800",' * 25_000 + b"1]}",
        b" " * 250_000 + b"x",
        b"\\" * 250_000,
    ],
)
def test_hostile_bodies_are_refused_quickly(body: bytes) -> None:
    started = time.perf_counter()
    complaints(body)
    assert time.perf_counter() - started < QUICK_SECONDS


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidJson):
        assert isinstance(parse_json(body), dict)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), inner)
    ),
    max_leaves=20,
)


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), JSON_VALUES),
    st.booleans(),
)
def test_any_json_object_is_read_as_it_is(value: dict[str, object], ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_any_query_is_read_or_refused(query: bytes) -> None:
    with contextlib.suppress(ValidationFailed):
        assert isinstance(parse_pairs(query, "query"), dict)


@pytest.mark.parametrize("query", [b"a=%00", b"a=%ff", b"%ff=a", b"a=\xff", b"a=%ed%a0%80", b"a=%c0%80"])
def test_text_that_is_none_is_refused_in_queries(user: Caller, query: bytes) -> None:
    reply = user.get("/api/billing", environ_overrides={"QUERY_STRING": query.decode("latin-1")})
    assert reply.status_code == 400
    assert list(reply.json["details"]) == ["query"]


def test_too_many_query_fields_are_refused(user: Caller) -> None:
    assert user.get("/api/billing?" + "&".join(["a=1"] * 2_000)).status_code == 400


def test_a_repeated_query_field_counts_as_its_last(user: Caller) -> None:
    assert user.get("/api/chat/jobs?limit=0&limit=1").status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "multipart/form-data", "text/json", "application/json; charset=cp1251", ""],
)
def test_other_content_types_are_415(client: FlaskClient, content_type: str) -> None:
    assert post(client, b'{"username": "a", "password": "b"}', content_type) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_compressed_body_is_415(client: FlaskClient) -> None:
    reply = client.post(LOGIN, data=b"{}", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    assert reply.status_code == 415


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'application/json;charset="UTF-8"', "Application/JSON"],
)
def test_json_in_utf8_is_read_however_it_is_named(client: FlaskClient, content_type: str) -> None:
    assert post(client, b'{"username": "nobody-here", "password": "b"}', content_type) == (401, "BAD_CREDENTIALS")


def test_a_flat_body_may_be_a_form(client: FlaskClient, user: Caller) -> None:
    reply = client.post(LOGIN, data={"username": user.name, "password": "long enough"})
    assert reply.status_code == 200


def test_a_form_carries_integers_and_booleans(admin: Caller, user: Caller) -> None:
    reply = admin.post("/api/billing/topup", data={"user_id": user.id, "amount": "5"})
    assert reply.json == {"success": True, "currentBalance": 100_005}
    assert user.post("/api/auth/logout", data={"everywhere": "true"}).status_code == 200
    assert user.get("/api/auth/me").status_code == 401


@pytest.mark.parametrize("amount", ["5.0", "five", "", "1" * 30, "٣"])
def test_a_form_with_no_integer_is_refused(admin: Caller, amount: str) -> None:
    reply = admin.post("/api/billing/topup", data={"amount": amount})
    assert reply.status_code == 400
    assert list(reply.json["details"]) == ["amount"]


def test_a_nested_body_may_not_be_a_form(user: Caller) -> None:
    assert user.post("/api/context", data={"context": "[]"}).status_code == 415


@pytest.mark.parametrize("body", [None, b""])
def test_no_body_is_invalid_json_where_one_is_needed(client: FlaskClient, body: bytes | None) -> None:
    reply = client.post(LOGIN, data=body)
    assert (reply.status_code, reply.json["code"]) == (400, "INVALID_JSON")


def test_no_body_is_fine_where_none_is_needed(user: Caller) -> None:
    assert user.post("/api/context/reset").json == {"success": True}


def test_a_body_over_the_limit_is_413(client: FlaskClient, settings: Settings) -> None:
    limit = settings.max_body_kib * 1024
    body = b'{"username": "%s"}'
    fits = body % (b"a" * (limit - len(body) + 2))
    assert len(fits) == limit
    assert post(client, fits) == (400, "VALIDATION_ERROR")
    assert post(client, fits + b" ") == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(("surplus", "status"), [(0, 400), (1, 413), (100_000, 413)])
def test_a_body_of_unknown_length_is_limited_too(
    client: FlaskClient, settings: Settings, surplus: int, status: int
) -> None:
    body = BytesIO(b" " * (settings.max_body_kib * 1024 + surplus))
    reply = client.post(
        LOGIN,
        headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert reply.status_code == status
    assert status == 400 or "256" in reply.json["message"]


class BrokenTransfer(BytesIO):
    """A server's input when the client sends malformed chunks: it raises an error of the server's own."""

    class MalformedChunkError(Exception):
        pass

    def read(self, size: int | None = -1) -> bytes:
        raise self.MalformedChunkError

    readinto = read


def test_a_broken_transfer_is_the_clients_mistake(client: FlaskClient) -> None:
    reply = client.post(
        LOGIN,
        headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input": BrokenTransfer(), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert (reply.status_code, reply.json["code"]) == (400, "INVALID_JSON")


def test_a_body_that_breaks_off_is_400(client: FlaskClient) -> None:
    reply = client.post(
        LOGIN, data=b"{", headers={"Content-Type": "application/json"}, environ_overrides={"CONTENT_LENGTH": "500"}
    )
    assert reply.status_code == 400


@pytest.mark.parametrize("value", [{"$ne": ""}, {"$gt": ""}, [], ["a"], 5, 5.5, True, None])
@pytest.mark.parametrize("field", ["username", "password"])
def test_only_a_string_is_a_string(client: FlaskClient, field: str, value: object) -> None:
    body = {"username": "somebody", "password": "whatever", field: value}
    reply = client.post(LOGIN, json=body)
    assert reply.status_code == 400
    assert list(reply.json["details"]) == [field]


def test_a_whole_number_may_have_a_point(admin: Caller, user: Caller) -> None:
    reply = admin.post("/api/billing/topup", data=b'{"amount": 5.0}', headers={"Content-Type": "application/json"})
    assert reply.json == {"success": True, "currentBalance": 100_005}


@pytest.mark.parametrize("value", ["5", 5.5, 1e300, True, None, [5], {"$inc": 5}, 0, -1, 10**12 + 1])
def test_only_an_integer_in_range_is_an_amount(admin: Caller, value: object) -> None:
    reply = admin.post("/api/billing/topup", {"amount": value})
    assert reply.status_code == 400
    assert list(reply.json["details"]) == ["amount"]


@pytest.mark.parametrize("value", ["true", 1, 0, "", [], {}])
def test_only_a_boolean_is_a_boolean(user: Caller, value: object) -> None:
    reply = user.post("/api/auth/logout", {"everywhere": value})
    assert reply.status_code == 400
    assert list(reply.json["details"]) == ["everywhere"]


def test_unknown_fields_are_ignored_and_set_nothing(client: FlaskClient, user: Caller) -> None:
    body = {"username": "mass-assignment", "password": "long enough", "role": "admin", "available": 10**9, "_id": "x"}
    reply = client.post("/api/auth/register", json=body)
    assert reply.status_code == 201
    me = client.get("/api/auth/me", headers={"Authorization": f"Bearer {reply.json['token']}"}).json
    assert me["role"] == "user"
    assert me["userId"] != "x"


def test_input_takes_either_case(user: Caller) -> None:
    change = {"current_password": "long enough", "new_password": "another password"}
    assert user.post("/api/auth/password", change).status_code == 200
    assert user.get("/api/chat/jobs", query_string={"user_id": user.id}).status_code == 401
